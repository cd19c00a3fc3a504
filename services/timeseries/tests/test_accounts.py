"""The balance, the accounts of devices and the way of one reading, after a real writer on a real broker."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import aiomqtt
import pytest

from maasloop.api.observation.v1.events_pb2 import ReadingsQuarantined
from maasloop.api.observation.v1.observation_pb2 import DeviceSequence, QuarantineEntry
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import READINGS_HEADER, Columns, build_columns
from maasloop.bus.ensure import ensure
from maasloop.bus.envelope import Envelope
from maasloop.bus.streams import IMPORTS, OBSERVATIONS, PERSONAL, PERSONAL_ROWS, QUARANTINE, QUARANTINE_COUNT
from maasloop.bus.subjects import (
    OBSERVATION_IMPORTED,
    OBSERVATION_QUARANTINED,
    OBSERVATION_RECORDED,
    UplinkKind,
    mqtt_topic,
    uplink,
)
from maasloop.core.clock import SystemClock
from maasloop.core.domains import PERSONAL as PERSONAL_KEY
from maasloop.core.errors import Unavailable
from maasloop.telemetry.metrics import value
from maasloop.timeseries.adapters.counting import StreamCounter
from maasloop.timeseries.adapters.postgres_accounts import PostgresAccounts
from maasloop.timeseries.adapters.postgres_reads import PostgresReader
from maasloop.timeseries.adapters.searching import StreamSearch
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.domain.custody import Balance
from maasloop.timeseries.entrypoints.gauges import CustodyGauges
from maasloop.timeseries.handlers.get_custody_balance import GetCustodyBalance
from maasloop.timeseries.handlers.list_device_accounts import ListDeviceAccounts
from maasloop.timeseries.handlers.trace_observation import Trace, TraceObservation
from maasloop.timeseries.ports.accounting import Key

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Reading, Rig

DISTRICT = "noord"
CARRIED = {
    OBSERVATIONS.name: OBSERVATION_RECORDED,
    IMPORTS.name: OBSERVATION_IMPORTED,
    QUARANTINE.name: OBSERVATION_QUARANTINED,
    PERSONAL.name: OBSERVATION_RECORDED,
}
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


class Persons:
    """Devices of persons, of whom some may be seen."""

    def __init__(self, *, of_persons: Sequence[str] = (), permitted: Sequence[str] = (), known: bool = True) -> None:
        """Say whose devices are, and who permits."""
        self.of_persons = set(of_persons)
        self.permitted = set(permitted)
        self.known = known

    def ready(self) -> bool:
        """Tell whether it is known whose devices are."""
        return self.known

    def of_person(self, _district: str, device: str) -> bool:
        """Tell whether a device is a person's."""
        return device in self.of_persons

    def visible(self, _district: str, device: str, *, personal: bool) -> bool:
        """Tell whether a device may be seen."""
        return device in self.permitted if device in self.of_persons else not personal


def _columns(*readings: "Reading", counts: dict[str, int] | None = None) -> Columns:
    devices = sorted({reading[0] for reading in readings} | set(counts or ()))
    properties = sorted({reading[1] for reading in readings})
    columns = build_columns(
        devices,
        properties,
        [devices.index(reading[0]) for reading in readings],
        [properties.index(reading[1]) for reading in readings],
        [reading[2] for reading in readings],
        [reading[3] for reading in readings],
    )
    sequences = [
        DeviceSequence(device_index=devices.index(device), sequence=count) for device, count in (counts or {}).items()
    ]
    return replace(columns, sequences=sequences)


async def _send(
    rig: "Rig",
    *readings: "Reading",
    door: str = "mqtt",
    counts: dict[str, int] | None = None,
    shed: int = 0,
    given_up: int = 0,
    key: str = "air",
) -> int:
    """Publish a message as ingest does, by a producer of its own, and return its sequence."""
    told = len(readings) + shed + given_up
    body = PackedObservationsRecorded(
        district=DISTRICT,
        domain=key,
        observations=_columns(*readings, counts=counts).packed(),
        receipt_time_us=SystemClock().now_us(),
        producer=f"{rig.producer}-{key}",
        producer_total=rig.acknowledged + told,
        reading_count=told,
        shed_count=shed,
        dead_lettered_count=given_up,
        door=door,
    ).SerializeToString()
    rig.acknowledged += told
    envelope = Envelope(f"{rig.producer}-{rig.acknowledged}-{key}", OBSERVATION_RECORDED.message, "test", 0, TRACE)
    headers = {**envelope.headers(), READINGS_HEADER: str(told)}
    return await rig.bus.publish(OBSERVATION_RECORDED.subject(DISTRICT, key), body, headers)


