"""The signal controller in the street: plays what fits unchanged, refuses the rest, and comes back by itself."""

from pathlib import Path

import pytest

from maasloop.twin.street.judge import judge_states
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.signals import Answer, Sequence, SignalDevice
from maasloop.twin.street.site import Site, read_site

STAGE = "rrrrrGGGggrrrrrGGGgg"
OTHER = "GGGggrrrrrGGGggrrrrr"
CHANGE = ((0, "rrrrryyyyyrrrrryyyyy"), (5, "rrrrrrrrrrrrrrrrrrrr"), (6, OTHER))


@pytest.fixture
def site() -> Site:
    """Return a site of one junction."""
    return read_site(load_scenario("cologne1"))


def ticked(site: Site, until: int) -> tuple[SignalDevice, list[tuple[int, str]]]:
    """Return a device that has run its local programme until a second, and what it showed."""
    device = SignalDevice(site.junctions[0])
    return device, [(second, device.tick(second)) for second in range(until + 1)]


def change(number: int = 1, start: str = STAGE, at_s: int = 11, expires_s: int = 40) -> Sequence:
    """Return a sound change to the other road."""
    return Sequence(f"s{number}", start, at_s, expires_s, CHANGE)


def net(site: Site) -> Path:
    """Return the network file."""
    return site.scenario.net


def test_a_sequence_is_played_unchanged(site: Site) -> None:
    """Each state is shown from its second on, and the last one is held until the expiry."""
    device, _ = ticked(site, 10)
    assert device.accept(change()) is Answer.ACCEPTED
    shown = {second: device.tick(second) for second in range(11, 40)}
    assert shown[11] == CHANGE[0][1]
    assert shown[15] == CHANGE[0][1]
    assert shown[16] == CHANGE[1][1]
    assert shown[17] == OTHER
    assert shown[39] == OTHER
    assert device.remote


@pytest.mark.parametrize(
    ("sequence", "answer"),
    [
        (change(start=OTHER), Answer.START_STATE_DIFFERS),
        (change(at_s=10), Answer.LATE),
        (change(at_s=25, expires_s=60), Answer.TOO_EARLY),
        (change(expires_s=17), Answer.EXPIRED),
        (change(expires_s=300), Answer.EXPIRED),
        (Sequence("s1", STAGE, 11, 40, ((0, "GG"),)), Answer.MALFORMED),
        (Sequence("s1", STAGE, 11, 40, ()), Answer.MALFORMED),
        (Sequence("s1", STAGE, 11, 40, ((0, "O" * 20),)), Answer.MALFORMED),
        (Sequence("s1", STAGE, 11, 40, ((1, OTHER),)), Answer.MALFORMED),
    ],
)
def test_what_does_not_fit_is_refused(site: Site, sequence: Sequence, answer: Answer) -> None:
    """A sequence that starts from another state, comes late or is malformed changes nothing in the street."""
    device, _ = ticked(site, 10)
    assert device.accept(sequence) is answer
    assert [device.tick(second) for second in range(11, 20)] == [STAGE] * 9
    assert not device.remote


def test_a_known_id_is_dropped(site: Site) -> None:
    """A sequence that is sent again gets its first answer and is not played twice."""
    device, _ = ticked(site, 10)
    assert device.accept(change()) is Answer.ACCEPTED
    device.tick(11)
    assert device.accept(change()) is Answer.ACCEPTED
    assert device.tick(17) == OTHER


def test_one_sequence_at_a_time(site: Site) -> None:
    """While one is played another is refused, also one that would begin before the end."""
    device, _ = ticked(site, 10)
    device.accept(change())
    device.tick(11)
    assert device.accept(change(2, start=CHANGE[0][1], at_s=12)) is Answer.BUSY


def test_a_start_that_differs_later_is_refused_then(site: Site) -> None:
    """A sequence for a later second is dropped when the state has changed by then, and the device says so."""
    device, _ = ticked(site, 24)
    assert device.accept(change(at_s=28, expires_s=60)) is Answer.ACCEPTED
    shown = [device.tick(second) for second in range(25, 30)]
    assert device.refused_at_start == ["s1"]
    assert shown[-1] != CHANGE[0][1]
    assert device.accept(change(at_s=28, expires_s=60)) is Answer.START_STATE_DIFFERS


@pytest.mark.parametrize("expires_s", range(20, 110, 3))
def test_silence_returns_the_street_to_its_plan(site: Site, expires_s: int) -> None:
    """Whenever a sequence expires, the way back is in order and the plan runs as if nothing had been."""
    device, states = ticked(site, 10)
    device.accept(change(expires_s=expires_s))
    states += [(second, device.tick(second)) for second in range(11, expires_s + 200)]
    assert judge_states(net(site), site.junctions[0].tls, states) == []
    assert not device.remote
    plan = SignalDevice(site.junctions[0])
    assert states[-1][1] == plan.tick(states[-1][0])


def test_a_release_lets_the_sequence_end_first(site: Site) -> None:
    """Released in the middle of a clearance, the device plays it out and goes back to its plan in order."""
    device, states = ticked(site, 10)
    device.accept(change())
    states += [(second, device.tick(second)) for second in range(11, 13)]
    device.release(13)
    states += [(second, device.tick(second)) for second in range(13, 150)]
    assert judge_states(net(site), site.junctions[0].tls, states) == []
    assert not device.remote


def test_the_monitor_counts_and_stops_only_if_told(site: Site) -> None:
    """The conflict monitor counts a conflict that it is made to show, and turns all red only where it enforces."""
    both = "GGGggGGGggGGGggGGGgg"
    for enforces in (False, True):
        device = SignalDevice(site.junctions[0], monitor_enforces=enforces)
        for second in range(11):
            device.tick(second)
        device.accept(Sequence("s1", STAGE, 11, 40, ((0, both),)))
        shown = device.tick(11)
        assert device.conflicts_seen == 1
        assert shown == ("r" * 20 if enforces else both)
