"""A site over a real socket: who it is, what it answers, and that it comes back."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from maasloop.core.clock import SystemClock
from maasloop.rsmp.commanding import CommandTimes
from maasloop.rsmp.dialect import Release
from maasloop.rsmp.events import (
    AggregatedStatusReported,
    AlarmReported,
    Closed,
    CommandEnded,
    Established,
    Event,
    Outcome,
    StatusReported,
)
from maasloop.rsmp.messages import AlarmAct, Quality, StatusName, Subscription
from maasloop.rsmp.supervisor import KnownSite, SupervisorSession
from maasloop.rsmp.transport import SupervisorServer, TransportSettings
from maasloop.testing.program import program
from maasloop.twin.rsmp.secret import SecurityCodes
from maasloop.twin.rsmp.sheet import SiteSheet
from maasloop.twin.rsmp.simulator import Happening, SiteSimulator

SITE = "RN+SI0001"
EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "rsmp-site.yaml"
CODE = {"securityCode": "2222"}


@dataclass
class Office:
    """A supervisor that keeps what it hears, and a site that may be connected to it."""

    server: SupervisorServer
    address: tuple[str, int] = ("", 0)
    heard: list[Event] = field(default_factory=list)
    told: list[Happening] = field(default_factory=list)
    site: SiteSimulator | None = None

    async def until[T: Event](self, kind: type[T], true: Callable[[T], bool] = lambda _: True) -> T:
        """Wait for an event that is not older than the last one waited for, and forget what came before it."""
        async with asyncio.timeout(50):
            while True:
                for place, each in enumerate(self.heard):
                    if isinstance(each, kind) and true(each):
                        del self.heard[: place + 1]
                        return each
                await asyncio.sleep(0.01)

    def do[T](self, action: Callable[[SupervisorSession, Any], T]) -> T:
        """Act on the link."""
        link = self.server.link(SITE)
        assert link is not None
        return link.do(action)

    async def order(self, code: str, values: dict[str, str], component: str = "TC") -> CommandEnded:
        """Send a command and wait for its end."""
        self.do(lambda session, now: session.command(component, code, values, now))
        return await self.until(CommandEnded, lambda each: each.code == code)


@asynccontextmanager
async def _office(known: KnownSite | None = None) -> AsyncIterator[Office]:
    heard: list[Event] = []
    settings = TransportSettings(commands=CommandTimes(read_back_interval_s=0.05))
    site = known or KnownSite("TC")
    server = SupervisorServer({SITE: site}.get, lambda _, event: heard.append(event), SystemClock(), settings)
    office = Office(server, heard=heard)
    office.address = await server.start("127.0.0.1", 0)
    try:
        yield office
    finally:
        await server.close()


@asynccontextmanager
async def _site(office: Office, sheet: SiteSheet) -> AsyncIterator[None]:
    office.site = SiteSimulator(sheet, SecurityCodes({1: "1111", 2: "2222"}), SystemClock(), office.told.append)
    running = asyncio.create_task(office.site.run(*office.address))
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _sheet(example: dict[str, Any], **changes: object) -> SiteSheet:
    link = example["link"] | {"watchdog_interval_s": 30, "acknowledgement_timeout_s": 20}
    return SiteSheet.model_validate(example | {"link": link} | changes)


@pytest.mark.parametrize("core", ["3.1.2", "3.1.3", "3.1.4", "3.1.5", "3.2.0", "3.2.1", "3.2.2"])
async def test_each_core_version_is_spoken(example: dict[str, Any], core: str) -> None:
    """The newest version that both know is agreed, and the site tells its state and every alarm of its list."""
    known = KnownSite("TC", frozenset([Release.parse(core)]))
    async with _office(known) as office, _site(office, _sheet(example)):
        established = await office.until(Established)
        status = await office.until(AggregatedStatusReported)
        alarm = await office.until(AlarmReported, lambda each: each.report.code == "A0302")

    assert (str(established.core), str(established.exchange_list)) == (core, "1.2.1")
    assert status.status.bits == (False, False, False, False, False, True, False, False)
    assert not alarm.report.active


async def test_the_next_list_is_offered_when_one_is_refused(example: dict[str, Any]) -> None:
    """A supervisor that knows only 1.0.15 is offered it in the end, and again after a lost link without detours."""
    known = KnownSite("TC", list_releases=frozenset([Release(1, 0, 15)]))
    async with _office(known) as office, _site(office, _sheet(example)):
        assert str((await office.until(Established)).exchange_list) == "1.0.15"
        refused = [each for each in office.told if each.kind == "refused"]
        office.do(lambda session, now: session.close("a test", now))
        assert str((await office.until(Established)).exchange_list) == "1.0.15"
        again = [each for each in office.told if each.kind == "refused"]

    assert len(refused) == 4
    assert again == refused


async def test_commands_are_confirmed_or_refused(example: dict[str, Any]) -> None:
    """The right code has its effect, a wrong one and a wrong value their reason; no code is told to anybody."""
    async with _office() as office, _site(office, _sheet(example)):
        await office.until(AggregatedStatusReported)
        right = await office.order("M0002", {"status": "True", "timeplan": "2", **CODE})
        wrong = await office.order("M0002", {"status": "True", "timeplan": "1", "securityCode": "1111"})
        strange = await office.order("M0002", {"status": "True", "timeplan": "9", **CODE})
        detector = await office.order("M0008", {"status": "True", "mode": "True", **CODE}, "DL1")
        nowhere = await office.order("M0002", {"status": "True", "timeplan": "1", **CODE}, "bad")

    assert right.outcome is Outcome.CONFIRMED
    assert (wrong.outcome, wrong.detail) == (Outcome.REFUSED, "Incorrect security code for level 2")
    assert (strange.outcome, strange.detail) == (Outcome.REFUSED, "Plan 9 does not exist")
    assert detector.outcome in {Outcome.ACCEPTED, Outcome.CONFIRMED}
    assert nowhere.outcome is Outcome.UNDEFINED
    told = "\n".join(each.line() for each in office.told)
    assert "M0002" in told
    assert "2222" not in told
    assert "1111" not in told


async def test_an_alarm_is_raised_acknowledged_suspended_and_resumed(example: dict[str, Any]) -> None:
    """Input 7 raises A0302; what a supervisor orders of it is told, and a suspended alarm is silent."""

    def force(value: str) -> dict[str, str]:
        return {"status": "True", "input": "7", "inputValue": value, **CODE}

    def is_now(act: AlarmAct) -> Callable[[AlarmReported], bool]:
        return lambda each: each.report.code == "A0302" and each.report.act is act

    async with _office() as office, _site(office, _sheet(example)):
        await office.until(AlarmReported, is_now(AlarmAct.ISSUE))
        office.do(lambda session, now: session.command("TC", "M0019", force("True"), now))
        await office.until(AlarmReported, lambda each: each.report.code == "A0302" and each.report.active)
        office.do(lambda session, now: session.order_alarm("DL1", "A0302", AlarmAct.ACKNOWLEDGE, now))
        acknowledged = await office.until(AlarmReported, is_now(AlarmAct.ACKNOWLEDGE))
        office.do(lambda session, now: session.order_alarm("DL1", "A0302", AlarmAct.SUSPEND, now))
        suspended = await office.until(AlarmReported, is_now(AlarmAct.SUSPEND))
        await office.order("M0019", force("False"))
        office.do(lambda session, now: session.order_alarm("DL1", "A0302", AlarmAct.RESUME, now))
        resumed = await office.until(AlarmReported, is_now(AlarmAct.SUSPEND))

    assert (acknowledged.report.active, acknowledged.report.acknowledged) == (True, True)
    assert suspended.report.suspended
    assert (resumed.report.suspended, resumed.report.active) == (False, False)
    assert dict(acknowledged.report.values)["logicerror"] == "always_off"


async def test_subscriptions_are_told_on_change_and_at_intervals(example: dict[str, Any]) -> None:
    """Signals change on change; a counter comes every second; after the end of a subscription nothing comes."""
    signals, counter = StatusName("S0001", "signalgroupstatus"), StatusName("S0001", "cyclecounter")
    async with _office() as office, _site(office, _sheet(example)):
        await office.until(AggregatedStatusReported)
        office.do(lambda session, now: session.subscribe("TC", [Subscription(*signals_of(signals), 0, True)], now))
        shown = {await _value(office, signals.name) for _ in range(4)}
        office.do(lambda session, now: session.unsubscribe("TC", [signals], now))
        office.do(lambda session, now: session.subscribe("TC", [Subscription(*signals_of(counter), 1000, False)], now))
        counted = [await _value(office, counter.name) for _ in range(3)]
        late = [each for each in office.heard if isinstance(each, StatusReported)]

    assert {"ffff", "gggg"} <= shown
    assert int(counted[2]) - int(counted[1]) in {1, 2, -44, -43}
    assert not [each for each in late if each.readings[0].name == signals.name]


def signals_of(name: StatusName) -> tuple[str, str]:
    """Return code and name."""
    return name.code, name.name


async def _value(office: Office, name: str) -> str:
    told = await office.until(StatusReported, lambda each: each.readings[0].name == name)
    return str(told.readings[0].value)


async def test_buffered_statuses_come_with_the_next_link(example: dict[str, Any]) -> None:
    """What changed without a link is told as old afterwards."""
    async with _office() as office, _site(office, _sheet(example)):
        await office.until(AggregatedStatusReported)
        office.do(lambda session, now: session.subscribe("TC", [Subscription("S0014", "status", 0, True)], now))
        await office.until(StatusReported)
        office.do(lambda session, now: session.close("a test", now))
        await office.until(Closed)
        assert office.site is not None
        office.site.cabinet.ordered_plan = 2
        office.site.step()
        old = await office.until(StatusReported, lambda each: each.readings[0].quality is Quality.OLD)

    assert old.readings[0].value == "2"


async def test_signals_go_on_being_told_without_a_link(example: dict[str, Any]) -> None:
    """A buffered subscription outlives its link: what its interval took meanwhile comes first, as old."""
    signals = [Subscription("S0001", "signalgroupstatus", 100, True)]
    async with _office() as office, _site(office, _sheet(example)):
        await office.until(AggregatedStatusReported)
        office.do(lambda session, now: session.subscribe("TC", signals, now))
        await office.until(StatusReported)
        office.do(lambda session, now: session.close("a test", now))
        await office.until(Closed)
        await office.until(Established)
        back = SystemClock().now()
        first = await office.until(StatusReported)

    assert first.readings[0].quality is Quality.OLD
    assert first.time < back


async def test_a_restart_loses_the_link_and_begins_with_the_start_up(example: dict[str, Any]) -> None:
    """The command is answered first; then the site is away, and comes back starting, in the first plan."""
    async with _office() as office, _site(office, _sheet(example)):
        await office.until(AggregatedStatusReported)
        await office.order("M0002", {"status": "True", "timeplan": "2", **CODE})
        ended = await office.order("M0004", {"status": "True", **CODE})
        await office.until(Closed)
        await office.until(Established)
        office.do(lambda session, now: session.request_status("TC", [StatusName("S0001", "signalgroupstatus")], now))
        shown = await _value(office, "signalgroupstatus")
        assert office.site is not None
        plan = office.site.cabinet.plan.number

    assert ended.outcome is Outcome.ACCEPTED
    assert (shown, plan) == ("eeee", 1)


async def test_a_supervisor_that_does_not_acknowledge_is_left(example: dict[str, Any]) -> None:
    """Without an acknowledgement the site closes the connection, and connects again with a version."""
    first: list[bytes] = []
    ended = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.append(await reader.readuntil(b"\f"))
        await reader.read()
        writer.close()
        if len(first) > 1:
            ended.set()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    office = Office(SupervisorServer(lambda _: None, lambda *_: None, SystemClock()))
    office.address = server.sockets[0].getsockname()[:2]
    async with server, _site(office, SiteSheet.model_validate(example)), asyncio.timeout(50):
        await ended.wait()

    assert all(json.loads(each[:-1])["type"] == "Version" for each in first)


async def test_the_command_runs_a_site_until_it_is_stopped() -> None:
    """`maasloop twin rsmp-site` connects, tells what happens as JSON, and ends with SIGTERM."""
    async with _office() as office:
        site = program(
            sys.executable, "-c", "from maasloop.cli.main import run; run()",
            "twin", "rsmp-site", "--sheet", str(EXAMPLE), "--supervisor", f"127.0.0.1:{office.address[1]}",
            "--json", "--list", "1.1", "--core", "3.1.5",
            stdout=asyncio.subprocess.PIPE, environment=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        async with site as process:
            established = await office.until(Established)
            process.send_signal(signal.SIGTERM)
            out, _ = await process.communicate()

    told = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 0
    assert (str(established.core), str(established.exchange_list)) == ("3.1.5", "1.1.0")
    assert {"power on", "link"} <= {each["kind"] for each in told}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--supervisor", "nowhere"], "HOST:PORT is expected"),
        (["--supervisor", "127.0.0.1:1", "--list", "1.0.7"], "has no exchange list 1.0.7"),
        (["--supervisor", "127.0.0.1:1", "--list", "2027"], "a version like 3.1.5 is needed"),
        (["--supervisor", "127.0.0.1:1", "--core", "4.0"], "has no such core"),
        (["--supervisor", "127.0.0.1:1", "--tls-key", "x"], "TLS needs certificate, key and authority"),
    ],
)
def test_a_wrong_call_is_told(arguments: list[str], problem: str) -> None:
    """An argument that cannot be is named, and nothing is started."""
    import typer
    from typer.testing import CliRunner

    from maasloop.twin.rsmp.command import add_to

    app = typer.Typer()
    add_to(app)
    ended = CliRunner().invoke(app, ["twin", "rsmp-site", "--sheet", str(EXAMPLE), *arguments], env={"COLUMNS": "200"})

    assert ended.exit_code != 0
    assert problem in ended.output
