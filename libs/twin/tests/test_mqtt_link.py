"""The MQTT link of a device against a real broker that goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from maasloop.bus.connection import connect
from maasloop.bus.subjects import MQTT_STREAM, UplinkKind, mqtt_topic, uplink
from maasloop.stack.doors import MqttListener
from maasloop.stack.servers.nats import NatsServer
from maasloop.twin.doors import mqtt
from maasloop.twin.doors.mqtt import MqttLink, NotAcknowledged

TOPIC = mqtt_topic(uplink("d", "air-01", UplinkKind.OBSERVATIONS_JSON))


@asynccontextmanager
async def running(link: MqttLink) -> AsyncIterator[MqttLink]:
    """Keep a link up for the block."""
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def link_to(server: NatsServer) -> MqttLink:
    """Return a link that listens to nothing."""
    return MqttLink(MqttListener(*server.mqtt_address), "air-01", [], lambda _topic, _payload: None)


async def test_a_publish_outlives_the_broker(nats_process: NatsServer) -> None:
    """What is sent while the broker is dead is acknowledged after its return."""
    async with running(link_to(nats_process)) as link:
        await link.send(TOPIC, b"1")
        nats_process.kill9()
        waiting = asyncio.create_task(link.send(TOPIC, b"2"))
        await asyncio.sleep(0)
        assert not waiting.done()
        nats_process.start()
        await waiting

    async with connect(nats_process.url, name="test") as bus:
        found = await bus.api(f"STREAM.INFO.{MQTT_STREAM}")
    assert found["config"]["name"] == MQTT_STREAM


async def test_a_publish_without_a_broker_ends_with_a_reason(
    nats_process: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device does not wait for ever."""
    monkeypatch.setattr(mqtt, "SEND_TIMEOUT_S", 0.3)
    link = link_to(nats_process)
    nats_process.kill9()
    async with running(link):
        with pytest.raises(NotAcknowledged):
            await link.send(TOPIC, b"1")
