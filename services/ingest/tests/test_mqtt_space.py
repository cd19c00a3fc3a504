"""Space of the stream in which PUBACKs are made comes back in one step, and never before everybody is done."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiomqtt
import pytest

from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.bus.pull import Delivery, Pull, acknowledge
from maasloop.bus.streams import MQTT_RESPONSES, MQTT_UPLINKS, Durable
from maasloop.bus.subjects import MQTT_STREAM, UplinkKind, mqtt_topic, uplink
from maasloop.ingest.adapters.mqtt_space import MqttSpace

READING = mqtt_topic(uplink("noord", "a", UplinkKind.OBSERVATIONS_JSON))
RESPONSE = mqtt_topic(uplink("noord", "a", UplinkKind.RESPONSES_JSON))


@pytest.fixture(name="bus")
async def _bus(nats_url: str, mqtt_address: tuple[str, int]) -> AsyncIterator[Bus]:
    host, port = mqtt_address
    async with connect(nats_url, name="test") as bus:
        await ensure(bus, mqtt_url=f"mqtt://{host}:{port}")
        yield bus


async def _publish(address: tuple[str, int], *topics: str) -> None:
    async with aiomqtt.Client(*address, identifier="a") as client:
        for number, topic in enumerate(topics):
            await client.publish(topic, str(number), qos=1)


async def _taken(pull: Pull, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    while len(found) < count:
        found += await pull.take(count - len(found), wait_s=5.0)
    return found


async def _settle(bus: Bus, durable: Durable, count: int) -> None:
    async with Pull(bus, durable) as pull:
        for delivery in await _taken(pull, count):
            await delivery.ack_proven()


async def _left(bus: Bus) -> int:
    found: dict[str, Any] = await bus.api(f"STREAM.INFO.{MQTT_STREAM}")
    return int(found["state"]["messages"])


async def test_only_what_everybody_is_done_with_is_purged(bus: Bus, mqtt_address: tuple[str, int]) -> None:
    """A reading that was not acknowledged, and an answer that is still to be settled, keep all that lies after them."""
    space = MqttSpace(bus)
    await _publish(mqtt_address, READING, RESPONSE, READING, READING)

    async with Pull(bus, MQTT_UPLINKS) as pull:
        first, answer, third, last = await _taken(pull, 4)
        assert "responses" in answer.subject
        for delivery in (first, answer, last):
            await delivery.ack_proven()
        assert await space() == 0
        assert await _left(bus) == 4
        await _settle(bus, MQTT_RESPONSES, 1)
        assert await space() == answer.stream_sequence
        await third.ack_proven()

    assert await space() == last.stream_sequence
    assert await _left(bus) == 0


async def test_what_arrives_after_a_purge_is_delivered(bus: Bus, mqtt_address: tuple[str, int]) -> None:
    """A purge of everything that is done loses nothing that comes later."""
    space = MqttSpace(bus)
    for _ in range(3):
        await _publish(mqtt_address, READING, READING)
        await _settle(bus, MQTT_UPLINKS, 2)
        await space()

    await _publish(mqtt_address, READING)
    async with Pull(bus, MQTT_UPLINKS) as pull:
        (delivery,) = await _taken(pull, 1)
    assert delivery.body == b"0"


async def test_messages_of_others_are_not_purged(bus: Bus, mqtt_address: tuple[str, int]) -> None:
    """What an absent subscriber of MQTT is owed stays, however much is purged around it."""
    async with aiomqtt.Client(*mqtt_address, identifier="absent", clean_session=False) as client:
        await client.subscribe("elsewhere/#", qos=1)
    space = MqttSpace(bus)
    await _publish(mqtt_address, READING, "elsewhere/1", READING, "elsewhere/2", READING)
    await _settle(bus, MQTT_UPLINKS, 3)
    await space()

    assert await _left(bus) == 2
    async with aiomqtt.Client(*mqtt_address, identifier="absent", clean_session=False) as client:
        heard = [(await anext(client.messages)).payload for _ in range(2)]
    assert heard == [b"1", b"3"]


async def _with_pending(bus: Bus, count: int) -> dict[str, Any]:
    """Wait until so many messages are unacknowledged: the server takes acknowledgements in when it comes to them."""
    async with asyncio.timeout(50):
        while True:
            found: dict[str, Any] = await bus.api(f"CONSUMER.INFO.{MQTT_STREAM}.{MQTT_UPLINKS.name}")
            if found["num_ack_pending"] == count:
                return found
            await asyncio.sleep(0.02)


async def test_many_are_acknowledged_in_one_write(bus: Bus, mqtt_address: tuple[str, int]) -> None:
    """Each message is acknowledged for itself: the one between stays pending."""
    await _publish(mqtt_address, *[READING] * 5)
    async with Pull(bus, MQTT_UPLINKS) as pull:
        deliveries = await _taken(pull, 5)
        await acknowledge(bus, [*deliveries[:2], *deliveries[3:]])
        found = await _with_pending(bus, 1)

    assert found["ack_floor"]["stream_seq"] == deliveries[1].stream_sequence
