"""The whole service in this process with real neighbours: database, broker, registry's contract, webhook and mail receivers."""

import asyncio
import base64
import email.policy
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest
import standardwebhooks
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.api.command.v1.events_pb2 import CommandChanged
from maasloop.api.device.v1.device_pb2 import Device, District
from maasloop.api.device.v1.device_service_pb2 import GetDeviceRequest, ListDistrictsRequest, ListDistrictsResponse
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceServicer, add_DeviceServiceServicer_to_server
from maasloop.api.notification.v1 import notification_service_pb2 as pb
from maasloop.api.notification.v1.alert_pb2 import Alert, AlertRule, Delivery, Subscription
from maasloop.api.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from maasloop.api.observation.v1.observation_pb2 import StateObservation
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus import connection as bus_connection
from maasloop.bus import envelope, subjects
from maasloop.bus.columns import build_columns
from maasloop.bus.connection import Bus
from maasloop.bus.ensure import ensure
from maasloop.core.clock import SystemClock
from maasloop.core.errors import NotFound
from maasloop.notification.app import PACKAGE, assemble
from maasloop.notification.settings import NotificationSettings
from maasloop.postgres.migrate import migrate, of_package
from maasloop.rpc import client
from maasloop.rpc.server import RpcServer
from maasloop.rpc.times import timestamp_from_us
from maasloop.runtime.http import HttpDoor
from maasloop.runtime.process import Service

if TYPE_CHECKING:
    from maasloop.api.notification.v1.notification_service_pb2_grpc import NotificationServiceAsyncStub

LOOPBACK = "127.0.0.1"
WAIT_S = 50.0
READING = f"{subjects.OBSERVATION_RECORDED.message}"


