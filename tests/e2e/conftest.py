"""A town on a whole running stack: the demo's catalogue, a wall-clock district, and devices that speak MQTT."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import grpc
import psycopg
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from tests.e2e.issuer import Issuer, issuing
from tests.observability.collector import Collector, collecting
from tests.observability.prometheus import Prometheus, watching

from maasloop.api.command.v1.command_pb2 import Command, DeviceCommand, LightLevel, Setpoint
from maasloop.api.command.v1.command_service_pb2 import IssueCommandRequest, ListCommandsRequest
from maasloop.api.command.v1.command_service_pb2_grpc import CommandServiceStub
from maasloop.api.consent.v1.consent_pb2 import ConsentRecord, ProcessingActivity
from maasloop.api.consent.v1.consent_service_pb2 import (
    CreateProcessingActivityRequest,
    GrantConsentRequest,
    WithdrawConsentRequest,
)
from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceStub
from maasloop.api.device.v1.device_pb2 import Device, District
from maasloop.api.device.v1.device_service_pb2 import CreateDistrictRequest, ImportDevicesRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest, RecordObservationsResponse
from maasloop.api.observation.v1.ingest_service_pb2_grpc import IngestServiceStub
from maasloop.bus.subjects import DownlinkKind, UplinkKind, downlink, mqtt_topic, uplink
from maasloop.core.clock import SystemClock
from maasloop.identity.command_keys import Keys, KeySetFile
from maasloop.identity.commands import CommandGuard
from maasloop.runtime.settings import environment_prefix
from maasloop.stack.doors import MqttListener
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.stack.ports import free_ports
from maasloop.stack.servers.databases import SERVICES
from maasloop.testing.plugin import running_stack
from maasloop.twin.demo.registration import register_catalogue
from maasloop.twin.devices.commands import Answer, read_command, write_answer
from maasloop.twin.devices.readings import Reading, to_columns, to_json
from maasloop.twin.doors.mqtt import MqttLink
from maasloop.twin.play.doors import DEVICE_LEVEL

DISTRICT = "noord"
PARENT = f"districts/{DISTRICT}"
SETTLE_TIMEOUT_S = 60.0
PAUSE_S = 0.1
WITHOUT_CONSENT_GATE = """
from maasloop.runtime.permitting import ConsentGate

