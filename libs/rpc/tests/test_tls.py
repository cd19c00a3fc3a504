"""Mutual TLS on real sockets: who is let in, what a service may call, and certificates renewed under running calls."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from maasloop.api.device.v1 import device_pb2, device_service_pb2, device_service_pb2_grpc
from maasloop.core.clock import SystemClock
from maasloop.core.errors import PermissionDenied, Unauthenticated, Unavailable
from maasloop.identity.certificates import CertificateAuthority, DevelopmentCertificates, Holder, Pair, TlsFiles
from maasloop.identity.principals import Kind, Principal
from maasloop.identity.tls import LOOK_INTERVAL_S, LiveTls
from maasloop.rpc import authentication, client
from maasloop.rpc.authentication import Security
from maasloop.rpc.server import RpcServer

SERVICE = "maasloop.api.device.v1.DeviceService"
REGISTRY = "device-registry"
HOLDERS = [
    *(Holder(name, Principal(Kind.SERVICE, name)) for name in (REGISTRY, "notification", "consent", "stranger")),
    Holder("operator", Principal(Kind.OPERATOR, "local"), hosts=()),
    Holder("nats"),
]

type Calls = Callable[..., AbstractAsyncContextManager[Any]]


class Door(device_service_pb2_grpc.DeviceServiceServicer):
    """Answers with the name of its caller."""

    async def GetDevice(  # noqa: N802 - a method as gRPC names it
        self, request: device_service_pb2.GetDeviceRequest, context: object
    ) -> device_pb2.Device:
        """Return a device named like the caller."""
        return device_pb2.Device(name=str(authentication.caller()))

    async def WatchDevices(  # noqa: N802 - a method as gRPC names it
        self, request: device_service_pb2.WatchDevicesRequest, context: object
    ) -> AsyncIterator[device_service_pb2.WatchDevicesResponse]:
        """Send one answer and end."""
        yield device_service_pb2.WatchDevicesResponse()


@pytest.fixture(name="made")
def _made(tmp_path: Path) -> DevelopmentCertificates:
    made = DevelopmentCertificates(tmp_path / "tls", SystemClock())
    made.ensure(HOLDERS)
    return made


@pytest.fixture(name="server")
async def _server(made: DevelopmentCertificates) -> AsyncIterator[RpcServer]:
    security = Security(tls=LiveTls(made.files(REGISTRY)), public_address="127.0.0.1:0")
    server = RpcServer("127.0.0.1:0", [SERVICE], security=security)
    door: Any = Door()  # type: ignore[abstract]  # the other methods stay unimplemented
    device_service_pb2_grpc.add_DeviceServiceServicer_to_server(door, server.registrar)
    await server.start()
    yield server
    await server.stop(0)


@asynccontextmanager
async def _stub(address: str, tls: TlsFiles, neighbour: str = REGISTRY) -> AsyncIterator[Any]:
    async with client.connected(address, peer=client.Peer(neighbour, tls)) as channel:
        yield device_service_pb2_grpc.DeviceServiceStub(channel)


async def _get(stub: Any) -> str:  # noqa: ANN401 - a stub
    request = device_service_pb2.GetDeviceRequest(name="districts/noord/devices/lamp-1")
    answer: device_pb2.Device = await client.call(stub.GetDevice, request, timeout_s=20)
    return answer.name


async def _watch(stub: Any) -> int:  # noqa: ANN401 - a stub
    return len([answer async for answer in client.stream(stub.WatchDevices, device_service_pb2.WatchDevicesRequest())])


async def test_a_certificate_says_who_calls(server: RpcServer, made: DevelopmentCertificates) -> None:
    """A service and the operator are known by name to the handler, whatever bearer token they might show."""
    async with _stub(server.address, made.files("notification")) as stub:
        assert await _get(stub) == "service/notification"
    async with _stub(server.address, made.files("operator")) as stub:
        assert await _get(stub) == "operator/local"
        assert await _watch(stub) == 1


async def test_a_service_calls_what_its_list_has_and_nothing_else(
    server: RpcServer, made: DevelopmentCertificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another method of a neighbour is refused, unary and streaming; with the list off it would be answered."""
    async with _stub(server.address, made.files("notification")) as stub:
        with pytest.raises(PermissionDenied, match="may not call") as refused:
            await _watch(stub)
        assert refused.value.reason == "PERMISSION_MISSING"
        monkeypatch.setattr(authentication, "may_call", lambda _service, _method: True)
        assert await _watch(stub) == 1
    monkeypatch.undo()
    async with _stub(server.address, made.files("stranger")) as stub:
        with pytest.raises(PermissionDenied):
            await _get(stub)


async def test_a_certificate_that_names_nobody_is_refused(server: RpcServer, made: DevelopmentCertificates) -> None:
    """The broker's certificate is of our authority and still no caller, not even of health."""
    files, trusted = made.files("nats"), made.files("operator").authority.read_bytes()
    credentials = grpc.ssl_channel_credentials(trusted, files.key.read_bytes(), files.certificate.read_bytes())
    async with grpc.aio.secure_channel(server.address, credentials) as channel:
        with pytest.raises(Unauthenticated) as refused:
            await _get(device_service_pb2_grpc.DeviceServiceStub(channel))
        assert refused.value.reason == "CREDENTIALS_INVALID"
        health: Any = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(Unauthenticated):
            await client.call(health.Check, health_pb2.HealthCheckRequest())


