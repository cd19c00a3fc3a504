"""The publisher over a real broker: joined when it helps, proven, and never lost with a caller."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from maasloop.api.observation.v1.events_pb2 import ObservationsRecorded, ReadingsQuarantined
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import READINGS_HEADER, Columns, build_columns, read_columns
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import Durable
from maasloop.bus.subjects import OBSERVATION_IMPORTED, parse_fact
from maasloop.core.clock import FakeClock, SystemClock
from maasloop.core.errors import ResourceExhausted
from maasloop.core.reasons import Reason
from maasloop.ingest.adapters.bus import GATHER_S, LARGE_ROWS, LOADED_FROM, BusPublisher
from maasloop.ingest.adapters.packing import MESSAGE_MAX_BYTES, ROW_BYTES
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.ports import Lane, Portion, Quarantined

NOW_US = 1_764_000_000_000_000


@dataclass
class Stream:
    """What lies in a stream."""

    bus: Bus
    name: str

    async def messages(self) -> list[Delivery]:
        """Return every message."""
        config = {"ack_policy": "none", "inactive_threshold": 5_000_000_000}
        made = await self.bus.api(f"CONSUMER.CREATE.{self.name}", {"stream_name": self.name, "config": config})
        count = (await self.bus.api(f"STREAM.INFO.{self.name}"))["state"]["messages"]
        found: list[Delivery] = []
        async with Pull(self.bus, Durable(made["name"], self.name, "ingest")) as pull, asyncio.timeout(50):
            while len(found) < count:
                found += await pull.take(256, wait_s=1.0)
        return found

    async def bound(self, max_bytes: int) -> None:
        """Change how much it holds."""
        config = (await self.bus.api(f"STREAM.INFO.{self.name}"))["config"]
        answer = await self.bus.api(f"STREAM.UPDATE.{self.name}", {**config, "max_bytes": max_bytes})
        assert "error" not in answer, answer


@pytest.fixture(name="bus")
async def _bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test") as bus:
        await ensure(bus)
        yield bus


def _portion(first: int, count: int, device: str = "a", observed_property: str = "pm25") -> Portion:
    times_us = range(NOW_US + first, NOW_US + first + count)
    columns = build_columns([device], [observed_property], [0] * count, [0] * count, times_us, [1.0] * count)
    return Portion(Door.GRPC, "noord", Lane.PRESENT, "air", columns, None, (), (), (), NOW_US, count)


async def test_what_waits_for_a_proof_goes_together(bus: Bus) -> None:
    """Of a hundred small batches at once the first goes alone and the others in few messages; nothing is lost."""
    publisher = BusPublisher(bus, SystemClock())

    await asyncio.gather(*(publisher.record(_portion(number, 1, f"d{number}")) for number in range(100)))

    messages = [ObservationsRecorded.FromString(each.body) for each in await Stream(bus, "OBSERVATIONS").messages()]
    times = [time_us for message in messages for time_us in message.observations.event_time_us]
    assert sorted(times) == list(range(NOW_US, NOW_US + 100))
    assert len(messages) <= 3
    assert messages[-1].producer_total == 100


async def test_under_load_small_batches_are_given_time_to_gather(bus: Bus) -> None:
    """After a message of many small batches the next ones wait a moment and go together; another domain goes at once."""
    clock = FakeClock()
    publisher = BusPublisher(bus, clock)
    await asyncio.gather(*(publisher.record(_portion(number, 1)) for number in range(LOADED_FROM)))

    late = [asyncio.create_task(publisher.record(_portion(100 + number, 1))) for number in range(3)]
    for number in range(2):
        await publisher.record(replace(_portion(200 + number, 1), key="noise"))
    assert not any(task.done() for task in late)
    await clock.advance(GATHER_S)
    await asyncio.gather(*late)

    messages = [ObservationsRecorded.FromString(each.body) for each in await Stream(bus, "OBSERVATIONS").messages()]
    assert [message.reading_count for message in messages] == [LOADED_FROM, 1, 1, 3]


async def test_large_batches_go_side_by_side(bus: Bus) -> None:
    """Of twenty large batches at once few messages come, each with the batches as they were sent."""
    publisher = BusPublisher(bus, SystemClock())

    await asyncio.gather(
        *(publisher.record(_portion(number * 1_000, LARGE_ROWS, f"d{number % 10}")) for number in range(20))
    )

    messages = [
        PackedObservationsRecorded.FromString(each.body) for each in await Stream(bus, "OBSERVATIONS").messages()
    ]
    batches = [batch for each in messages for batch in read_columns(each.observations, each.row_groups).batches()]
    assert len(messages) <= 3
    rows = sorted((time_us, batch.names().devices[0]) for batch in batches for time_us in batch.event_time_us.tolist())
    assert rows == [
        (NOW_US + number * 1_000 + row, f"d{number % 10}") for number in range(20) for row in range(LARGE_ROWS)
    ]
    assert [message.reading_count for message in messages] == [
        len(read_columns(each.observations, each.row_groups)) for each in messages
    ]
    assert messages[-1].producer_total == 20 * LARGE_ROWS


async def test_large_batches_with_other_properties_or_the_same_devices_travel_apart(bus: Bus) -> None:
    """No message names a device twice or a property that its batch lacks, and nothing is lost."""
    publisher = BusPublisher(bus, SystemClock())
    properties = ["pm25", "pm10", "pm25"]
    portions = [_portion(number * 1_000, LARGE_ROWS, "a", properties[number]) for number in range(3)] + [
        replace(_portion(3_000, LARGE_ROWS), columns=_of_two("a", "b")),
        _portion(4_000, LARGE_ROWS, "b"),
    ]

    await asyncio.gather(*(publisher.record(portion) for portion in portions))

    messages = [ObservationsRecorded.FromString(each.body) for each in await Stream(bus, "OBSERVATIONS").messages()]
    assert sum(message.reading_count for message in messages) == 5 * LARGE_ROWS
    for message in messages:
        names = message.observations.dictionary
        assert len(set(names.devices)) == len(names.devices)
        assert list(names.observed_properties) in (["pm25"], ["pm10"])


def _of_two(*devices: str) -> Columns:
    count = LARGE_ROWS
    rows = range(count)
    return build_columns(devices, ["pm25"], [row % 2 for row in rows], [0] * count, rows, [1.0] * count)


async def test_a_refused_message_fails_exactly_the_calls_in_it(bus: Bus) -> None:
    """Calls whose readings were stored are answered, those whose message the broker refused are not."""
    publisher, stream = BusPublisher(bus, SystemClock()), Stream(bus, "OBSERVATIONS")
    # Two fill a message, and the stream has room for one of the two messages.
    count = MESSAGE_MAX_BYTES // ROW_BYTES // 2 - 100
    await stream.bound(MESSAGE_MAX_BYTES + 8_192)

    outcomes = await asyncio.gather(
        *(publisher.record(_portion(number * count, count, f"d{number}")) for number in range(4)),
        return_exceptions=True,
    )

    (message,) = [ObservationsRecorded.FromString(each.body) for each in await stream.messages()]
    stored = set(message.observations.dictionary.devices)
    assert len(stored) == 2
    assert {f"d{number}" for number, each in enumerate(outcomes) if each is None} == stored
    refused = [each for each in outcomes if isinstance(each, ResourceExhausted)]
    assert [each.reason for each in refused] == [Reason.STREAM_FULL] * 2


async def test_who_waits_behind_a_refused_message_is_not_refused_with_it(bus: Bus) -> None:
    """A message too large for what room is left fails its caller; a smaller one that waited for it is stored."""
    publisher, stream = BusPublisher(bus, SystemClock()), Stream(bus, "OBSERVATIONS")
    large = MESSAGE_MAX_BYTES // ROW_BYTES - 100
    await stream.bound(MESSAGE_MAX_BYTES // 4)

    first = asyncio.create_task(publisher.record(_portion(0, large, "a")))
    for _ in range(3):
        # Until the message of the first is made.
        await asyncio.sleep(0)
    await publisher.record(_portion(large, LARGE_ROWS, "b"))

    with pytest.raises(ResourceExhausted, match="full"):
        await first
    (message,) = [ObservationsRecorded.FromString(each.body) for each in await stream.messages()]
    assert list(message.observations.dictionary.devices) == ["b"]


async def test_readings_of_two_doors_never_share_a_message(bus: Bus) -> None:
    """Each message says by which door all of its readings came."""
    publisher = BusPublisher(bus, SystemClock())
    doors = [Door.GRPC, Door.MQTT] * 20

    await asyncio.gather(
        *(publisher.record(replace(_portion(number, 1, door), door=door)) for number, door in enumerate(doors))
    )

    messages = [ObservationsRecorded.FromString(each.body) for each in await Stream(bus, "OBSERVATIONS").messages()]
    assert sum(message.reading_count for message in messages) == len(doors)
    assert all(set(message.observations.dictionary.devices) == {message.door} for message in messages)


async def test_the_past_travels_in_a_stream_of_its_own_with_its_own_total(bus: Bus) -> None:
    """Readings of the past lie in IMPORTS, and are no part of the running total of the present."""
    publisher = BusPublisher(bus, SystemClock())
    await publisher.record(_portion(0, 3))
    await publisher.record(replace(_portion(1, 1), lane=Lane.PAST))

    (present,), (past,) = await Stream(bus, "OBSERVATIONS").messages(), await Stream(bus, "IMPORTS").messages()

    assert parse_fact(past.subject) == (OBSERVATION_IMPORTED, "noord", "air")
    totals = [ObservationsRecorded.FromString(each.body).producer_total for each in (present, past)]
    assert totals == [3, 1]


async def test_a_batch_that_finds_its_subject_idle_goes_at_once(bus: Bus) -> None:
    """One after the other, each small batch is a message of its own."""
    publisher = BusPublisher(bus, SystemClock())
    for number in range(3):
        await publisher.record(_portion(number, 1))

    found = await Stream(bus, "OBSERVATIONS").messages()

    assert [each.headers[READINGS_HEADER] for each in found] == ["1", "1", "1"]
    assert parse_fact(found[0].subject).key == "air"
    assert found[0].headers["ce-id"] == found[0].headers["Nats-Msg-Id"]


@pytest.mark.parametrize("count", [1, LARGE_ROWS])
async def test_a_cancelled_caller_takes_nobody_elses_readings_with_it(bus: Bus, count: int) -> None:
    """Readings that were joined with those of a caller who gave up are stored."""
    publisher = BusPublisher(bus, SystemClock())
    first = asyncio.create_task(publisher.record(_portion(0, count, "a")))
    second = asyncio.create_task(publisher.record(_portion(count, count, "b")))
    third = asyncio.create_task(publisher.record(_portion(2 * count, count, "c")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, third)

    messages = [ObservationsRecorded.FromString(each.body) for each in await Stream(bus, "OBSERVATIONS").messages()]
    assert {NOW_US, NOW_US + 2 * count} <= {time for message in messages for time in message.observations.event_time_us}


@pytest.mark.parametrize("count", [1, LARGE_ROWS])
async def test_a_full_stream_is_told_to_everybody_and_not_counted(bus: Bus, count: int) -> None:
    """Everyone whose readings found no room hears STREAM_FULL, and the producer's total does not hold them."""
    publisher, stream = BusPublisher(bus, SystemClock()), Stream(bus, "OBSERVATIONS")
    await publisher.record(_portion(0, 1))
    await stream.bound(1)
    outcomes = await asyncio.gather(
        *(publisher.record(_portion(1 + number * count, count)) for number in range(5)), return_exceptions=True
    )
    await stream.bound(1024**2)
    await publisher.record(_portion(10_000, 1))

    assert all(isinstance(each, ResourceExhausted) and each.reason == Reason.STREAM_FULL for each in outcomes)
    last = ObservationsRecorded.FromString((await stream.messages())[-1].body)
    assert last.producer_total == 2


