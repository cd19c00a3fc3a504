"""A signal controller over RSMP on the whole stack: what it tells is remembered, and what it is asked is read back."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.api.device.v1.device_pb2 import Device
from maasloop.core.clock import SystemClock
from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.site import SiteIdentity
from maasloop.rsmp.site_state import SiteState
from maasloop.rsmp.transport import SiteClient, TransportSettings
from maasloop.twin.devices.readings import Reading
from rsmp_link import SITE, Cabinet

if TYPE_CHECKING:
    from tests.e2e.conftest import Town

CATALOGUE = Path(__file__).resolve().parents[2] / "examples" / "rsmp-catalogue.json"
CONFIG: dict[str, Any] = {
    "rsmp": {
        "site_ids": [SITE],
        "controller": "TC",
        "signal_groups": ["SG1"],
        "detector_logics": {"DL1": "loop-1"},
        "security_codes": {"2": "env:E2E_RSMP_CODE"},
    },
    "controls": {"plans": [{"id": 1}, {"id": 3}]},
}
CLI_TIMEOUT_S = 60


async def _maasloop(town: "Town", *words: str) -> Any:  # noqa: ANN401 - JSON
    """Run the command line, and return the JSON that it prints."""
    root = str(town.stack.directory.root)
    command = [str(Path(sys.executable).with_name("maasloop")), "--root", root, *words, "--json"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await asyncio.wait_for(process.communicate(), CLI_TIMEOUT_S)
    assert process.returncode == 0, words
    return json.loads(printed)


async def _register(town: "Town") -> None:
    await _maasloop(town, "catalogue", "apply", str(CATALOGUE))
    controller = Device(name="tlc-1", device_type="deviceTypes/rsmp-controller")
    controller.config.update(CONFIG)
    detector = Device(name="loop-1", device_type="deviceTypes/rsmp-detector")
    await town.add_devices([controller, detector], Reading("loop-1", "presence", town.now_us(), 1.0))


@pytest.mark.e2e
@pytest.mark.timeout(180)
async def test_a_plan_is_read_back_over_rsmp(rsmp_town: "tuple[Town, int]") -> None:
    """A controller that is a line of the registry takes a plan; the status that showed it is stored, and named."""
    town, port = rsmp_town
    await _register(town)
    client = SiteClient(
        SiteIdentity((SITE,), "1.2.1"),
        SiteState(Cabinet(), tlc(TLC_RELEASES[-1])),
        lambda _: None,
        SystemClock(),
        TransportSettings(reconnect_s=0.5),
    )
    running = asyncio.create_task(client.run("127.0.0.1", port))

    async def told() -> dict[str, str]:
        latest = await _maasloop(town, "observations", "latest", town.district, "--device", "tlc-1")
        return {each["observedProperty"].rpartition("/")[2]: each.get("state", "") for each in latest}

    async def linked() -> bool:
        return (await told()).get("signal-state") == "G"

    async def settled() -> Command | None:
        (command,) = await town.commands("tlc-1")
        return command if command.state > Command.STATE_ACKNOWLEDGED else None

    await town.until(linked)
    await _maasloop(town, "commands", "issue", f"{town.district}/tlc-1", "--setpoint", '{"signalPlan": {"plan": 3}}')
    command = await town.until(settled)

    async def remembered() -> bool:
        found = await told()
        return found.get("controller-status") == "M0002 S0014.status=3" and found.get("signal-plan") == "3"

    assert command is not None
    assert (command.state, command.reason) == (Command.STATE_VERIFIED, "EFFECT_OBSERVED")
    assert "evidence tlc-1/controller-status@" in command.detail
    assert await town.until(remembered)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
