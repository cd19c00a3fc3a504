"""A real server and a real client: errors, deadlines, validation, health and drain as a caller sees them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from maasloop.api.device.v1 import device_pb2, device_service_pb2, device_service_pb2_grpc
from maasloop.core import errors
from maasloop.core.reasons import Reason
from maasloop.rpc import client, interceptor, statuses
from maasloop.rpc.server import RpcServer
from maasloop.telemetry import metrics, tracing

type _Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "maasloop.api.device.v1.DeviceService"
GET = f"/{SERVICE}/GetDevice"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Door(device_service_pb2_grpc.DeviceServiceServicer):
    """A door whose behaviour each test chooses by ``name``."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.held = asyncio.Event()
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.metadata: dict[str, Any] = {}

    async def GetDevice(  # noqa: N802 - a method as gRPC names it
        self, request: device_service_pb2.GetDeviceRequest, context: _Context
    ) -> device_pb2.Device:
        """Return the device asked for, after what the test wants to happen."""
        self.metadata = dict(context.invocation_metadata() or ())
        if request.name == "hold":
            await self._hold()
        if self.failure is not None:
            raise self.failure
        return device_pb2.Device(name=request.name)

    async def CreateDevice(  # noqa: N802 - a method as gRPC names it
        self, request: device_service_pb2.CreateDeviceRequest, context: _Context
    ) -> device_pb2.Device:
        """Return a device of the name asked for."""
        return device_pb2.Device(name=request.parent)

    async def WatchDevices(  # noqa: N802 - a method as gRPC names it
        self,
        request: device_service_pb2.WatchDevicesRequest,
        context: _Context,
    ) -> AsyncIterator[device_service_pb2.WatchDevicesResponse]:
        """Send one answer, then fail or stay open as the test wants."""
        yield device_service_pb2.WatchDevicesResponse()
        if self.failure is not None:
            raise self.failure
        await self._hold()

    async def _hold(self) -> None:
        self.entered.set()
        try:
            await self.held.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@pytest.fixture(name="door")
async def _door() -> Door:
    return Door()  # type: ignore[abstract]  # the other methods stay unimplemented


@pytest.fixture(name="server")
async def _server(door: Door) -> AsyncIterator[RpcServer]:
    server = RpcServer("127.0.0.1:0", [SERVICE])
    device_service_pb2_grpc.add_DeviceServiceServicer_to_server(door, server.registrar)
    await server.start()
    yield server
    await server.stop(0)


