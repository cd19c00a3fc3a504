"""The loop of a lamp over real NATS and TimescaleDB: presence, command, device, proof."""

from collections.abc import Callable
from typing import Any

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.api.observation.v1.events_pb2 import DeviceResponse

CLASS_POWER_W = 2.0 + 98.0 * 0.8


async def test_presence_lights_a_lamp_until_it_is_verified(world: Any, now_us: Callable[[], int]) -> None:
    """A presence reading becomes a command at the lamp, and the lamp's power meter verifies it."""
    await world.make_policy()

    async def obey(command: dict[str, Any]) -> None:
        await world.respond(command, DeviceResponse.ANSWER_ACKNOWLEDGED)
        await world.report([(command["device"], "power", CLASS_POWER_W, now_us())], domain="energy")

    world.answer = obey
    await world.report([("lamp-1", "presence", 1.0, now_us())])
    await world.until(lambda: world.received)

    command = world.received[0]
    assert command["setpoint"] == {"lightLevel": {"levelPercent": 80.0, "rampS": 0.0}}
    found = await world.until_state(command["commandId"], Command.STATE_VERIFIED)
    assert found.reason == "EFFECT_OBSERVED"
    assert found.issuer == "policies/follow"
    assert found.cause.startswith("lamp-1/presence@")
    await world.until(lambda: "settled" in world.verbs())
    assert world.verbs() == ["issued", "dispatched", "settled"]
