"""A restart of actuation: what a condition looks up was reported before it, and is there again."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from maasloop.api.command.v1.policy_service_pb2 import CreatePolicyRequest, Policy, SetPolicyModeRequest
from maasloop.api.command.v1.policy_service_pb2_grpc import PolicyServiceStub
from maasloop.api.device.v1.device_pb2 import Device, DeviceType, District, ObservedProperty
from maasloop.api.device.v1.device_service_pb2 import (
    CreateDeviceRequest,
    CreateDeviceTypeRequest,
    CreateDistrictRequest,
    CreateObservedPropertyRequest,
)
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest
from maasloop.api.observation.v1.ingest_service_pb2_grpc import IngestServiceStub
from maasloop.api.observation.v1.series_service_pb2 import ListLatestObservationsRequest, SeriesSelection
from maasloop.api.observation.v1.series_service_pb2_grpc import SeriesServiceStub
from maasloop.bus import subjects
from maasloop.bus.columns import build_columns
from maasloop.core.clock import SystemClock
from maasloop.identity.command_keys import KeySetFile
from maasloop.identity.commands import CommandGuard
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.testing.buses import devices_bus
from maasloop.testing.plugin import running_stack

SERVICES = ("device-registry", "consent", "ingest", "timeseries", "actuation")
DISTRICT = "noord"
PARENT = f"districts/{DISTRICT}"
LAMP_CONFIG = {"installed_power_w": 100, "standby_power_w": 2, "class_level_percent": 80, "floor_percent": 20}
PAUSE_S = 0.05


@pytest.fixture(name="stack")
def _stack() -> Iterator[LocalStack]:
    with running_stack(StackOptions(services=SERVICES)) as stack:
        yield stack


async def _register(stack: LocalStack) -> None:
    async with stack.channel("device-registry") as channel:
        registry: Any = DeviceServiceStub(channel)
        await registry.CreateDistrict(
            CreateDistrictRequest(district_id=DISTRICT, district=District(display_name="Noord"))
        )
        for name, domain in (("presence", "mobility"), ("illuminance", "light"), ("power", "energy")):
            kind = ObservedProperty.KIND_BOOLEAN if name == "presence" else ObservedProperty.KIND_NUMBER
            unit = "" if name == "presence" else "1"
            found = ObservedProperty(display_name=name, domain=domain, kind=kind, unit=unit, retention="90d")
            await registry.CreateObservedProperty(
                CreateObservedPropertyRequest(observed_property_id=name, observed_property=found)
            )
        for name, properties, capabilities in (
            ("streetlight", ("presence", "power"), [DeviceType.CAPABILITY_LIGHT_LEVEL]),
            ("light-sensor", ("illuminance",), []),
        ):
            wanted = DeviceType(
                display_name=name,
                observed_properties=[f"observedProperties/{one}" for one in properties],
                capabilities=capabilities,
            )
            await registry.CreateDeviceType(CreateDeviceTypeRequest(device_type_id=name, device_type=wanted))
        lamp = Device(device_type="deviceTypes/streetlight")
        lamp.config.update(LAMP_CONFIG)
        for name, device in (("lamp", lamp), ("sensor", Device(device_type="deviceTypes/light-sensor"))):
            await registry.CreateDevice(
                CreateDeviceRequest(parent=PARENT, device_id=name, device=device, activate=True)
            )


async def _make_policy(stack: LocalStack) -> None:
    async with stack.channel("actuation") as channel:
        policies: Any = PolicyServiceStub(channel)
        policy = Policy(
            display_name="Light where somebody moves in the dark",
            district=DISTRICT,
            observed_properties=["presence"],
            on_condition='value > 0.5 && latest["illuminance"] < 20.0',
            on_level_percent=80.0,
            off_level_percent=20.0,
        )
        created = await policies.CreatePolicy(CreatePolicyRequest(policy_id="dark", policy=policy))
        await policies.SetPolicyMode(SetPolicyModeRequest(name=created.name, mode=Policy.MODE_ACTIVE))


async def _report(stack: LocalStack, device: str, observed_property: str, value: float) -> int:
    columns = build_columns([device], [observed_property], [0], [0], [SystemClock().now_us()], [value])
    async with stack.channel("ingest") as channel:
        ingest: Any = IngestServiceStub(channel)
        request = RecordObservationsRequest(parent=PARENT, observations=columns.message())
        return int((await ingest.RecordObservations(request)).accepted_count)


async def _until_remembered(stack: LocalStack) -> None:
    selection = SeriesSelection(parent=PARENT, observed_properties=["illuminance"])
    async with stack.channel("timeseries") as channel:
        series: Any = SeriesServiceStub(channel)
        while not (  # noqa: ASYNC110 - it happens in another process
            await series.ListLatestObservations(ListLatestObservationsRequest(selection=selection))
        ).observations:
            await asyncio.sleep(PAUSE_S)


@pytest.mark.timeout(120)
async def test_a_condition_knows_after_a_kill_what_was_reported_before(stack: LocalStack) -> None:
    """It was dark before actuation was killed, nobody says so again, and the next passer-by still gets light."""
    await _register(stack)
    await _make_policy(stack)
    while not await _report(stack, "sensor", "illuminance", 1.0):  # noqa: ASYNC110 - ingest learns of it
        await asyncio.sleep(PAUSE_S)
    await _until_remembered(stack)

    stack.services["actuation"].kill9()
    stack.services["actuation"].start()
    await stack.wait_ready("actuation")

    heard: list[dict[str, Any]] = []
    guard = CommandGuard(DISTRICT, ["lamp"], KeySetFile(stack.directory.command_keys))
    async with devices_bus(stack) as bus:

        async def hear(message: Any) -> None:  # noqa: ANN401 - a message of the driver
            opened = guard.open(message.data, device="lamp", now_us=SystemClock().now_us())
            heard.append(json.loads(opened.payload))

        await bus.listen(subjects.downlink(DISTRICT, "lamp", subjects.DownlinkKind.COMMANDS), hear)
        while not heard:
            await _report(stack, "lamp", "presence", 1.0)
            await asyncio.sleep(1.0)
    assert heard[0]["setpoint"]["lightLevel"]["levelPercent"] == 80.0


@pytest.fixture(name="lonely_stack")
def _lonely_stack() -> Iterator[LocalStack]:
    nobody = {"MAASLOOP_ACTUATION__TIMESERIES_ADDRESS": "127.0.0.1:9"}
    with running_stack(StackOptions(services=("device-registry", "actuation"), environment=nobody)) as stack:
        yield stack


@pytest.mark.timeout(120)
async def test_without_timeseries_actuation_begins_empty_and_says_so(lonely_stack: LocalStack) -> None:
    """Nothing answers at the address: the service is ready all the same, and names what it does not know and why."""
    await _make_policy(lonely_stack)
    lonely_stack.services["actuation"].kill9()
    lonely_stack.services["actuation"].start()
    await lonely_stack.wait_ready("actuation")

    notes: dict[str, str] = {}
    while "Unavailable" not in notes.get("timeseries", ""):
        await asyncio.sleep(PAUSE_S)
        notes = await asyncio.to_thread(_notes, lonely_stack.addresses["actuation"].health)
    assert "latest values of noord are not restored" in notes["timeseries"]


def _notes(health: str) -> dict[str, str]:
    with urllib.request.urlopen(f"http://{health}/health/ready", timeout=5) as answer:
        notes: dict[str, str] = json.load(answer).get("notes", {})
    return notes
