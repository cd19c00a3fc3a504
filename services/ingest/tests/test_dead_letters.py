"""What the listener acknowledged and ingest cannot handle is a dead letter, and one reading of the custody balance."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiomqtt
import pytest

from maasloop.api.observation.v1.events_pb2 import ObservationsRecorded
from maasloop.bus.columns import READINGS_HEADER
from maasloop.bus.connection import Bus, connect
from maasloop.bus.consume import bury
from maasloop.bus.ensure import ensure
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import CHIRPSTACK_UPLINKS, DEADLETTERS, MQTT_UPLINKS, PERSONAL, Durable
from maasloop.bus.subjects import UplinkKind, mqtt_topic, parse_fact, uplink
from maasloop.core.clock import SystemClock
from maasloop.ingest.adapters.bus import BusPublisher
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.entrypoints.chirpstack import ChirpstackDoor
from maasloop.ingest.entrypoints.mqtt import MqttDoor
from maasloop.ingest.handlers.record_response import RecordResponse
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.ports import Batch

READING = mqtt_topic(uplink("noord", "a", UplinkKind.OBSERVATIONS_JSON))
UPLINK = "application/1/device/0102030405060708/event/up"
PATIENCE_MAX_S = 60.0

type Address = tuple[str, int]


@pytest.fixture(name="bus")
async def _bus(nats_url: str, mqtt_address: Address) -> AsyncIterator[Bus]:
    host, port = mqtt_address
    async with connect(nats_url, name="test") as bus:
        await ensure(bus, mqtt_url=f"mqtt://{host}:{port}")
        yield bus


class _Uncounted:
    """Counts nothing."""

    def recorded(self, _door: Door, _recorded: Recorded) -> None:
        """Count nothing."""


async def _fail(*_: object) -> Recorded:
    message = "a fault of the program"
    raise RuntimeError(message)


def _fail_at_once(_name: str) -> None:
    message = "a fault of the program"
    raise RuntimeError(message)


def _mqtt(bus: Bus, publisher: BusPublisher) -> MqttDoor:
    return MqttDoor(
        bus=bus,
        bulk=bus,
        record=_fail,
        together=_fail,  # type: ignore[arg-type]  # never returns
        refuse=RefusePayload(personal=lambda *_: False, publisher=publisher, counts=_Uncounted()),
        give_up=publisher.give_up,
        respond=RecordResponse(speaks_for=lambda *_: True, publisher=publisher),
        unit_of=lambda _: None,
        clock=SystemClock(),
    )


def _chirpstack(bus: Bus, publisher: BusPublisher) -> ChirpstackDoor:
    async def record(_batch: Batch) -> Recorded:
        return await _fail()

    return ChirpstackDoor(
        bus=bus,
        record=record,
        refuse=RefusePayload(personal=lambda *_: False, publisher=publisher, counts=_Uncounted()),
        give_up=publisher.give_up,
        name_of=_fail_at_once,
        unit_of=lambda _: None,
    )


@asynccontextmanager
async def _pulling(door: MqttDoor | ChirpstackDoor) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(door.pull(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def _messages(bus: Bus, stream: str, count: int) -> list[Delivery]:
    """Wait until a stream holds so many messages, and return them."""
    async with asyncio.timeout(PATIENCE_MAX_S):
        while True:
            state = (await bus.api(f"STREAM.INFO.{stream}"))["state"]
            if state["messages"] >= count:
                break
            await asyncio.sleep(0.05)
    config = {"durable_name": "look", "ack_policy": "none", "inactive_threshold": 10**10}
    await bus.api(f"CONSUMER.DURABLE.CREATE.{stream}.look", {"stream_name": stream, "config": config})
    async with Pull(bus, Durable("look", stream, "ingest")) as pull:
        found = await pull.take(count + 1, wait_s=5.0)
        while len(found) < state["messages"]:
            found += await pull.take(count + 1, wait_s=5.0)
    await bus.api(f"CONSUMER.DELETE.{stream}.look")
    return found


@pytest.mark.parametrize(
    ("topic", "make", "door", "district"),
    [(READING, _mqtt, Door.MQTT, "noord"), (UPLINK, _chirpstack, Door.CHIRPSTACK, "unknown")],
)
async def test_a_payload_that_became_a_dead_letter_is_counted(
    bus: Bus,
    mqtt_address: Address,
    topic: str,
    make: Callable[[Bus, BusPublisher], MqttDoor | ChirpstackDoor],
    door: Door,
    district: str,
) -> None:
    """Each leaves a dead letter and a number, by which the balance knows it as accepted and given up."""
    body = b'{"observations": [{"property": "pm25", "value": 1}]}'
    if door is Door.CHIRPSTACK:
        body = b'{"deviceInfo": {"devEui": "0102030405060708"}, "fCnt": 1, "fPort": 1, "data": "AQ=="}'
    async with aiomqtt.Client(*mqtt_address, identifier="a") as client:
        for _ in range(2):
            await client.publish(topic, body, qos=1)

    async with _pulling(make(bus, BusPublisher(bus, SystemClock()))):
        letters = await _messages(bus, DEADLETTERS.name, 2)
        counts = await _messages(bus, PERSONAL.name, 2)

    assert [each.body for each in letters] == [body] * 2
    told = [ObservationsRecorded.FromString(each.body) for each in counts]
    assert [each.dead_lettered_count for each in told] == [1, 1]
    assert [each.producer_total for each in told] in ([1, 2], [1, 1])
    assert {(each.door, each.district) for each in told} == {(door, district)}
    assert {parse_fact(each.subject).district for each in counts} == {district}
    assert {each.headers[READINGS_HEADER] for each in counts} == {"1"}


@pytest.mark.parametrize("durable", [MQTT_UPLINKS, CHIRPSTACK_UPLINKS])
async def test_a_dead_letter_that_is_written_again_is_counted_once(
    bus: Bus, mqtt_address: Address, durable: Durable
) -> None:
    """Killed before the broker was told, the message comes again: one dead letter, one count, and no loss in the total."""
    topic = READING if durable is MQTT_UPLINKS else UPLINK
    async with aiomqtt.Client(*mqtt_address, identifier="a") as client:
        await client.publish(topic, b"x", qos=1)
    async with Pull(bus, durable) as pull:
        (delivery,) = await pull.take(1, wait_s=5.0)
    first, second = BusPublisher(bus, SystemClock()), BusPublisher(bus, SystemClock())

    for publisher in (first, second):

        async def count(again: Delivery, publisher: BusPublisher = publisher) -> None:
            await publisher.give_up("noord", Door.MQTT, again.id)

        await bury(bus, durable, delivery, RuntimeError("a fault of the program"), buried=count)
    await second.give_up("noord", Door.MQTT, "another")

    assert len(await _messages(bus, DEADLETTERS.name, 1)) == 1
    told = [ObservationsRecorded.FromString(each.body) for each in await _messages(bus, PERSONAL.name, 2)]
    assert [(each.producer, each.producer_total, each.dead_lettered_count) for each in told] == [
        (first.producer, 1, 1),
        (second.producer, 1, 1),
    ]
