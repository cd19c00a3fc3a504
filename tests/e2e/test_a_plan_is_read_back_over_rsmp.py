"""A signal controller over RSMP on the whole stack: what it tells is remembered, and what it is asked is read back.

What one person alone may not order it does when a second one agreed.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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
from maasloop.twin.rsmp.secret import SecurityCodes
from maasloop.twin.rsmp.sheet import read_sheet
from maasloop.twin.rsmp.simulator import SiteSimulator
from rsmp_link import SITE, Cabinet

if TYPE_CHECKING:
    from tests.e2e.conftest import Supervised, Town

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CATALOGUE = EXAMPLES / "rsmp-catalogue.json"
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
SIMULATED = "RN+SI0002"
GROUPS = ["A1", "A2", "B1", "B2"]
SIMULATED_CONFIG: dict[str, Any] = {
    "rsmp": {
        "site_ids": [SIMULATED],
        "controller": "TC",
        "signal_groups": GROUPS,
        "security_codes": {"2": "env:E2E_RSMP_CODE"},
        "next_security_codes": {"2": "env:E2E_RSMP_NEXT_CODE"},
    },
    "controls": {"plans": [{"id": 1}]},
}
CLI_TIMEOUT_S = 150


async def _ran(town: "Town", *words: str, token_file: Path | None = None) -> tuple[int, str]:
    """Run the command line, with the token of a person or as the operator; return its status and what it says."""
    root = str(town.stack.directory.root)
    command = [str(Path(sys.executable).with_name("maasloop")), "--root", root, *words, "--json"]
    variables = os.environ | ({"MAASLOOP_CLI__TOKEN_FILE": str(token_file)} if token_file else {})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=variables, stdout=pipe, stderr=pipe)
    printed, error = await asyncio.wait_for(process.communicate(), CLI_TIMEOUT_S)
    return int(process.returncode or 0), (printed or error).decode()


async def _maasloop(town: "Town", *words: str, token_file: Path | None = None) -> Any:  # noqa: ANN401 - JSON
    """Run the command line to a good end, and return the JSON that it prints."""
    status, said = await _ran(town, *words, token_file=token_file)
    assert status == 0, said
    return json.loads(said)


async def _register(town: "Town", controller_id: str, config: dict[str, Any], detector_id: str) -> None:
    await _maasloop(town, "catalogue", "apply", str(CATALOGUE))
    controller = Device(name=controller_id, device_type="deviceTypes/rsmp-controller")
    controller.config.update(config)
    detector = Device(name=detector_id, device_type="deviceTypes/rsmp-detector")
    await town.add_devices([controller, detector], Reading(detector_id, "presence", town.now_us(), 1.0))


@pytest.mark.e2e
@pytest.mark.timeout(400)
async def test_a_plan_is_read_back_over_rsmp(supervised: "Supervised") -> None:
    """A controller that is a line of the registry takes a plan; the status that showed it is stored, and named."""
    town = supervised.town
    await _register(town, "tlc-1", CONFIG, "loop-1")
    client = SiteClient(
        SiteIdentity((SITE,), "1.2.1"),
        SiteState(Cabinet(), tlc(TLC_RELEASES[-1])),
        lambda _: None,
        SystemClock(),
        TransportSettings(reconnect_s=0.5),
    )
    running = asyncio.create_task(client.run("127.0.0.1", supervised.port))

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


@asynccontextmanager
async def _simulated(port: int) -> AsyncIterator[SiteSimulator]:
    """Let a simulated site live, with the patience of a busy machine."""
    sheet = read_sheet(EXAMPLES / "rsmp-site.yaml")
    link = sheet.link.model_copy(update={"acknowledgement_timeout_s": 20.0, "watchdog_interval_s": 30.0})
    told = sheet.model_copy(update={"site_id": SIMULATED, "link": link})
    site = SiteSimulator(told, SecurityCodes({1: "1111", 2: "2222"}), SystemClock(), lambda _: None)
    running = asyncio.create_task(site.run("127.0.0.1", port))
    try:
        yield site
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _asked(does: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return does()

    return ask


@pytest.mark.e2e
@pytest.mark.timeout(400)
async def test_what_two_persons_agree_on_reaches_the_site(supervised: "Supervised", tmp_path: Path) -> None:
    """One asks for a dark controller and for another code, and cannot agree to it; another one does, and the site obeys."""
    town, port, issuer = supervised
    people = {name: tmp_path / name for name in ("anna", "bert")}
    for name, file in people.items():
        file.write_text(issuer.token(name, "signals"))
    await _register(town, "tlc-2", SIMULATED_CONFIG, "loop-2")

    async def agreed(setpoint: str) -> None:
        request = ("approvals", "request", f"{town.district}/tlc-2", "--why", "works", "--setpoint", setpoint)
        wanted = await _maasloop(town, *request, token_file=people["anna"])
        alone = await _ran(town, "approvals", "grant", wanted["name"], token_file=people["anna"])
        assert (alone[0], "APPROVAL_MISSING" in alone[1]) == (1, True)
        command = await _maasloop(town, "approvals", "grant", wanted["name"], token_file=people["bert"])
        assert command["issuer"] == "person/anna"
        assert "person/bert" in json.dumps(command["setpoint"])

    async with _simulated(port) as site:
        await town.until(_asked(lambda: site.cabinet.linked and site.cabinet.position.in_control))
        await agreed('{"operatingMode": {"mode": "MODE_DARK"}}')
        await town.until(_asked(lambda: site.cabinet.position.shown == "b"))

        async def seen() -> bool:
            return [one.state for one in await town.commands("tlc-2")] == [Command.STATE_VERIFIED]

        await town.until(seen)
        assert site.cabinet.codes.right(2, "2222")
        await agreed('{"securityCodeChange": {"level": 2}}')
        await town.until(_asked(lambda: site.cabinet.codes.right(2, "3333")))