async def _refuse(rig: "Rig", *readings: "Reading", device: str) -> None:
    entry = QuarantineEntry(
        name="quarantineEntries/7",
        door="http",
        district=DISTRICT,
        device=device,
        reason="VALUE_OUT_OF_RANGE",
        reading_count=len(readings),
        content_type="application/protobuf; type=maasloop.api.observation.v1.ObservationColumns",
        payload=_columns(*readings).message().SerializeToString(),
    )
    envelope = Envelope(f"{rig.producer}-refused", OBSERVATION_QUARANTINED.message, "test", 0)
    headers = {**envelope.headers(), READINGS_HEADER: str(len(readings))}
    body = ReadingsQuarantined(entry=entry).SerializeToString()
    await rig.bus.publish(OBSERVATION_QUARANTINED.subject(DISTRICT, "http"), body, headers)


async def _balance(rig: "Rig", district: str = "") -> Balance:
    counter = StreamCounter(rig.bus, CARRIED, "timeseries")
    return await GetCustodyBalance(PostgresAccounts(rig.pool), counter)(district)


def _trace(rig: "Rig", persons: Persons) -> TraceObservation:
    search = StreamSearch(rig.bus, Streams(rig.bus), CARRIED, SystemClock())
    streams = [stream for stream in CARRIED if stream != PERSONAL.name]
    reader, rows = PostgresReader(rig.pool), PostgresAccounts(rig.pool)
    return TraceObservation(reader, rows, search, persons, streams=streams, personal_streams=[PERSONAL.name])


async def test_the_balance_has_every_term_by_door_and_is_exact(rig: "Rig") -> None:
    """Stored, duplicate, conflict, shed, dead letters and late are told by door, and rows are counted twice over."""
    now_us = SystemClock().now_us()
    async with rig.writing():
        await _send(rig, ("a", "pm25", now_us, 1.0), ("b", "pm25", now_us, 1.0))
        await rig.until_accepted(2)
        await _send(rig, ("a", "pm25", now_us, 1.0), ("b", "pm25", now_us, 2.0), ("a", "pm25", now_us - 5, 1.0), shed=3)
        await _send(rig, ("a", "pm25", now_us + 1, 1.0), door="grpc")
        await _send(rig, door="chirpstack", given_up=2)
        await rig.until_accepted(11)
    balance = await _balance(rig)
    mqtt, grpc, chirpstack = (balance.doors[door] for door in ("mqtt", "grpc", "chirpstack"))

    assert (mqtt.accepted, mqtt.stored, mqtt.duplicate, mqtt.conflict, mqtt.shed, mqtt.late) == (8, 3, 1, 1, 3, 1)
    assert (grpc.accepted, grpc.stored, grpc.late) == (1, 1, 0)
    assert (chirpstack.accepted, chirpstack.dead_lettered, balance.terms.dead_lettered) == (2, 2, 2)
    assert balance.terms.stored == balance.series_stored == len(await rig.numbers()) == 4
    assert (balance.accepted, balance.in_stream, balance.lost) == (11, 0, 0)


async def test_what_no_writer_took_is_in_the_stream(rig: "Rig") -> None:
    """A message counts as in the stream until its district's position has passed it, also when others were acknowledged."""
    now_us = SystemClock().now_us()
    async with rig.writing():
        await _send(rig, ("a", "pm25", now_us, 1.0))
        await rig.until_accepted(1)
    await _send(rig, ("a", "pm25", now_us + 1, 1.0), ("a", "pm25", now_us + 2, 1.0))

    for district, in_stream in (("", 2), (DISTRICT, 2), ("zuid", 0)):
        assert (await _balance(rig, district)).in_stream == in_stream
    async with rig.writing():
        await rig.until_accepted(3)
    balance = await _balance(rig)
    assert (balance.in_stream, balance.accepted) == (0, 3)