@pytest.fixture(name="channel")
async def _channel(server: RpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with client.connected(server.address) as opened:
        yield opened


@pytest.fixture(name="stub")
def _stub(channel: grpc.aio.Channel) -> "device_service_pb2_grpc.DeviceServiceAsyncStub":
    return device_service_pb2_grpc.DeviceServiceStub(channel)


type Stub = "device_service_pb2_grpc.DeviceServiceAsyncStub"


def _get(name: str = "districts/noord/devices/lamp-1") -> device_service_pb2.GetDeviceRequest:
    return device_service_pb2.GetDeviceRequest(name=name)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidArgument("ID_MALFORMED", "no id", {"field": "name"}),
        errors.NotFound(Reason.RESOURCE_NOT_FOUND, "no such device", {"name": "x"}),
        errors.AlreadyExists("RESOURCE_EXISTS", "there is one"),
        errors.FailedPrecondition("STATE_FORBIDS", "retired", {"state": "RETIRED"}),
        errors.Conflict("ETAG_MISMATCH", "changed", {"etag": "7"}),
        errors.PermissionDenied("DEVICE_FOREIGN", "not yours"),
        errors.ResourceExhausted("OVERLOADED", "full", retry_after_s=2.5),
        errors.Unavailable("NEIGHBOUR_UNAVAILABLE", "database", retry_after_s=0.25),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_arrives_as_it_was_raised(door: Door, stub: Stub, error: errors.MaasloopError) -> None:
    """Class, reason, message, metadata and the time to wait survive the way, and the refusal is counted."""
    door.failure = error
    before = metrics.value("maasloop_rpc_refusals_total", method=GET, reason=error.reason)

    with pytest.raises(type(error)) as caught:
        await client.call(stub.GetDevice, _get())

    assert (caught.value.reason, caught.value.message) == (error.reason, error.message)
    assert dict(caught.value.metadata) == dict(error.metadata)
    assert getattr(caught.value, "retry_after_s", None) == getattr(error, "retry_after_s", None)
    assert metrics.value("maasloop_rpc_refusals_total", method=GET, reason=error.reason) == before + 1


async def test_bytes_that_are_no_message_are_refused_with_a_reason(channel: grpc.aio.Channel) -> None:
    """A call whose request cannot be read hears PAYLOAD_UNDECODABLE, and is counted as refused."""
    watch, garbage = f"/{SERVICE}/WatchDevices", b"\xff\xff\xff"
    called: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GET)
    watched: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(watch)
    for path, call in ((GET, lambda: called(garbage)), (watch, lambda: watched(garbage).read())):
        before = metrics.value("maasloop_rpc_refusals_total", method=path, reason="PAYLOAD_UNDECODABLE")

        with pytest.raises(errors.InvalidArgument) as caught, statuses.translated():
            await call()

        assert caught.value.reason == "PAYLOAD_UNDECODABLE"
        assert metrics.value("maasloop_rpc_refusals_total", method=path, reason="PAYLOAD_UNDECODABLE") == before + 1


async def test_a_foreign_client_can_read_the_details(door: Door, stub: Stub) -> None:
    """The status carries google.rpc.ErrorInfo of domain maasloop and RetryInfo."""
    door.failure = errors.ResourceExhausted("OVERLOADED", "full", {"limit": "3"}, retry_after_s=2)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetDevice(_get())

    raw = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    info, retry = ErrorInfo(), RetryInfo()
    first, second = Status.FromString(raw if isinstance(raw, bytes) else raw.encode()).details
    assert first.Unpack(info)
    assert second.Unpack(retry)
    assert (info.reason, info.domain, dict(info.metadata)) == ("OVERLOADED", "maasloop", {"limit": "3"})
    assert retry.retry_delay.seconds == 2