async def test_the_same_refusal_twice_is_stored_and_counted_once(bus: Bus) -> None:
    """A door that tries again makes no second entry, and no loss out of the running total."""
    publisher = BusPublisher(bus, SystemClock())
    refusal = Quarantined(Door.MQTT, "noord", "a", Reason.DEVICE_UNKNOWN, "", 2, NOW_US, "application/json", b"{}")
    for _ in range(3):
        await publisher.quarantine(refusal)
    await publisher.quarantine(Quarantined(Door.MQTT, "Not an id", "", Reason.PAYLOAD_UNDECODABLE, "", 1, 1, "", b"x"))

    found = await Stream(bus, "QUARANTINE").messages()
    messages = [ReadingsQuarantined.FromString(each.body) for each in found]
    assert [(message.producer_total, message.entry.reading_count) for message in messages] == [(2, 2), (3, 1)]
    assert parse_fact(found[1].subject).district == "unknown"


async def test_a_refusal_that_another_instance_stored_is_no_loss(bus: Bus) -> None:
    """A killed instance's refusal comes again: the next instance's total holds only what it stored itself."""
    refusal = Quarantined(Door.MQTT, "noord", "a", Reason.DEVICE_UNKNOWN, "", 2, NOW_US, "application/json", b"{}")
    await BusPublisher(bus, SystemClock()).quarantine(refusal)
    after = BusPublisher(bus, SystemClock())
    await after.quarantine(refusal)
    await after.quarantine(Quarantined(Door.MQTT, "noord", "a", Reason.PAYLOAD_UNDECODABLE, "", 1, 1, "", b"x"))

    messages = [ReadingsQuarantined.FromString(each.body) for each in await Stream(bus, "QUARANTINE").messages()]
    assert [message.producer_total for message in messages] == [2, 1]


async def test_refused_consent_travels_as_a_number_only(bus: Bus) -> None:
    """What the consent gate refused leaves no trace but its count."""
    await BusPublisher(bus, SystemClock()).refuse_consent("noord", Door.MQTT, 7)

    (found,) = await Stream(bus, "PERSONAL").messages()
    message = ObservationsRecorded.FromString(found.body)
    assert (message.refused_consent_count, message.reading_count, message.door) == (7, 7, "mqtt")
    assert message.observations.ByteSize() == 0