async def until(ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever is asked for
    """Return the first answer that is true, or fail."""
    async with asyncio.timeout(WAIT_S):
        while True:
            answer = ask()
            found = await answer if isinstance(answer, Awaitable) else answer
            if found:
                return found
            await asyncio.sleep(0.02)


type Eventually = Callable[[Callable[[], Any]], Awaitable[Any]]


@pytest.fixture(name="eventually")
def _eventually() -> Eventually:
    return until


@dataclass
class WebhookReceiver:
    """A real HTTP server that checks signatures; ``script`` holds the statuses of the next answers, then 204."""

    url: str = ""
    script: list[int] = field(default_factory=list)
    secret: str = ""
    received: list[tuple[str, Any]] = field(default_factory=list)
    """Webhook id and verified payload of every request, refused ones too."""
    forged: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    hold: asyncio.Event | None = None

    async def take(self, request: Request) -> Response:
        """Verify a request and answer by the script."""
        body = await request.body()
        try:
            payload = standardwebhooks.Webhook(self.secret).verify(body, dict(request.headers))
        except standardwebhooks.WebhookVerificationError:
            self.forged += 1
            return Response(status_code=401)
        self.received.append((request.headers["webhook-id"], payload))
        if self.hold is not None:
            await self.hold.wait()
        status = self.script.pop(0) if self.script else 204
        return Response(status_code=status, headers=self.headers)


@pytest.fixture(name="receiver")
async def _receiver() -> AsyncIterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    app = Starlette(routes=[Route("/hook", receiver.take, methods=["POST"])])
    door = HttpDoor(app, f"{LOOPBACK}:0")
    await door.start()
    receiver.url = f"http://{door.address}/hook"
    yield receiver
    if receiver.hold is not None:
        receiver.hold.set()
    await door.stop(1)


@pytest.fixture(name="hold")
def _hold(receiver: WebhookReceiver) -> None:
    """Let the receiver answer nothing until the test ends, or sets the event."""
    receiver.hold = asyncio.Event()


@dataclass
class MailReceiver:
    """A real SMTP server; ``script`` holds the answers to the next messages, then 250."""

    port: int = 0
    script: list[str] = field(default_factory=list)
    offered: list[EmailMessage] = field(default_factory=list)
    taken: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, given: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a message and answer by the script."""
        message = BytesParser(policy=email.policy.default).parsebytes(cast("bytes", given.content))
        self.offered.append(message)
        answer = self.script.pop(0) if self.script else "250 taken"
        if answer.startswith("2"):
            self.taken.append(message)
        return answer


@pytest.fixture(name="mail")
async def _mail() -> AsyncIterator[MailReceiver]:
    receiver = MailReceiver()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(receiver, loop=loop, hostname="test", enable_SMTPUTF8=True), LOOPBACK, 0
    )
    receiver.port = server.sockets[0].getsockname()[1]
    yield receiver
    server.close()
    await server.wait_closed()


class FakeRegistry(DeviceServiceServicer):
    """The two methods of the registry that are asked here, by the same contract."""

    def __init__(self) -> None:
        """Know one district on wall time."""
        self.districts = {"noord": District(name="districts/noord", display_name="Noord", clock=District.CLOCK_WALL)}
        self.retired: set[str] = set()

    async def ListDistricts(self, request: ListDistrictsRequest, context: object) -> ListDistrictsResponse:  # noqa: N802 - a method as gRPC names it
        """Return all districts."""
        return ListDistrictsResponse(districts=self.districts.values())

    async def GetDevice(self, request: GetDeviceRequest, context: object) -> Device:  # noqa: N802 - a method as gRPC names it
        """Return a device that is retired, or none."""
        if request.name not in self.retired:
            raise NotFound("RESOURCE_NOT_FOUND", "no such device")
        return Device(name=request.name, state=Device.STATE_RETIRED)


@pytest.fixture(name="registry")
async def _registry() -> AsyncIterator[tuple[FakeRegistry, str]]:
    fake = FakeRegistry()  # type: ignore[abstract]  # the others answer UNIMPLEMENTED
    server = RpcServer(f"{LOOPBACK}:0")
    add_DeviceServiceServicer_to_server(fake, server.registrar)
    await server.start()
    yield fake, server.address
    await server.stop(0)


class City:
    """Who publishes on the bus as ingest and actuation do."""

    def __init__(self, bus: Bus) -> None:
        """Speak on this bus."""
        self.bus = bus
        self.clock = SystemClock()

    async def readings(
        self,
        observed_property: str,
        rows: Sequence[tuple[str, int, float]],
        *,
        domain: str = "air",
        states: Sequence[tuple[str, int, str]] = (),
    ) -> None:
        """Publish readings: device, event time in microseconds, value or word."""
        devices = sorted({device for device, _, _ in (*rows, *states)})
        columns = build_columns(
            devices,
            ["temperature", observed_property],
            [devices.index(device) for device, _, _ in rows],
            [1] * len(rows),
            [event_us for _, event_us, _ in rows],
            [value for _, _, value in rows],
            states=[
                StateObservation(device_index=devices.index(device), property_index=1, event_time_us=time, state=word)
                for device, time, word in states
            ],
        )
        body = PackedObservationsRecorded(
            district="noord",
            domain=domain,
            observations=columns.packed(),
            receipt_time_us=self.clock.now_us(),
            reading_count=len(columns),
        )
        await self._publish(subjects.OBSERVATION_RECORDED.subject("noord", domain), READING, body.SerializeToString())

    async def settled(self, device: str, state: str, reason: str = "") -> None:
        """Publish a command that reached a terminal state."""
        command_id = str(uuid4())
        command = Command(
            name=f"districts/noord/commands/{command_id}",
            device=device,
            state=Command.State.Value(f"STATE_{state}"),
            reason=reason,
            issuer="policies/dim",
            settle_time=timestamp_from_us(self.clock.now_us()),
        )
        fact = subjects.COMMAND_SETTLED
        body = CommandChanged(command=command).SerializeToString()
        await self._publish(fact.subject("noord", command_id), fact.message, body)

    async def _publish(self, subject: str, kind: str, body: bytes) -> None:
        headers = envelope.Envelope(str(uuid4()), kind, "test", self.clock.now_us()).headers()
        await self.bus.publish(subject, body, headers)


@pytest.fixture(name="city")
async def _city(nats_url: str) -> AsyncIterator[City]:
    async with bus_connection.connect(nats_url, name="test") as bus:
        await ensure(bus)
        yield City(bus)


@dataclass
class Running:
    """A service that runs in this process."""

    stub: "NotificationServiceAsyncStub"
    service: Service
    dsn: str
    stop: asyncio.Event
    tasks: list[asyncio.Task[None]]
    closing: AsyncExitStack

    async def create_rule(self, rule: AlertRule, rule_id: str = "a-rule") -> AlertRule:
        """Create a rule."""
        return await client.call(
            self.stub.CreateAlertRule, pb.CreateAlertRuleRequest(alert_rule_id=rule_id, alert_rule=rule)
        )

    async def subscribe(self, subscription_id: str, subscription: Subscription) -> Subscription:
        """Create a subscription."""
        request = pb.CreateSubscriptionRequest(
            parent="districts/noord", subscription_id=subscription_id, subscription=subscription
        )
        return await client.call(self.stub.CreateSubscription, request)

    async def alerts(self) -> Sequence[Alert]:
        """Return the alerts of the district, newest first."""
        return (await client.call(self.stub.ListAlerts, pb.ListAlertsRequest(parent="districts/noord"))).alerts

    async def deliveries(self, state: "Delivery.State.ValueType" = Delivery.STATE_UNSPECIFIED) -> Sequence[Delivery]:
        """Return the deliveries of the district in a state, or all."""
        request = pb.ListDeliveriesRequest(parent="districts/noord", state=state)
        return (await client.call(self.stub.ListDeliveries, request)).deliveries

    async def end(self, *, gently: bool = True) -> None:
        """Stop, either after what is under way or in the middle of it."""
        self.stop.set()
        if not gently:
            for task in self.tasks:
                task.cancel()
        else:
            await asyncio.wait(self.tasks, timeout=1.0)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.closing.aclose()


type Start = Callable[..., Awaitable[Running]]


@pytest.fixture(name="start")
async def _start(
    service_dsn: Callable[[str], str],
    nats_url: str,
    city: City,
    registry: tuple[FakeRegistry, str],
    mail: MailReceiver,
    tmp_path: Path,
) -> AsyncIterator[Start]:
    key_file = tmp_path / "webhook.key"
    key_file.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    key_file.chmod(0o600)
    dsn = service_dsn("notification")
    await migrate(dsn, of_package(PACKAGE))
    running: list[Running] = []

    async def start(**changed: Any) -> Running:  # noqa: ANN401 - any setting
        given: Mapping[str, Any] = {
            "postgres_dsn": SecretStr(dsn),
            "nats_url": nats_url,
            "device_registry_address": registry[1],
            "smtp_port": mail.port,
            "webhook_networks": (f"{LOOPBACK}/32",),
            "webhook_key_file": key_file,
            "retry_pauses_s": (0.05, 0.05, 0.05),
            "delivery_lease_s": 1.0,
            "insecure_on_loopback": True,
            **changed,
        }
        started = await _running(NotificationSettings(**given), dsn)
        running.append(started)
        return started

    yield start
    for started in running:
        await started.end(gently=False)


async def _running(settings: NotificationSettings, dsn: str) -> Running:
    closing = AsyncExitStack()
    service = await closing.enter_async_context(assemble(settings))
    server = cast("RpcServer", service.doors[0])
    await closing.enter_async_context(_serving(server))
    channel = await closing.enter_async_context(client.connected(server.address))
    stop = asyncio.Event()
    tasks = [asyncio.create_task(_run(work())) for work in service.tasks.values()]
    tasks += [asyncio.create_task(_run(pull(stop))) for pull in service.pulling.values()]
    await until(lambda: _ready(service))
    return Running(NotificationServiceStub(channel), service, dsn, stop, tasks, closing)


async def _run(work: Awaitable[None]) -> None:
    await work


async def _ready(service: Service) -> bool:
    return not any([await check() for check in service.checks.values()])


@asynccontextmanager
async def _serving(server: RpcServer) -> AsyncIterator[None]:
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@pytest.fixture(name="notification")
async def _notification(start: Start) -> Running:
    return await start()
