"""Where a PUBACK is no custody: nats-server answers a publish that it denies as if it had kept it (2.15)."""

from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest

from maasloop.bus.connection import connect
from maasloop.bus.pull import Pull
from maasloop.bus.streams import MQTT_UPLINKS
from maasloop.bus.subjects import MQTT_STREAM, UplinkKind, mqtt_topic, uplink
from maasloop.stack.servers.nats import NatsServer

USER = "platform"
DEVICE = "station"
OWN = mqtt_topic(uplink("noord", DEVICE, UplinkKind.OBSERVATIONS_JSON))
OTHER = mqtt_topic(uplink("noord", "neighbour", UplinkKind.OBSERVATIONS_JSON))
RIGHTS = f"""
authorization {{
  users = [
    {{ user: {USER}, password: {USER} }}
    {{ user: {DEVICE}, password: {DEVICE}, permissions: {{
      publish: {{ allow: ["dev.v1.noord.{DEVICE}.up.>"] }}, subscribe: {{ allow: ["dev.v1.noord.{DEVICE}.down.>"] }}
    }} }}
  ]
}}
"""


@pytest.fixture(name="guarded")
def _guarded(tmp_path: Path) -> Iterator[NatsServer]:
    """Start a broker on which a device may publish as itself alone."""
    server = NatsServer(tmp_path, extra_configuration=RIGHTS)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _client(server: NatsServer, user: str) -> aiomqtt.Client:
    return aiomqtt.Client(*server.mqtt_address, identifier=user, username=user, password=user, timeout=5.0)


@pytest.mark.integration
async def test_a_publish_that_is_denied_has_a_puback_and_is_kept_nowhere(guarded: NatsServer) -> None:
    """Custody begins with the right to publish: what is allowed is in the stream, what is denied is in the broker's log."""
    url = guarded.url.replace("nats://", f"nats://{USER}:{USER}@")
    async with connect(url, name="test") as bus:
        async with _client(guarded, USER):
            pass
        body = {"stream_name": MQTT_STREAM, "config": MQTT_UPLINKS.config()}
        answer = await bus.api(f"CONSUMER.DURABLE.CREATE.{MQTT_STREAM}.{MQTT_UPLINKS.name}", body)
        assert "error" not in answer, answer
        async with _client(guarded, DEVICE) as device:
            await device.publish(OWN, b"1", qos=1, timeout=5.0)
            await device.publish(OTHER, b"2", qos=1, timeout=5.0)
            await device.publish(OWN, b"3", qos=1, timeout=5.0)
        async with Pull(bus, MQTT_UPLINKS) as pull:
            kept = [delivery.body for delivery in await pull.take(3, wait_s=5.0)]
            kept += [delivery.body for delivery in await pull.take(3, wait_s=0.5)]
        info = await bus.api(f"STREAM.INFO.{MQTT_STREAM}")

    assert kept == [b"1", b"3"]
    assert info["state"]["messages"] == 2
    assert guarded.process.log_path.read_text().count("Publish Violation") == 1
