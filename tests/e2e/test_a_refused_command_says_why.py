"""A refused command says why: to the caller, in the list, and on the command line."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.api.device.v1.device_pb2 import Device
from maasloop.rpc.times import timestamp_from_us
from maasloop.twin.devices.commands import Answer
from maasloop.twin.devices.lamp import LampFacts
from maasloop.twin.devices.readings import MICROSECONDS, Reading

if TYPE_CHECKING:
    from tests.e2e.conftest import Link, Town

FACTS = LampFacts(
    installed_power_w=36.0, standby_power_w=0.8, lighting_class="P4", class_level_percent=80.0, floor_percent=30.0
)
LAMPS = ("lamp-guarded", "lamp-stubborn", "lamp-silent", "lamp-brief")
BRIEF_S = 4
CLI_TIMEOUT_S = 60


async def _register(town: "Town") -> None:
    lamps = [Device(name=name, device_type="deviceTypes/streetlight") for name in LAMPS]
    for lamp in lamps:
        lamp.config.update(asdict(FACTS))
    dusk = Device(name="dusk", device_type="deviceTypes/light-sensor")
    await town.add_devices([*lamps, dusk], Reading("dusk", "illuminance", town.now_us(), 2.0))


async def _refuse(link: "Link") -> None:
    """Be a lamp that does nothing of what it is told, and says so in its own words."""
    while True:
        command = await link.heard.get()
        await link.answer(Answer(command.command_id, command.device, "DRIVER_FAULT"))


async def _ended(town: "Town", lamp: str) -> Command:
    """Return the only command to a lamp once its fate is known."""

    async def terminal() -> Command | None:
        (command,) = await town.commands(lamp)
        return command if command.state > Command.STATE_ACKNOWLEDGED else None

    found = await town.until(terminal)
    assert found is not None
    return found


async def _on_the_command_line(town: "Town") -> dict[str, tuple[str, str, str]]:
    """Return state, reason and detail by device, as an operator's terminal tells them."""
    root = str(town.stack.directory.root)
    command = (Path(sys.executable).with_name("maasloop"), "--root", root, "commands", "list", town.district)
    process = await asyncio.create_subprocess_exec(*command, "--json", stdout=asyncio.subprocess.PIPE)
    printed, _ = await asyncio.wait_for(process.communicate(), CLI_TIMEOUT_S)
    assert process.returncode == 0
    told = json.loads(printed)
    rows = told["commands"] if isinstance(told, dict) else told
    return {row["device"]: (row["state"], row["reason"], row["detail"]) for row in rows if row["device"] in LAMPS}


@pytest.mark.timeout(120)
async def test_a_refused_command_says_why(town: "Town") -> None:
    """The kernel, the device and silence each end a command with a reason of their own, wherever one looks."""
    await _register(town)
    async with town.link("lamp-stubborn") as link:
        refusing = asyncio.create_task(_refuse(link))
        guarded = await town.issue("lamp-guarded", 0.0)
        await town.issue("lamp-stubborn", 50.0)
        await town.issue("lamp-silent", 100.0)
        await town.issue("lamp-brief", 100.0, timestamp_from_us(town.now_us() + BRIEF_S * MICROSECONDS))
        stubborn, silent, brief = [await _ended(town, lamp) for lamp in LAMPS[1:]]
        refusing.cancel()
        await asyncio.gather(refusing, return_exceptions=True)

    ends = {one.device: (Command.State.Name(one.state), one.reason) for one in (guarded, stubborn, silent, brief)}
    assert ends["lamp-guarded"] == ("STATE_REFUSED", "BELOW_FLOOR")
    assert "30 %" in guarded.detail
    assert ends["lamp-stubborn"] == ("STATE_FAILED", "DEVICE_REFUSED")
    assert "DRIVER_FAULT" in stubborn.detail
    assert ends["lamp-silent"] == ("STATE_FAILED", "DEVICE_SILENT")
    assert ends["lamp-brief"] == ("STATE_EXPIRED", "COMMAND_EXPIRED")
    assert all(one.reason and one.detail for one in (guarded, stubborn, silent, brief))
    told = await _on_the_command_line(town)
    assert told == {
        one.device: (Command.State.Name(one.state), one.reason, one.detail)
        for one in (guarded, stubborn, silent, brief)
    }