async def test_what_waits_behind_the_mqtt_listener_is_in_the_stream(rig: "Rig", mqtt_address: tuple[str, int]) -> None:
    """Payloads of devices and of network servers count; answers to commands, which are no readings, do not."""
    host, port = mqtt_address
    await ensure(rig.bus, mqtt_url=f"mqtt://{host}:{port}")
    kinds = (UplinkKind.OBSERVATIONS_JSON, UplinkKind.OBSERVATIONS_JSON, UplinkKind.RESPONSES_JSON)
    topics = [mqtt_topic(uplink(DISTRICT, "a", kind)) for kind in kinds]
    async with aiomqtt.Client(host, port, identifier="a") as client:
        for topic in [*topics, "application/1/device/0102030405060708/event/up"]:
            await client.publish(topic, b"x", qos=1)

    found = {district: (await _balance(rig, district)).in_stream for district in ("", DISTRICT, "zuid", "unknown")}

    assert found == {"": 3, DISTRICT: 2, "zuid": 0, "unknown": 1}


async def test_a_stream_that_was_made_again_is_counted_from_its_beginning(rig: "Rig") -> None:
    """Positions of a stream that is gone settle nothing of the one with its name."""
    now_us = SystemClock().now_us()
    async with rig.writing():
        for step in range(3):
            await _send(rig, ("a", "pm25", now_us + step, 1.0))
        await rig.until_accepted(3)
    await rig.bus.api(f"STREAM.DELETE.{OBSERVATIONS.name}")
    config = OBSERVATIONS.config()
    assert "error" not in await rig.bus.api(f"STREAM.CREATE.{OBSERVATIONS.name}", config)
    await _send(rig, ("a", "pm25", now_us + 9, 1.0))

    assert (await _balance(rig)).in_stream == 1


async def test_accounts_of_devices_and_the_gaps_in_their_count(rig: "Rig") -> None:
    """Each device has its terms; a payload that comes late, or without a reading, is not missing; persons have none."""
    now_us = SystemClock().now_us()
    async with rig.writing(), rig.writing(QUARANTINE_COUNT), rig.writing(PERSONAL_ROWS):
        for step, count in enumerate((1, 2, 6, 4)):
            await _send(rig, ("a", "pm25", now_us + step, 1.0), counts={"a": count})
        await _send(rig, ("b", "pm25", now_us, 1.0))
        await rig.until_accepted(5)
        await _send(rig, ("b", "pm25", now_us, 1.0), ("b", "pm25", now_us - 1, 1.0))
        await _refuse(rig, ("c", "pm25", now_us, -1.0), device="c")
        await _send(rig, counts={"a": 5}, key=PERSONAL_KEY)
        await _send(rig, ("d", "pm25", now_us, 1.0), key=PERSONAL_KEY)
        await _send(rig, ("e", "pm25", now_us, 1.0))
        await rig.until_accepted(10)
    accounts = PostgresAccounts(rig.pool)
    persons = Persons(of_persons=["e"])
    listing = ListDeviceAccounts(accounts, persons, persons)

    page, following = await listing(DISTRICT, [], size=2, after="")
    rest, end = await listing(DISTRICT, [], size=10, after=following)
    a, b, c = [*page, *rest]

    assert ([each.device for each in page], following, end) == (["a", "b"], "b", "")
    assert (a.device, a.stored, a.missing_payloads, a.last_sequence) == ("a", 4, 1, 6)
    assert (b.stored, b.duplicate, b.late, b.last_sequence) == (2, 1, 1, 0)
    assert (c.device, c.stored, c.quarantined, c.receipt_time_us) == ("c", 0, 1, None)
    assert await accounts.missing_payloads() == 1
    assert [each.device for each in (await listing(DISTRICT, ["b"], size=10, after=""))[0]] == ["b"]


async def test_accounts_wait_for_the_registry(rig: "Rig") -> None:
    """While it is not known whose devices are, nobody's account is shown."""
    persons = Persons(known=False)

    with pytest.raises(Unavailable):
        await ListDeviceAccounts(PostgresAccounts(rig.pool), persons, persons)(DISTRICT, [], size=1, after="")
    with pytest.raises(Unavailable):
        await _trace(rig, persons)(Key(DISTRICT, "a", "pm25", 0))