async def test_a_fault_of_ours_arrives_without_detail_and_can_be_looked_up(door: Door, stub: Stub) -> None:
    """The caller gets INTERNAL and a trace id, the log has the exception under the same id."""
    door.failure = ZeroDivisionError("secret detail")

    with capture_logs() as lines, pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.call(stub.GetDevice, _get())

    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(caught.value)
    (line,) = [line for line in lines if line["event"] == "rpc_failed"]
    assert line["exc_info"] is door.failure
    assert line["trace_id"] in str(dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"])


async def test_the_caller_s_trace_reaches_the_handler(door: Door, stub: Stub) -> None:
    """A traceparent goes along with the call and names the trace of a failure."""
    door.failure = ZeroDivisionError()

    with (
        capture_logs() as lines,
        tracing.span("outer", parent=TRACEPARENT),
        pytest.raises(grpc.aio.AioRpcError),
    ):
        await client.call(stub.GetDevice, _get())

    assert door.metadata["traceparent"] == TRACEPARENT
    assert [line["trace_id"] for line in lines if line["event"] == "rpc_failed"] == [TRACEPARENT.split("-")[1]]


async def test_a_request_that_breaks_a_rule_is_refused_with_its_field(stub: Stub) -> None:
    """Rules of the proto are checked before the handler; the field and the rule are named."""
    with pytest.raises(errors.InvalidArgument) as caught:
        await client.call(stub.CreateDevice, device_service_pb2.CreateDeviceRequest(parent="districts/noord"))

    assert caught.value.reason == "REQUEST_INVALID"
    assert dict(caught.value.metadata) == {"field": "device", "rule": "required"}


async def test_a_call_without_a_deadline_ends_by_itself(
    door: Door, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server cancels the handler at its own limit and says so."""
    monkeypatch.setattr(interceptor, "UNARY_TIMEOUT_S", 0.05)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetDevice(_get("hold"))

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "without a deadline" in (caught.value.details() or "")
    assert door.cancelled.is_set()


async def test_a_passed_deadline_is_an_error_of_ours(stub: Stub) -> None:
    """The caller's own deadline reads as Unavailable with reason DEADLINE_EXCEEDED."""
    with pytest.raises(errors.Unavailable) as caught:
        await client.call(stub.GetDevice, _get("hold"), timeout_s=0.05)

    assert caught.value.reason == "DEADLINE_EXCEEDED"


async def test_a_cancelled_caller_cancels_the_handler(door: Door, stub: Stub) -> None:
    """Nobody works for a caller that left, and the call counts as CANCELLED."""
    before = metrics.value("maasloop_rpc_calls_total", method=GET, code="CANCELLED")
    waiting = stub.GetDevice(_get("hold"))
    calling = asyncio.ensure_future(waiting.wait_for_connection())
    await door.entered.wait()
    calling.cancel()

    waiting.cancel()

    await door.cancelled.wait()
    await asyncio.sleep(0.01)
    assert metrics.value("maasloop_rpc_calls_total", method=GET, code="CANCELLED") == before + 1


async def test_an_error_after_the_first_answer_of_a_stream_arrives(door: Door, stub: Stub) -> None:
    """A stream that fails half-way ends with its reason after what was sent."""
    door.failure = errors.Conflict("RESUME_TOKEN_EXPIRED", "too old")
    watching = client.stream(stub.WatchDevices, device_service_pb2.WatchDevicesRequest())

    await anext(watching)
    with pytest.raises(errors.Conflict) as caught:
        await anext(watching)

    assert caught.value.reason == "RESUME_TOKEN_EXPIRED"


async def test_a_watch_ends_with_a_reason_when_the_server_drains(door: Door, server: RpcServer, stub: Stub) -> None:
    """At drain a watch ends with DRAINING, later ones too, and other calls are still answered."""
    watching = client.stream(stub.WatchDevices, device_service_pb2.WatchDevicesRequest())
    await anext(watching)
    await door.entered.wait()

    await server.refuse()

    with pytest.raises(errors.Unavailable, match="shutting down") as caught:
        await anext(watching)
    assert caught.value.reason == "DRAINING"
    with pytest.raises(errors.Unavailable):
        [answer async for answer in client.stream(stub.WatchDevices, device_service_pb2.WatchDevicesRequest())]
    assert (await client.call(stub.GetDevice, _get())).name == _get().name


async def test_stop_lets_a_running_call_end(door: Door, server: RpcServer, stub: Stub) -> None:
    """What is in flight is finished within the grace, and counted while it runs."""
    calling = asyncio.create_task(client.call(stub.GetDevice, _get("hold")))
    await door.entered.wait()
    assert server.calls_in_flight == 1
    stopping = asyncio.create_task(server.stop(5))
    await asyncio.sleep(0.05)

    door.held.set()

    assert (await calling).name == "hold"
    await stopping
    assert server.calls_in_flight == 0


async def test_stop_cancels_what_outlasts_the_grace(door: Door, server: RpcServer, stub: Stub) -> None:
    """A call that hangs is cancelled at the end of the grace and does not hold the process."""
    calling = asyncio.create_task(client.call(stub.GetDevice, _get("hold")))
    await door.entered.wait()

    await server.stop(0.05)

    with pytest.raises(errors.Unavailable):
        await calling
    await door.cancelled.wait()


async def test_health_and_reflection_answer(server: RpcServer, channel: grpc.aio.Channel) -> None:
    """Health says SERVING until the drain, reflection lists the service."""
    health: Any = health_pb2_grpc.HealthStub(channel)
    assert (await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status == 1

    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # its stub knows blocking channels only
    list_services: Any = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = [answer async for answer in reflection.ServerReflectionInfo(iter([list_services]))]
    assert SERVICE in {service.name for service in answer.list_services_response.service}

    await server.refuse()
    assert (await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status == 2


async def test_too_many_calls_at_once_are_refused(door: Door) -> None:
    """Beyond its limit the server answers RESOURCE_EXHAUSTED at once, says when to come back, and counts it."""
    counted = metrics.value("maasloop_rpc_refusals_total", method=GET, reason="OVERLOADED")
    server = RpcServer("127.0.0.1:0", [SERVICE], concurrent_calls_max=1)
    device_service_pb2_grpc.add_DeviceServiceServicer_to_server(door, server.registrar)
    await server.start()
    async with client.connected(server.address) as opened:
        stub = device_service_pb2_grpc.DeviceServiceStub(opened)
        calling = asyncio.create_task(client.call(stub.GetDevice, _get("hold")))
        await door.entered.wait()

        with pytest.raises(errors.ResourceExhausted) as caught:
            await client.call(stub.GetDevice, _get())

        assert (caught.value.reason, caught.value.retry_after_s) == ("OVERLOADED", 1.0)
        assert metrics.value("maasloop_rpc_refusals_total", method=GET, reason="OVERLOADED") == counted + 1
        door.held.set()
        await calling
        assert (await client.call(stub.GetDevice, _get())).name
    await server.stop(0)


async def test_a_taken_port_is_an_error(server: RpcServer) -> None:
    """Two servers never share a port silently."""
    other = RpcServer(server.address)

    with pytest.raises(OSError, match="another process"):
        await other.start()
    await other.stop(0)


async def test_a_neighbour_is_awaited_with_a_word(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that starts first says whom it waits for and goes on when it is there."""
    monkeypatch.setattr(client, "READY_PAUSE_S", 0.05)
    server = RpcServer("127.0.0.1:0")
    await server.start()
    address = server.address
    await server.stop(0)

    async with client.connected(address) as opened:
        with capture_logs() as lines:
            waiting = asyncio.create_task(client.wait_ready(opened, "device-registry"))
            while not any(line["event"] == "neighbour_awaited" for line in lines):  # noqa: ASYNC110 - no event there
                await asyncio.sleep(0.01)
        server = RpcServer(address, [SERVICE])
        device_service_pb2_grpc.add_DeviceServiceServicer_to_server(door, server.registrar)
        await server.start()
        await waiting
    await server.stop(0)


async def test_an_unknown_method_stays_unimplemented(channel: grpc.aio.Channel) -> None:
    """A method nobody serves is not counted, so that foreign names cannot fill the metrics."""
    call: Any = channel.unary_unary("/maasloop.Nothing/Here")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert statuses.translate(caught.value) is None
    assert b"Nothing" not in metrics.render()


async def test_idempotent_methods_are_sent_again(door: Door, server: RpcServer) -> None:
    """A method named idempotent is retried after UNAVAILABLE, another one is not."""
    before = metrics.value("maasloop_rpc_calls_total", method=GET, code="UNAVAILABLE")
    door.failure = errors.Unavailable("NEIGHBOUR_UNAVAILABLE", "database")

    async with client.connected(server.address, idempotent=[f"{SERVICE}/GetDevice"]) as opened:
        stub = device_service_pb2_grpc.DeviceServiceStub(opened)
        with pytest.raises(errors.Unavailable):
            await client.call(stub.GetDevice, _get())

    # A call is counted once it is over, which the last caller may hear of sooner.
    await server.stop(5)
    tries = metrics.value("maasloop_rpc_calls_total", method=GET, code="UNAVAILABLE") - before
    assert tries == client.ATTEMPTS_MAX
