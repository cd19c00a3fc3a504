"""What a device counts is heard although nothing of its payload is kept: a payload that came is not missing."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from maasloop.api.observation.v1.events_pb2 import ObservationsRecorded
from maasloop.api.observation.v1.observation_pb2 import DeviceSequence
from maasloop.bus.columns import build_columns, read_columns
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.core.clock import SystemClock
from maasloop.core.domains import Domain
from maasloop.ingest.adapters.bus import BusPublisher
from maasloop.ingest.adapters.counts import MetricCounts
from maasloop.ingest.adapters.packing import parts
from maasloop.ingest.adapters.resolving import Registry
from maasloop.ingest.domain.facts import DeviceFacts, Facts, Kind, PropertyFacts, TypeFacts
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.handlers.record_observations import RecordObservations
from maasloop.ingest.ports import Batch

KNOWN: dict[str, Facts] = {
    "observedProperties/power": PropertyFacts(Domain.ENERGY, Kind.NUMBER, "W", 0, 2_000, 2**60),
    "deviceTypes/thing": TypeFacts(frozenset({"power"})),
    "districts/noord/devices/lamp": DeviceFacts("thing", True, "cabinet", "", ""),
    "districts/noord/devices/cabinet": DeviceFacts("thing", True, "", "", ""),
    "districts/noord/devices/station": DeviceFacts("thing", True, "", "", ""),
    "districts/noord/devices/bike": DeviceFacts("thing", True, "", "anna", "air"),
    "districts/noord/devices/sleeper": DeviceFacts("thing", False, "", "", ""),
}
TOO_LARGE = 99_999.0


class Gate:
    """Nobody consents."""

    def permits(self, _data_subject: str, _activity: str) -> bool:
        """Permit nothing."""
        return False


@pytest.fixture(name="bus")
async def _bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test") as bus:
        await ensure(bus)
        yield bus


def _pipeline(bus: Bus) -> RecordObservations:
    registry = Registry(lambda: KNOWN)
    return RecordObservations(
        resolve=registry,
        speaks_for=registry.speaks_for,
        personal=registry.personal,
        counts_payloads=registry.counts_payloads,
        gate=Gate(),
        publisher=BusPublisher(bus, SystemClock()),
        counts=MetricCounts(),
        clock=SystemClock(),
    )


async def _heard(bus: Bus, stream: str) -> list[tuple[str, int, int]]:
    """Return the device, the count and the number of readings of each message that has counts."""
    state = (await bus.api(f"STREAM.INFO.{stream}"))["state"]
    found = []
    for sequence in range(1, state["last_seq"] + 1):
        answer = await bus.api(f"STREAM.MSG.GET.{stream}", {"seq": sequence})
        message = ObservationsRecorded.FromString(base64.b64decode(answer["message"]["data"]))
        names = message.observations.dictionary.devices
        found += [
            (names[each.device_index], each.sequence, message.reading_count) for each in message.observations.sequences
        ]
    return found


@pytest.mark.parametrize(
    ("sender", "device", "values", "heard"),
    [
        ("station", "station", [TOO_LARGE, TOO_LARGE], True),
        ("station", "station", [], True),
        ("cabinet", "lamp", [TOO_LARGE], True),
        ("", "station", [TOO_LARGE], True),
        ("station", "lamp", [TOO_LARGE], False),
        ("stranger", "stranger", [1.0], False),
        ("sleeper", "sleeper", [1.0], False),
        ("bike", "bike", [1.0], False),
    ],
)
async def test_the_count_of_a_payload_without_a_good_reading_is_heard(
    bus: Bus, sender: str, device: str, values: list[float], heard: bool
) -> None:
    """It travels where everything does that is only counted; of strangers and of persons nothing is kept."""
    now_us = SystemClock().now_us()
    rows = range(len(values))
    columns = build_columns([device], ["power"], [0 for _ in rows], [0 for _ in rows], [now_us for _ in rows], values)
    columns = replace(columns, sequences=[DeviceSequence(device_index=0, sequence=7)])

    recorded = await _pipeline(bus)(Batch("noord", Door.MQTT, columns, now_us, sender))

    assert (recorded.accepted_count, recorded.refused_count) == (0, len(values))
    assert await _heard(bus, "OBSERVATIONS") == []
    assert await _heard(bus, "PERSONAL") == ([(device, 7, 0)] if heard else [])


async def test_a_gateway_counts_its_payloads_though_it_reports_for_others_only(bus: Bus) -> None:
    """The count of the sender is heard beside the readings of the devices that it speaks for."""
    now_us = SystemClock().now_us()
    columns = build_columns(["lamp", "cabinet"], ["power"], [0], [0], [now_us], [1.0])
    columns = replace(columns, sequences=[DeviceSequence(device_index=1, sequence=8)])

    recorded = await _pipeline(bus)(Batch("noord", Door.MQTT, columns, now_us, "cabinet"))

    assert (recorded.accepted_count, recorded.refused_count) == (1, 0)
    assert await _heard(bus, "PERSONAL") == [("cabinet", 8, 0)]


async def test_a_count_goes_with_the_readings_where_there_are_some(bus: Bus) -> None:
    """One bad reading beside a good one makes no message of its own."""
    now_us = SystemClock().now_us()
    columns = build_columns(["station"], ["power"], [0, 0], [0, 0], [now_us, now_us + 1], [1.0, TOO_LARGE])
    columns = replace(columns, sequences=[DeviceSequence(device_index=0, sequence=9)])

    await _pipeline(bus)(Batch("noord", Door.MQTT, columns, now_us, "station"))

    assert await _heard(bus, "OBSERVATIONS") == [("station", 9, 1)]
    assert await _heard(bus, "PERSONAL") == []


def test_counts_of_a_batch_that_is_cut_travel_alone() -> None:
    """A message that holds counts and no readings names devices only, and is read as it was written."""
    rows = 30_000
    columns = build_columns(["a", "b"], ["power"], [0] * rows, [0] * rows, range(rows), [1.0] * rows)
    columns = replace(columns, sequences=[DeviceSequence(device_index=1, sequence=5)])

    first, *others = (read_columns(each.packed()) for each in parts(columns))

    assert (list(first.names().devices), len(first)) == (["b"], 0)
    assert [(each.device_index, each.sequence) for each in first.sequences] == [(0, 5)]
    assert sum(len(each) for each in others) == rows
