"""What somebody waits for comes again soon when its taker died."""

import asyncio

import aiomqtt
import pytest

from maasloop.bus import subjects
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import (
    ALERT_COMMANDS,
    ALERT_READINGS,
    MQTT_RESPONSES,
    MQTT_UPLINKS,
    SETTLEMENTS,
    STREET,
    Durable,
)
from maasloop.bus.subjects import UplinkKind, mqtt_topic, uplink

SOON = (ALERT_COMMANDS, ALERT_READINGS, MQTT_RESPONSES, MQTT_UPLINKS, SETTLEMENTS, STREET)
WITHIN_S = 20.0
"""Four times what is promised, and less than the broker waits where nobody is in a hurry."""
FACTS = (
    subjects.OBSERVATION_RECORDED.subject("noord", "air"),
    subjects.RESPONSE_RECORDED.subject("noord", "lamp"),
    subjects.COMMAND_SETTLED.subject("noord", "command"),
)


async def _taken(bus: Bus, durable: Durable) -> Delivery:
    async with Pull(bus, durable, outstanding_max=1) as pull:
        return (await pull.take(1, wait_s=WITHIN_S))[0]


@pytest.mark.timeout(120)
async def test_what_a_dead_taker_had_in_hand_comes_again_soon(nats_url: str, mqtt_address: tuple[str, int]) -> None:
    """A message that was sent to who never answers is another's a few seconds later, on every durable of the loop."""
    host, port = mqtt_address
    async with connect(nats_url, name="test") as bus:
        await ensure(bus, mqtt_url=f"mqtt://{host}:{port}")
        async with aiomqtt.Client(host, port, identifier="lamp") as client:
            await client.publish(mqtt_topic(uplink("noord", "lamp", UplinkKind.RESPONSES_JSON)), b"x", qos=1)
        for number, fact in enumerate(FACTS):
            await bus.publish(fact, b"x", {"Nats-Msg-Id": str(number)})
        lost = await asyncio.gather(*(_taken(bus, durable) for durable in SOON))
        again = await asyncio.gather(*(_taken(bus, durable) for durable in SOON))

    assert [each.attempt for each in lost] == [1] * len(SOON)
    assert [(each.id, each.attempt) for each in again] == [(each.id, 2) for each in lost]
