"""A cabinet that speaks for three lamps, and a policy by which they follow whoever passes."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.api.command.v1.policy_service_pb2 import CreatePolicyRequest, Policy, SetPolicyModeRequest
from maasloop.api.command.v1.policy_service_pb2_grpc import PolicyServiceStub
from maasloop.api.device.v1.device_pb2 import Device
from maasloop.twin.devices.commands import Answer, light_command
from maasloop.twin.devices.lamp import Lamp, LampFacts
from maasloop.twin.devices.readings import MICROSECONDS, Reading

if TYPE_CHECKING:
    from tests.e2e.conftest import Link, Town

LAMPS = ("lamp-1", "lamp-2", "lamp-3")
FACTS = LampFacts(
    installed_power_w=200.0, standby_power_w=2.0, lighting_class="P4", class_level_percent=80.0, floor_percent=68.0
)
"""The floor is near, because the way down lasts a second for each per cent, and the meter tells it from bright."""
HOLD_S = 12
"""Longer than a lamp that was raised must stay bright."""


class Cabinet:
    """Speaks for three lamps, which obey and whose meters tell every second what they draw."""

    def __init__(self, link: "Link") -> None:
        """Stand there with lamps that burn at their class level."""
        self.link = link
        self.lamps = {name: Lamp(FACTS) for name in LAMPS}
        self.targets: list[tuple[str, float]] = []

    async def obey(self) -> None:
        """Answer commands and hand them to the lamps."""
        while True:
            command = await self.link.heard.get()
            wanted = light_command(command)
            if self.lamps[command.device].take(wanted):
                self.targets.append((command.device, wanted.level_percent))
            await self.link.answer(Answer(command.command_id, command.device))

    async def tick(self, town: "Town") -> None:
        """Let the lamps live, and tell what their meters show."""
        while True:
            second = town.now_us() // MICROSECONDS
            for lamp in self.lamps.values():
                lamp.tick(second)
            time_us = second * MICROSECONDS
            await self.link.report([Reading(name, "power", time_us, lamp.power_w) for name, lamp in self.lamps.items()])
            await asyncio.sleep(1.0 - town.now_us() % MICROSECONDS / MICROSECONDS)

    async def see(self, town: "Town", name: str, present: float) -> None:
        """Tell whether somebody is at a lamp."""
        await self.link.report([Reading(name, "presence", town.now_us(), present)])


async def register(town: "Town") -> None:
    """Register the cabinet, its lamps and a sensor of dusk."""
    lamps = [Device(name=name, device_type="deviceTypes/streetlight", gateway="cabinet") for name in LAMPS]
    for lamp in lamps:
        lamp.config.update(asdict(FACTS))
    cabinet = Device(name="cabinet", device_type="deviceTypes/street-cabinet")
    dusk = Device(name="dusk", device_type="deviceTypes/light-sensor")
    await town.add_devices([cabinet, *lamps, dusk], Reading("dusk", "illuminance", town.now_us(), 2.0))


async def follow(town: "Town") -> None:
    """Let the demo's policy act, with a shorter hold."""
    policy = Policy(
        display_name="Light where somebody moves in the dark",
        district=town.district,
        observed_properties=["presence"],
        on_condition='value > 0.5 && latest["illuminance"] < 20.0',
        hold=Duration(seconds=HOLD_S),
        scope=Policy.SCOPE_DEVICE,
        on_level_percent=FACTS.class_level_percent,
        off_level_percent=0.0,
    )
    async with town.channel("actuation") as channel:
        policies: Any = PolicyServiceStub(channel)
        created = await policies.CreatePolicy(CreatePolicyRequest(policy_id="follow", policy=policy))
        await policies.SetPolicyMode(SetPolicyModeRequest(name=created.name, mode=Policy.MODE_ACTIVE))


async def verified(town: "Town", lamp: str, level_percent: float, count: int) -> list[Command]:
    """Return a lamp's commands to a level as soon as so many are proven by its meter."""

    async def proven() -> list[Command]:
        found = [
            one
            for one in await town.commands(lamp)
            if one.state == Command.STATE_VERIFIED and one.setpoint.light_level.level_percent == level_percent
        ]
        return found if len(found) >= count else []

    return await town.until(proven)
