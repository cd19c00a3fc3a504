"""Commands to an RSMP site through the whole service over real NATS, TimescaleDB and TCP: only a status verifies."""

# ruff: noqa: ANN401 - the fixtures' classes live in conftest, which cannot be imported by name

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from maasloop.api.command.v1.command_pb2 import AUTHORITY_ADAPTIVE, Command, Setpoint
from maasloop.api.command.v1.command_service_pb2 import IssueCommandRequest
from maasloop.api.command.v1.signal_plan_pb2 import (
    FORCED_STATE_FORCED_ON,
    AlarmHandling,
    InputSetting,
    InputSettings,
    OperatingMode,
    SignalBand,
    SignalPlan,
)
from maasloop.api.device.v1 import device_pb2
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest, RecordObservationsResponse
from maasloop.bus.subjects import INGEST_RECORD
from maasloop.core.clock import SystemClock
from maasloop.rpc.times import timestamp_from_us
from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.messages import StatusName, Value
from maasloop.rsmp.site import SiteIdentity
from maasloop.rsmp.site_state import SiteState
from maasloop.rsmp.transport import SiteClient, TransportSettings
from maasloop.stack.ports import free_ports
from rsmp_link import SITE, Cabinet

CODE = "2222"
CONFIG = {
    "rsmp": {
        "site_ids": [SITE],
        "controller": "TC",
        "signal_groups": {"SG1": "north"},
        "detector_logics": {"DL1": "loop-1"},
        "security_codes": {"2": "env:TEST_RSMP_CODE"},
    },
    "controls": {"plans": [{"id": 1, "bands": [[1, 15]]}, {"id": 3}]},
}
BANDS = SignalPlan(plan=1, bands=[SignalBand(band=1, extension_s=12)])


@dataclass
class BandCabinet(Cabinet):
    """A controller that takes bands and their time-out as well."""

    def execute(self, component: str, code: str, values: Mapping[str, Value]) -> None:
        """Carry out what a plan needs."""
        super().execute(component, code, values)
        if code == "M0002" and values["status"] == "False":
            self.set("S0014", "source", "calendar_clock")
        elif code == "M0014" and not self.deaf:
            self.set("S0023", "status", f"{values['plan']}-{values['status']}")
        elif code == "M0023":
            self.set("S0034", "status", values["status"])


@dataclass
class Ingest:
    """The door of ingest, which keeps what it is handed."""

    words: list[tuple[str, str, str]] = field(default_factory=list)
    """Device, observed property and state."""

    async def hear(self, message: Any) -> None:
        """Keep a batch and answer as ingest does."""
        request = RecordObservationsRequest.FromString(message.data)
        names = request.observations.dictionary
        for each in request.observations.states:
            name = names.observed_properties[each.property_index]
            self.words.append((names.devices[each.device_index], name, each.state))
        await message.respond(RecordObservationsResponse(accepted_count=1).SerializeToString())


@dataclass
class Town:
    """The running service, a site, and what ingest was handed."""

    world: Any
    ingest: Ingest
    cabinet: BandCabinet
    address: tuple[str, int]
    ending: AsyncExitStack
    running: list[asyncio.Task[None]] = field(default_factory=list)

    async def connect(self) -> SiteClient:
        """Connect the site, and return when its groups are told."""
        state = SiteState(self.cabinet, tlc(TLC_RELEASES[-1]))
        client = SiteClient(SiteIdentity((SITE,), "1.2.1"), state, lambda _: None, SystemClock(), TransportSettings())
        self.running.append(asyncio.create_task(client.run(*self.address)))
        await self.world.until(lambda: ("tlc-1", "signal-state", "G") in self.ingest.words)
        return client

    async def stop(self) -> None:
        """Take the site away, and end the service."""
        await self.disconnect()
        await self.ending.aclose()

    async def disconnect(self) -> None:
        """Take the site away."""
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)

    async def issue(self, setpoint: Setpoint, **fields: Any) -> Command:
        """Ask for something of the site."""
        command = Command(device="tlc-1", setpoint=setpoint, **fields)
        request = IssueCommandRequest(parent="districts/noord", command=command, request_id=str(uuid4()))
        issued: Command = await self.world.commands.IssueCommand(request)
        return issued