ConsentGate.permits = lambda *_: True
"""


class Link:
    """The MQTT connection of a device; what it hears is kept in ``heard`` until somebody takes it."""

    def __init__(self, listener: MqttListener, device: str, heard_devices: Sequence[str], keys: Keys) -> None:
        """Listen to the commands of these devices, and believe those that one of the keys signed."""
        self.device = device
        self.heard: asyncio.Queue[DeviceCommand] = asyncio.Queue()
        topics = [mqtt_topic(downlink(DISTRICT, one, DownlinkKind.COMMANDS)) for one in heard_devices]
        self._guard = CommandGuard(DISTRICT, heard_devices, keys)
        self.mqtt = MqttLink(listener, device, topics, self._hear)

    def _hear(self, topic: str, envelope: bytes) -> None:
        meant = topic.split("/")[DEVICE_LEVEL]
        opened = self._guard.open(envelope, device=meant, now_us=SystemClock().now_us())
        self.heard.put_nowait(read_command(opened.payload))

    async def report(self, readings: Sequence[Reading]) -> None:
        """Send readings and return after the PUBACK."""
        await self.mqtt.send(mqtt_topic(uplink(DISTRICT, self.device, UplinkKind.OBSERVATIONS_JSON)), to_json(readings))

    async def answer(self, answer: Answer) -> None:
        """Answer a command."""
        body = write_answer(answer, SystemClock().now_us())
        await self.mqtt.send(mqtt_topic(uplink(DISTRICT, self.device, UplinkKind.RESPONSES_JSON)), body)


@dataclass
class Town:
    """A running stack and what stories ask of it."""

    stack: LocalStack
    district: str = DISTRICT
    parent: str = PARENT

    @staticmethod
    def now_us() -> int:
        """Return wall time."""
        return SystemClock().now_us()

    @asynccontextmanager
    async def channel(self, service: str) -> AsyncIterator[grpc.aio.Channel]:
        """Open a channel to a service."""
        async with self.stack.channel(service) as opened:
            yield opened

    @asynccontextmanager
    async def link(self, device: str, *heard_devices: str) -> AsyncIterator[Link]:
        """Connect a device, which hears commands for these devices (itself, if none is named)."""
        keys = KeySetFile(self.stack.directory.command_keys)
        found = Link(self.stack.mqtt, device, heard_devices or [device], keys)
        running = asyncio.create_task(found.mqtt.run())
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                await found.mqtt.connected()
            yield found
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def add_devices(self, devices: Iterable[Device], probe: Reading) -> None:
        """Register devices in service; return when ingest and actuation know the sensor that sends the probe."""
        lines = [json.dumps(MessageToDict(one) | {"name": f"{PARENT}/devices/{one.name}"}) for one in devices]
        request = ImportDevicesRequest(
            parent=PARENT,
            format=ImportDevicesRequest.FORMAT_JSON_LINES,
            activate=True,
            content="\n".join(lines).encode() + b"\n",
        )
        async with self.channel("device-registry") as channel:
            registry: Any = DeviceServiceStub(channel)
            await registry.ImportDevices(iter([request]))

        async def heard() -> bool:
            return bool((await self.record(probe)).accepted_count)

        async def known() -> bool:
            try:
                # A sensor obeys nobody; a device that is not known yet is not found.
                return (await self.issue(probe.device, 100.0)).state == Command.STATE_REFUSED
            except grpc.aio.AioRpcError as error:
                assert error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE}  # noqa: PT017 - others are faults
                return False

        await self.until(heard)
        await self.until(known)

    async def record(self, *readings: Reading) -> RecordObservationsResponse:
        """Send readings over gRPC."""
        async with self.channel("ingest") as channel:
            ingest: Any = IngestServiceStub(channel)
            request = RecordObservationsRequest(parent=PARENT, observations=to_columns(readings))
            answer: RecordObservationsResponse = await ingest.RecordObservations(request)
            return answer

    async def issue(self, lamp: str, level_percent: float, expires: Timestamp | None = None) -> Command:
        """Ask for a level as an operator."""
        setpoint = Setpoint(light_level=LightLevel(level_percent=level_percent))
        command = Command(device=lamp, setpoint=setpoint, expire_time=expires)
        request = IssueCommandRequest(parent=PARENT, command=command, request_id=self.request_id())
        async with self.channel("actuation") as channel:
            commands: Any = CommandServiceStub(channel)
            answer: Command = await commands.IssueCommand(request)
            return answer

    async def commands(self, device: str) -> list[Command]:
        """Return the commands to a device, oldest first."""
        async with self.channel("actuation") as channel:
            commands: Any = CommandServiceStub(channel)
            answer = await commands.ListCommands(ListCommandsRequest(parent=PARENT, device=device))
            return list(reversed(answer.commands))

    async def grant(self, person: str, activity_id: str) -> str:
        """Let a person consent to an activity, which is described first, and return the record."""
        activity = ProcessingActivity(
            display_name="Air on bikes",
            purpose="Know the air where people ride.",
            legal_basis=ProcessingActivity.LEGAL_BASIS_CONSENT,
            data_categories=["pm25"],
            controller="Gemeente",
        )
        activity.retention.FromSeconds(7 * 86_400)
        record = ConsentRecord(
            data_subject=f"dataSubjects/{person}",
            processing_activity=f"processingActivities/{activity_id}",
            notice_version="1",
            method="app",
        )
        create = CreateProcessingActivityRequest(processing_activity_id=activity_id, processing_activity=activity)
        async with self.channel("consent") as channel:
            consent: Any = ConsentServiceStub(channel)
            await consent.CreateProcessingActivity(create)
            grant = GrantConsentRequest(consent_record=record, request_id=self.request_id())
            return str((await consent.GrantConsent(grant)).name)

    async def withdraw(self, record: str) -> None:
        """Withdraw a consent."""
        async with self.channel("consent") as channel:
            consent: Any = ConsentServiceStub(channel)
            await consent.WithdrawConsent(WithdrawConsentRequest(name=record))

    async def until[Found](self, ask: Callable[[], Awaitable[Found]], *, timeout_s: float = SETTLE_TIMEOUT_S) -> Found:
        """Ask other processes until the answer is true, and return it."""
        async with asyncio.timeout(timeout_s):
            while not (answer := await ask()):  # noqa: ASYNC110 - what is waited for happens in another process
                await asyncio.sleep(PAUSE_S)
        return answer

    def rows(self, query: str, *arguments: object) -> list[Any]:
        """Ask the database."""
        with psycopg.connect(self.stack.postgres_dsn) as connection:
            return connection.execute(query.encode(), arguments).fetchall()

    @staticmethod
    def request_id() -> str:
        """Return a new idempotency key."""
        return str(uuid4())


def _built(stack: LocalStack) -> Town:
    """Give a stack the catalogue and the district."""
    town = Town(stack)

    async def build() -> None:
        async with town.channel("device-registry") as channel:
            await register_catalogue(channel)
            registry: Any = DeviceServiceStub(channel)
            district = District(display_name="Noord")
            await registry.CreateDistrict(CreateDistrictRequest(district_id=DISTRICT, district=district))

    asyncio.run(build())
    return town


@contextmanager
def _started(environment: Mapping[str, str]) -> Iterator[Town]:
    """A town on a stack of its own, whose services have these variables as well."""
    with running_stack(StackOptions(environment=environment)) as stack:
        yield _built(stack)


@pytest.fixture(name="town", scope="module")
def _town(shared_stack: LocalStack) -> Town:
    return _built(shared_stack)


@pytest.fixture(name="open_town")
def _open_town(tmp_path: Path) -> Iterator[Town]:
    """A town whose services run without the consent gate: Python itself takes it out when they start."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_CONSENT_GATE, encoding="utf-8")
    with _started({"PYTHONPATH": str(tmp_path)}) as town:
        yield town


