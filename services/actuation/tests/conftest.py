"""The service as a whole over real NATS and TimescaleDB, with a registry that the test fills, and devices over NATS."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from nats.aio.msg import Msg

from maasloop.actuation.app import PACKAGE, assemble
from maasloop.actuation.settings import ActuationSettings
from maasloop.api.command.v1 import command_pb2, policy_service_pb2
from maasloop.api.command.v1.command_service_pb2 import GetCommandRequest, IssueCommandRequest
from maasloop.api.command.v1.command_service_pb2_grpc import CommandServiceStub
from maasloop.api.command.v1.policy_service_pb2_grpc import PolicyServiceStub
from maasloop.api.device.v1 import device_pb2, events_pb2
from maasloop.api.device.v1.device_service_pb2 import WatchDevicesResponse
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceServicer, add_DeviceServiceServicer_to_server
from maasloop.api.observation.v1.events_pb2 import DeviceResponse, ResponseRecorded
from maasloop.api.observation.v1.observation_pb2 import StateObservation
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus import connection, subjects
from maasloop.bus.columns import build_columns
from maasloop.bus.connection import Bus
from maasloop.bus.ensure import ensure
from maasloop.bus.envelope import Envelope
from maasloop.core.clock import SystemClock
from maasloop.postgres.migrate import of_package
from maasloop.runtime.process import Process
from maasloop.stack.ports import free_ports

DISTRICT = "noord"
PAUSE_S = 0.02
LAMP_CONFIG = {
    "installed_power_w": 100.0,
    "standby_power_w": 2.0,
    "lighting_class": "P4",
    "class_level_percent": 80.0,
    "floor_percent": 20.0,
}
FACTS = (
    subjects.COMMAND_ISSUED,
    subjects.COMMAND_DISPATCHED,
    subjects.COMMAND_SETTLED,
    subjects.DECISION_RECORDED,
)

type Number = tuple[str, str, float, int]
type Word = tuple[str, str, str, int]


@dataclass
class FakeRegistry(DeviceServiceServicer):
    """Serves one snapshot, as the registry would."""

    resources: list[events_pb2.RegistryResource] = field(default_factory=list)

    def add(self, **resource: Any) -> None:  # noqa: ANN401 - one of the fields of the oneof
        """Add a resource with the next revision."""
        found = events_pb2.RegistryResource(**resource)
        kind = found.WhichOneof("resource")
        assert kind is not None
        getattr(found, kind).revision = len(self.resources) + 1
        self.resources.append(found)

    def add_type(self, name: str, *capabilities: Any) -> None:  # noqa: ANN401 - enum numbers
        """Add a device type."""
        self.add(device_type=device_pb2.DeviceType(name=f"deviceTypes/{name}", capabilities=capabilities))

    def add_device(
        self, name: str, device_type: str, config: dict[str, Any] | None = None, groups: Sequence[str] = ()
    ) -> None:
        """Add an active device."""
        device = device_pb2.Device(
            name=f"districts/{DISTRICT}/devices/{name}",
            device_type=f"deviceTypes/{device_type}",
            groups=groups,
            state=device_pb2.Device.STATE_ACTIVE,
        )
        if config is not None:
            ParseDict(config, device.config)
        self.add(device=device)

    async def WatchDevices(self, request: Any, context: Any) -> AsyncIterator[WatchDevicesResponse]:  # noqa: ANN401, N802 - a method as gRPC names it
        """Send the snapshot and nothing more."""
        yield WatchDevicesResponse(resources=self.resources, revision=len(self.resources), snapshot_complete=True)
        await asyncio.sleep(3600)


@dataclass
class Servers:
    """Addresses that stay while the service comes and goes."""

    nats_url: str
    dsn: str
    registry: FakeRegistry
    registry_address: str
    rsmp_address: str = ""


@dataclass
class Talk:
    """Devices and ingest, as the service hears them."""

    bus: Bus
    received: list[dict[str, Any]] = field(default_factory=list)
    facts: list[tuple[str, bytes]] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], Awaitable[None]] | None = None
    """What devices do with a command they hear for the first time."""
    known: set[str] = field(default_factory=set)

    async def hear_command(self, message: Msg) -> None:
        """Be the devices: drop an id that is known, and answer otherwise."""
        command = json.loads(message.data)
        self.received.append(command)
        if command["commandId"] not in self.known:
            self.known.add(command["commandId"])
            if self.answer is not None:
                await self.answer(command)

    async def hear_fact(self, message: Msg) -> None:
        """Keep what the service publishes."""
        self.facts.append((message.subject, message.data))

    def verbs(self) -> list[str]:
        """Return the verbs of the facts about commands, in the order heard."""
        return [subject.split(".")[2] for subject, _ in self.facts if ".command." in subject]

    async def report(
        self, numbers: Sequence[Number] = (), words: Sequence[Word] = (), *, domain: str = "light"
    ) -> None:
        """Publish readings as ingest does."""
        every = [*numbers, *words]
        devices = sorted({one[0] for one in every})
        properties = sorted({one[1] for one in every})
        states = [
            StateObservation(
                device_index=devices.index(device),
                property_index=properties.index(name),
                state=state,
                event_time_us=time_us,
            )
            for device, name, state, time_us in words
        ]
        columns = build_columns(
            devices,
            properties,
            [devices.index(one[0]) for one in numbers],
            [properties.index(one[1]) for one in numbers],
            [one[3] for one in numbers],
            [one[2] for one in numbers],
            states=states,
        )
        message = PackedObservationsRecorded(
            district=DISTRICT, domain=domain, observations=columns.packed(), reading_count=len(columns)
        )
        await self._publish(subjects.OBSERVATION_RECORDED, domain, message.SerializeToString())

    async def respond(self, command: dict[str, Any], answer: Any, reason: str = "") -> None:  # noqa: ANN401 - an enum number
        """Publish a device's answer as ingest does."""
        response = DeviceResponse(
            device=command["device"], command_id=command["commandId"], answer=answer, reason=reason
        )
        recorded = ResponseRecorded(district=DISTRICT, response=response)
        await self._publish(subjects.RESPONSE_RECORDED, command["device"], recorded.SerializeToString())

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait until something holds; the time-out of the test is the limit."""
        while not holds():  # noqa: ASYNC110 - any condition, told by nobody
            await asyncio.sleep(PAUSE_S)

    async def _publish(self, fact: subjects.Fact, key: str, body: bytes) -> None:
        envelope = Envelope(uuid4().hex, fact.message, "maasloop/test", 0)
        await self.bus.publish(fact.subject(DISTRICT, key), body, envelope.headers())


@dataclass
class World(Talk):
    """The running service as well."""

    commands: Any = field(kw_only=True)
    policies: Any = field(kw_only=True)

    async def issue(self, device: str, level: float, **command: Any) -> command_pb2.Command:  # noqa: ANN401 - fields
        """Ask for a level of a lamp as a person."""
        setpoint = command_pb2.Setpoint(light_level=command_pb2.LightLevel(level_percent=level))
        issued: command_pb2.Command = await self.commands.IssueCommand(
            IssueCommandRequest(
                parent=f"districts/{DISTRICT}",
                command=command_pb2.Command(device=device, setpoint=setpoint, **command),
                request_id=str(uuid4()),
            )
        )
        return issued

    async def make_policy(self, name: str = "follow", *, active: bool = True, **changes: Any) -> Any:  # noqa: ANN401 - any field of the message
        """Create the policy of a lamp that follows presence."""
        fields: dict[str, Any] = {
            "display_name": "Light follows people",
            "district": DISTRICT,
            "observed_properties": ["presence"],
            "on_condition": "value > 0.5",
            "on_level_percent": 80.0,
            "off_level_percent": 20.0,
            **changes,
        }
        policy = await self.policies.CreatePolicy(
            policy_service_pb2.CreatePolicyRequest(policy_id=name, policy=policy_service_pb2.Policy(**fields))
        )
        if active:
            mode = policy_service_pb2.Policy.MODE_ACTIVE
            policy = await self.policies.SetPolicyMode(
                policy_service_pb2.SetPolicyModeRequest(name=policy.name, mode=mode)
            )
        return policy

    async def until_state(self, name: str, state: Any) -> command_pb2.Command:  # noqa: ANN401 - an enum number
        """Wait until a command is in a state; the name may be its id."""
        name = name if "/" in name else f"districts/{DISTRICT}/commands/{name}"
        while True:
            command: command_pb2.Command = await self.commands.GetCommand(GetCommandRequest(name=name))
            if command.state == state:
                return command
            await asyncio.sleep(PAUSE_S)


@pytest.fixture
async def servers(nats_url: str, service_dsn: Callable[[str], str]) -> AsyncIterator[Servers]:
    """NATS with streams, a database, and a registry with two lamps and a presence sensor."""
    async with connection.connect(nats_url, name="test-ensure") as bus:
        await ensure(bus)
    registry = FakeRegistry()  # type: ignore[abstract]  # the service only watches
    registry.add(district=device_pb2.District(name=f"districts/{DISTRICT}"))
    registry.add_type("streetlight", device_pb2.DeviceType.CAPABILITY_LIGHT_LEVEL)
    registry.add_type("presence-sensor")
    registry.add_device("lamp-1", "streetlight", LAMP_CONFIG, ["kade"])
    registry.add_device("lamp-2", "streetlight", LAMP_CONFIG, ["kade"])
    registry.add_device("sensor-1", "presence-sensor", None, ["kade"])
    server = grpc.aio.server()
    add_DeviceServiceServicer_to_server(registry, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield Servers(nats_url, service_dsn("actuation"), registry, f"127.0.0.1:{port}")
    await server.stop(0)


@asynccontextmanager
async def _running(servers: Servers) -> AsyncIterator[int]:
    """Run the service in this event loop; yields its port once it has started."""
    (port,) = free_ports(1)
    settings = ActuationSettings(
        nats_url=servers.nats_url,
        postgres_dsn=servers.dsn,  # type: ignore[arg-type]  # pydantic takes the text
        grpc_address=f"127.0.0.1:{port}",
        device_registry_address=servers.registry_address,
        rsmp_address=servers.rsmp_address,
        drain_s=2.0,
        insecure_on_loopback=True,
    )
    process = Process(assemble, settings, of_package(PACKAGE))
    living = asyncio.create_task(process.live())
    while not process.probes.started or await process.probes._checks["device-registry"]() is not None:
        if living.done():
            message = f"the service ended with status {living.result()}"
            raise RuntimeError(message)
        await asyncio.sleep(PAUSE_S)
    try:
        yield port
    finally:
        process.ask_stop("the test is over")
        await living


@pytest.fixture
def make_world(servers: Servers) -> Callable[[], AbstractAsyncContextManager[World]]:
    """Return a way to run the service and talk to it, more than once for restarts."""

    @asynccontextmanager
    async def make() -> AsyncIterator[World]:
        async with (
            _running(servers) as port,
            connection.connect(servers.nats_url, name="test-devices") as bus,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            world = World(bus, commands=CommandServiceStub(channel), policies=PolicyServiceStub(channel))
            every = subjects.downlink(DISTRICT, "every", subjects.DownlinkKind.COMMANDS).replace(".every.", ".*.")
            await bus.listen(every, world.hear_command)
            for fact in FACTS:
                await bus.listen(fact.wildcard(), world.hear_fact)
            await bus.client.flush()
            yield world

    return make


@pytest.fixture
async def world(make_world: Callable[[], AbstractAsyncContextManager[World]]) -> AsyncIterator[World]:
    """Return the running service, and ways to talk to it."""
    async with make_world() as found:
        yield found


@pytest.fixture
def make_talk() -> Callable[[Bus], Talk]:
    """Return a way to be devices and ingest without a service in this process."""
    return Talk


@pytest.fixture
def now_us() -> Callable[[], int]:
    """Return the wall clock in microseconds."""
    return SystemClock().now_us