@pytest.fixture
async def town(
    servers: Any, make_world: Callable[[], AbstractAsyncContextManager[Any]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Town]:
    """Return a service that supervises one site, which is not connected yet."""
    monkeypatch.setenv("TEST_RSMP_CODE", CODE)
    (port,) = free_ports(1)
    servers.rsmp_address = f"127.0.0.1:{port}"
    servers.registry.add_type("rsmp-controller", device_pb2.DeviceType.CAPABILITY_SIGNAL_PLAN)
    servers.registry.add_device("tlc-1", "rsmp-controller", CONFIG)
    async with _town(make_world, port) as found:
        yield found


@asynccontextmanager
async def _town(make_world: Callable[[], AbstractAsyncContextManager[Any]], port: int) -> AsyncIterator[Town]:
    async with AsyncExitStack() as ending:
        world = await ending.enter_async_context(make_world())
        found = Town(world, Ingest(), BandCabinet(), ("127.0.0.1", port), ending)
        await world.bus.listen(INGEST_RECORD, found.ingest.hear)
        await world.bus.client.flush()
        try:
            yield found
        finally:
            await found.disconnect()


async def test_a_plan_is_verified_by_the_status_that_was_stored(town: Town, capfd: pytest.CaptureFixture[str]) -> None:
    """Plan, dead-man and bands reach the site with its code; the command names the observation; no log has the code."""
    await town.connect()
    issued = await town.issue(Setpoint(signal_plan=BANDS), authority=AUTHORITY_ADAPTIVE)
    found = await town.world.until_state(issued.name, Command.STATE_VERIFIED)

    assert [code for _, code in town.cabinet.executed] == ["M0002", "M0023", "M0014"]
    assert found.reason == "EFFECT_OBSERVED"
    assert "evidence tlc-1/controller-status@" in found.detail
    evidence = [state for device, name, state in town.ingest.words if (device, name) == ("tlc-1", "controller-status")]
    assert {state.split()[0] for state in evidence} == {"M0002", "M0023", "M0014"}
    printed = capfd.readouterr()
    assert CODE not in printed.out + printed.err


async def test_a_taken_command_without_its_status_is_not_verified(town: Town) -> None:
    """A site that answers and does nothing leaves the command acknowledged; the lost link then fails it."""
    town.cabinet.deaf = True
    await town.connect()
    issued = await town.issue(Setpoint(signal_plan=SignalPlan(plan=3)))
    await town.world.until_state(issued.name, Command.STATE_ACKNOWLEDGED)
    await town.disconnect()
    found = await town.world.until_state(issued.name, Command.STATE_FAILED)

    assert (found.reason, "link was lost" in found.detail) == ("DEVICE_SILENT", True)


async def test_an_optimiser_may_not_change_the_mode(town: Town) -> None:
    """The kernel refuses before anything reaches the site."""
    await town.connect()
    flash = OperatingMode(mode=OperatingMode.MODE_YELLOW_FLASH)
    found = await town.issue(Setpoint(operating_mode=flash), authority=AUTHORITY_ADAPTIVE)

    assert (found.state, found.reason) == (Command.STATE_REFUSED, "AUTHORITY_TOO_LOW")
    assert not town.cabinet.executed


async def test_without_a_link_a_command_fails_at_once(town: Town) -> None:
    """A site that is not there is not waited for."""
    issued = await town.issue(Setpoint(signal_plan=SignalPlan(plan=3)))
    found = await town.world.until_state(issued.name, Command.STATE_FAILED)

    assert (found.reason, "no link" in found.detail) == ("DEVICE_SILENT", True)


async def test_a_wrong_code_is_a_refusal(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the site says comes back as the reason."""
    monkeypatch.setenv("TEST_RSMP_CODE", "9999")
    await town.connect()
    issued = await town.issue(Setpoint(signal_plan=SignalPlan(plan=3)))
    found = await town.world.until_state(issued.name, Command.STATE_FAILED)

    assert (found.reason, "wrong security code" in found.detail) == ("DEVICE_REFUSED", True)


async def test_a_plan_is_taken_back_at_its_expiry(town: Town, now_us: Callable[[], int]) -> None:
    """At the expiry the controller chooses its plan by itself again, without anybody asking."""
    await town.connect()
    issued = await town.issue(
        Setpoint(signal_plan=SignalPlan(plan=3)), expire_time=timestamp_from_us(now_us() + 1_500_000)
    )
    await town.world.until_state(issued.name, Command.STATE_VERIFIED)
    await town.world.until(lambda: [code for _, code in town.cabinet.executed] == ["M0002", "M0002"])

    assert town.cabinet.read("TC", StatusName("S0014", "source")).value == "calendar_clock"


async def test_an_alarm_is_acknowledged_by_a_person(town: Town) -> None:
    """The alarm as the site tells it afterwards is the proof, also where it was acknowledged before; a foreign one fails."""
    client = await town.connect()
    client.do(lambda session, now: session.set_alarm("SG1", "A0008", (), now, active=True))
    await town.world.until(lambda: ("tlc-1", "alarm", "A0008:SG1") in town.ingest.words)
    handling = AlarmHandling(act=AlarmHandling.ACT_ACKNOWLEDGE, code="A0008", signal_group="north")
    for _ in range(2):
        issued = await town.issue(Setpoint(alarm_handling=handling))
        found = await town.world.until_state(issued.name, Command.STATE_VERIFIED)
        assert "evidence tlc-1/controller-status@" in found.detail
    handling.signal_group = ""
    issued = await town.issue(Setpoint(alarm_handling=handling))
    found = await town.world.until_state(issued.name, Command.STATE_FAILED)

    assert (found.reason, "not a signal group" in found.detail) == ("DEVICE_REFUSED", True)


async def test_a_restart_forgets_nothing_that_stands(
    town: Town,
    servers: Any,
    make_world: Callable[[], AbstractAsyncContextManager[Any]],
    now_us: Callable[[], int],
) -> None:
    """The plan and the input of before are taken back at their expiry by the process that comes after."""
    await town.connect()
    ends = timestamp_from_us(now_us() + 8_000_000)
    plan = await town.issue(Setpoint(signal_plan=SignalPlan(plan=3)), expire_time=ends)
    await town.world.until_state(plan.name, Command.STATE_VERIFIED)
    forced = InputSetting(input=2, state=FORCED_STATE_FORCED_ON)
    await town.issue(Setpoint(input_settings=InputSettings(settings=[forced])), expire_time=ends)
    await town.world.until(lambda: ("TC", "M0019") in town.cabinet.executed)
    await town.stop()

    (port,) = free_ports(1)
    servers.rsmp_address = f"127.0.0.1:{port}"
    async with _town(make_world, port) as again:
        again.cabinet = town.cabinet
        await again.connect()
        await again.world.until(lambda: town.cabinet.executed.count(("TC", "M0019")) == 2)
        await again.world.until(lambda: town.cabinet.executed.count(("TC", "M0002")) == 2)