class Supervised(NamedTuple):
    """A town whose actuation supervises sites, where they connect, and who its traffic engineers are."""

    town: Town
    port: int
    issuer: Issuer


@pytest.fixture(name="supervised", scope="module")
def _supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """Sites have the code 2222, and 3333 next; people of the group ``signals`` are traffic engineers of the district."""
    (port,) = free_ports(1)
    grants = tmp_path_factory.mktemp("grants") / "grants.toml"
    grants.write_text(f'[[grant]]\ngroup = "signals"\nrole = "traffic-engineer"\ndistricts = ["{DISTRICT}"]\n')
    with issuing() as issuer:
        own = {
            "RSMP_ADDRESS": f"127.0.0.1:{port}",
            "ACCESS__PROVIDER_ISSUER": issuer.url,
            "ACCESS__GRANTS_FILE": grants,
        }
        settings = {environment_prefix("actuation") + name: str(value) for name, value in own.items()}
        codes = {"E2E_RSMP_CODE": "2222", "E2E_RSMP_NEXT_CODE": "3333"}
        with _started(settings | codes) as town:
            yield Supervised(town, port, issuer)


class Shown(NamedTuple):
    """A town that tells a collector of OTLP and a Prometheus what it does."""

    town: Town
    collector: Collector
    prometheus: Prometheus


@pytest.fixture(name="shown", scope="module")
def _shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    with collecting() as (collector, endpoint):
        told = {"OTLP_ENDPOINT": endpoint, "OTLP_METRICS": "true", "TRACES_PER_SECOND_MAX": "1000"}
        settings = {environment_prefix(one) + name: value for one in SERVICES for name, value in told.items()}
        with _started(settings) as town:
            targets = {name: addresses.health for name, addresses in town.stack.addresses.items()}
            with watching(targets, tmp_path_factory.mktemp("prometheus")) as prometheus:
                yield Shown(town, collector, prometheus)
