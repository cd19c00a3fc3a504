"""Faults on purpose: counted when done, and never among what the clock announces."""

from maasloop.twin.devices.readings import MICROSECONDS, Reading
from maasloop.twin.play.faults import LATE_S, SHARES, Fault, FaultyField
from maasloop.twin.play.payload import Payload, Voice

LAMPS = [("lamp-0001", "cabinet-01"), ("lamp-0002", "cabinet-02")]


def play(seed: int, seconds: int) -> tuple[FaultyField, list[Payload]]:
    """Let two cabinets speak for some seconds and misbehave in between."""
    field = FaultyField(seed, begin_s=100, end_s=100 + seconds - 10)
    said = []
    for second in range(100, 100 + seconds):
        payloads = [
            Payload(cabinet, Voice.MQTT_PB, [Reading(lamp, "power", second * MICROSECONDS, 20.0)])
            for lamp, cabinet in LAMPS
        ]
        field.disturb(second, payloads, LAMPS)
        said += payloads
    return field, said


def test_every_kind_is_done_and_counted() -> None:
    """What is noted is exactly what was added to payloads."""
    field, said = play(7, 600)
    added = [reading for payload in said for reading in payload.extra]

    assert all(field.injected.counts()[fault] > 0 for fault in SHARES)
    assert len(added) == sum(field.injected.counts().values())


def test_the_same_seed_does_the_same() -> None:
    """A run can be repeated."""
    assert play(3, 200)[0].injected == play(3, 200)[0].injected
    assert play(3, 200)[0].injected != play(4, 200)[0].injected


def test_nothing_is_done_near_the_end() -> None:
    """What is done last must still be accounted for."""
    _field, said = play(7, 600)

    assert not any(payload.extra for payload in said[-20:])


def test_each_kind_is_what_it_says() -> None:
    """Late is late, a duplicate is equal, a conflict has another value at a known time, the impossible is impossible."""
    field, said = play(7, 600)
    original = {(r.series, r.event_time_us): r.result for payload in said for r in payload.readings}
    sent_at = {id(r): p.readings[0].event_time_us for p in said for r in p.extra}
    done = field.injected.readings

    assert all(sent_at[id(r)] - r.event_time_us > 10 * MICROSECONDS for r in done[Fault.LATE])
    assert all(sent_at[id(r)] - r.event_time_us <= LATE_S * MICROSECONDS for r in done[Fault.LATE])
    assert all(original[r.series, r.event_time_us] == r.result for r in done[Fault.DUPLICATE])
    assert all(original[r.series, r.event_time_us] != r.result for r in done[Fault.CONFLICTING])
    assert all(isinstance(r.result, float) and r.result > 2000 for r in done[Fault.OUT_OF_RANGE])
    assert all((r.series, r.event_time_us) not in original for r in done[Fault.LATE])