async def test_a_reading_is_followed_from_message_to_row(rig: "Rig") -> None:
    """The row, the message that made it, its repetition, the conflict in quarantine and what is not settled are told."""
    now_us = SystemClock().now_us()
    async with rig.writing():
        await _send(rig, ("b", "pm25", now_us, 9.0))
        first = await _send(rig, ("a", "pm25", now_us - 1, 9.0), ("a", "pm25", now_us, 1.0))
        again = await _send(rig, ("a", "pm25", now_us, 1.0), door="http")
        await rig.until_accepted(4)
    waiting = await _send(rig, ("a", "pm25", now_us, 2.0), door="http")
    await _refuse(rig, ("a", "pm25", now_us, 2.0), device="a")

    trace = await _trace(rig, Persons())(Key(DISTRICT, "a", "pm25", now_us))

    assert trace.row is not None
    assert (trace.row.result, trace.row.time_us) == (1.0, now_us)
    told = [(each.stream, each.sequence, each.door, each.value, each.reason) for each in trace.messages]
    assert told[:3] == [
        ("OBSERVATIONS", first, "mqtt", 1.0, ""),
        ("OBSERVATIONS", again, "http", 1.0, ""),
        ("OBSERVATIONS", waiting, "http", 2.0, ""),
    ]
    assert [each[3:] for each in told[3:]] == [(2.0, "VALUE_OUT_OF_RANGE")]
    settled = trace.settled["OBSERVATIONS"]
    assert [settled.holds(DISTRICT, each) for each in (first, again, waiting)] == [True, True, False]
    assert trace.messages[0].traceparent == TRACE
    assert trace.messages[0].acknowledge_time_us >= trace.messages[0].receipt_time_us - 1_000_000
    assert all(each.complete for each in trace.searched)


async def test_a_reading_that_is_nowhere(rig: "Rig") -> None:
    """Neither row nor message is told of a reading that never came."""
    async with rig.writing():
        await _send(rig, ("a", "pm25", SystemClock().now_us(), 1.0))
        await rig.until_accepted(1)

    trace = await _trace(rig, Persons())(Key(DISTRICT, "a", "pm25", SystemClock().now_us() - 7))

    assert (trace.row, list(trace.messages)) == (None, [])


async def test_a_personal_reading_is_traced_with_consent_only(rig: "Rig") -> None:
    """Without consent a person's reading is nowhere; with it both message and row are told."""
    now_us = SystemClock().now_us()
    async with rig.writing(PERSONAL_ROWS):
        sequence = await _send(rig, ("a", "pm25", now_us, 1.0), key=PERSONAL_KEY)
        await rig.until_accepted(1)
    key = Key(DISTRICT, "a", "pm25", now_us)

    for refused in (Persons(of_persons=["a"]), Persons()):
        assert _told(await _trace(rig, refused)(key)) == (None, [])
    permitted = Persons(of_persons=["a"], permitted=["a"])
    assert _told(await _trace(rig, permitted)(key)) == (1.0, [("PERSONAL", sequence)])


def _told(trace: Trace) -> tuple[object, list[tuple[str, int]]]:
    row = None if trace.row is None else trace.row.result
    return row, [(each.stream, each.sequence) for each in trace.messages]


async def test_the_balance_is_told_as_metrics(rig: "Rig") -> None:
    """Terms by door, losses and missing payloads are gauges; a producer's hole shows as lost."""
    now_us = SystemClock().now_us()
    async with rig.writing():
        await _send(rig, ("a", "pm25", now_us, 1.0), counts={"a": 1})
        rig.acknowledged += 5
        await _send(rig, ("a", "pm25", now_us + 1, 1.0), counts={"a": 4})
        await rig.until_accepted(2)

    await CustodyGauges(PostgresAccounts(rig.pool), SystemClock()).measure()

    assert value("maasloop_timeseries_custody_readings", door="mqtt", term="stored") == 2
    assert value("maasloop_timeseries_lost_readings") == 5
    assert value("maasloop_timeseries_missing_payloads") == 2
    assert value("maasloop_timeseries_miscounted_readings") == 0