async def test_without_a_certificate_a_token_is_needed(server: RpcServer, made: DevelopmentCertificates) -> None:
    """The public listener refuses who shows nothing, or a token that nobody checks; the other one ends the handshake."""
    trusted = grpc.ssl_channel_credentials(made.files("operator").authority.read_bytes())
    request = device_service_pb2.GetDeviceRequest(name="districts/noord/devices/lamp-1")
    async with grpc.aio.secure_channel(server.public_address, trusted) as channel:
        stub: Any = device_service_pb2_grpc.DeviceServiceStub(channel)
        with pytest.raises(Unauthenticated) as missing:
            await _get(stub)
        assert missing.value.reason == "CREDENTIALS_MISSING"
        for text in ("Bearer abc", "Basic abc", "Bearer " + "a" * 8_000):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.GetDevice(request, metadata=(("authorization", text),), timeout=20)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    async with grpc.aio.secure_channel(server.address, trusted) as channel:
        with pytest.raises(Unavailable):
            await _get(device_service_pb2_grpc.DeviceServiceStub(channel))
    async with grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(Unavailable):
            await _get(device_service_pb2_grpc.DeviceServiceStub(channel))


@pytest.mark.parametrize("fault", ["authority", "expired", "server"])
async def test_a_handshake_with_a_wrong_certificate_fails(
    server: RpcServer, made: DevelopmentCertificates, tmp_path: Path, fault: str
) -> None:
    """Another authority, an expired certificate and a server that is not the neighbour meant all end the handshake."""
    now, good = SystemClock().now(), made.files("notification")
    neighbour = REGISTRY
    if fault == "server":
        neighbour = "consent"
        bad = Pair(good.certificate.read_bytes(), good.key.read_bytes())
    elif fault == "authority":
        bad = CertificateAuthority.create(now).issue(HOLDERS[1], now)
    else:
        own = Pair(good.authority.read_bytes(), (good.authority.parent / "ca.key").read_bytes())
        bad = CertificateAuthority(own).issue(HOLDERS[1], now - timedelta(days=2))
    files = TlsFiles(tmp_path / "bad.crt", tmp_path / "bad.key", good.authority)
    files.certificate.write_bytes(bad.certificate)
    files.key.write_bytes(bad.key)
    async with _stub(server.address, files, neighbour) as stub:
        with pytest.raises(Unavailable):
            await _get(stub)
    async with _stub(server.address, good) as stub:
        assert await _get(stub) == "service/notification"


async def test_certificates_are_renewed_under_running_calls(server: RpcServer, made: DevelopmentCertificates) -> None:
    """Both sides get new certificates of a new authority while calls run: none fails, and the old authority is out."""
    directory = made.files(REGISTRY).authority.parent
    old = TlsFiles(directory / "old.crt", directory / "old.key", directory / "old-ca.crt")
    kept = made.files("notification")
    for source, copy in ((kept.certificate, old.certificate), (kept.key, old.key), (kept.authority, old.authority)):
        copy.write_bytes(source.read_bytes())
    done = 0
    async with _stub(server.address, made.files("notification")) as stub:
        assert await _get(stub)
        renewals = [_overlap(made), _renew(made)]
        for renew in renewals:
            await asyncio.sleep(LOOK_INTERVAL_S)
            await renew
            began = done
            end_s = SystemClock().monotonic_s() + 2 * LOOK_INTERVAL_S
            while SystemClock().monotonic_s() < end_s or done < began + 50:
                assert await _get(stub) == "service/notification"
                done += 1
    async with _stub(server.address, old) as stub:
        with pytest.raises(Unavailable):
            await _get(stub)


async def _overlap(made: DevelopmentCertificates) -> None:
    """Let both authorities be believed, as a change of authority begins."""
    authority = made.files(REGISTRY).authority
    new = CertificateAuthority.create(SystemClock().now(), "the next authority").pair
    (authority.parent / "next.crt").write_bytes(new.certificate)
    (authority.parent / "next.key").write_bytes(new.key)
    authority.write_bytes(authority.read_bytes() + new.certificate)


async def _renew(made: DevelopmentCertificates) -> None:
    """Make every certificate anew by the next authority, which from then on is the only one."""
    authority = made.files(REGISTRY).authority
    new = authority.parent / "next.crt", authority.parent / "next.key"
    issuing = CertificateAuthority(Pair(new[0].read_bytes(), new[1].read_bytes()))
    for holder in HOLDERS:
        files, pair = made.files(holder.name), issuing.issue(holder, SystemClock().now())
        files.key.write_bytes(pair.key)
        files.certificate.write_bytes(pair.certificate)
    authority.write_bytes(new[0].read_bytes())
