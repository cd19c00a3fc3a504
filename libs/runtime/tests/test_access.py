"""People and programs at a real server over TLS: what a token opens, and what becomes of it when it is revoked."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from maasloop.api.device.v1 import device_pb2, device_service_pb2, device_service_pb2_grpc
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.core.clock import SystemClock
from maasloop.identity.certificates import DevelopmentCertificates, Holder
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.roles import Roles
from maasloop.identity.tls import LiveTls
from maasloop.identity.token_keys import TokenSigner, make_signing_key
from maasloop.rpc import authentication
from maasloop.rpc.authentication import Security
from maasloop.rpc.server import RpcServer
from maasloop.runtime.access import Access, AccessSettings, read_grants
from maasloop.runtime.revocations import RevocationWriter

pytestmark = pytest.mark.integration

CLOCK = SystemClock()
TIMEOUT_S = 20.0
INSTALLER = (Grant("installer", frozenset({"centre"})),)
WATCHER = (Grant("viewer", None),)


class Door(device_service_pb2_grpc.DeviceServiceServicer):
    """Answers with the name of its caller, and watches for ever."""

    async def GetDevice(self, request: Any, context: Any) -> device_pb2.Device:  # noqa: ANN401, D102, N802 - a method as gRPC names it
        return device_pb2.Device(name=str(authentication.caller()))

    async def WatchDevices(  # noqa: D102, N802 - a method as gRPC names it
        self,
        request: Any,  # noqa: ANN401 - any message
        context: Any,  # noqa: ANN401 - the library has no public type
    ) -> AsyncIterator[device_service_pb2.WatchDevicesResponse]:
        yield device_service_pb2.WatchDevicesResponse()
        await asyncio.Event().wait()


class City(NamedTuple):
    """A server with a public listener, and what gives tokens for it."""

    stub: Any
    signer: TokenSigner
    writer: RevocationWriter


@pytest.fixture(name="bus")
async def _bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test") as bus:
        await ensure(bus)
        yield bus


@pytest.fixture(name="city")
async def _city(bus: Bus, tmp_path: Path) -> AsyncIterator[City]:
    made = DevelopmentCertificates(tmp_path / "tls", CLOCK)
    made.ensure([Holder("device-registry", Principal(Kind.SERVICE, "device-registry"))])
    files = made.files("device-registry")
    private, public = tmp_path / "private.json", tmp_path / "public.json"
    make_signing_key(private, public)
    access = Access(AccessSettings(program_keys_file=public), bus, CLOCK)
    follow = asyncio.ensure_future(access.tasks["revocations"]())
    security = Security(
        tls=LiveTls(files), public_address="127.0.0.1:0", tokens=access.tokens, authorizer=access.authorizer
    )
    server = RpcServer("127.0.0.1:0", security=security)
    door: Any = Door()  # type: ignore[abstract]  # the other methods stay unimplemented
    device_service_pb2_grpc.add_DeviceServiceServicer_to_server(door, server.registrar)
    await server.start()
    trusted = grpc.ssl_channel_credentials(files.authority.read_bytes())
    options = [("grpc.ssl_target_name_override", "localhost")]
    async with grpc.aio.secure_channel(server.public_address, trusted, options=options) as channel:
        yield City(
            device_service_pb2_grpc.DeviceServiceStub(channel),
            TokenSigner(private, CLOCK),
            RevocationWriter(bus, CLOCK),
        )
    await server.stop(0)
    follow.cancel()


async def _get(city: City, token: str | None, district: str = "centre") -> str:
    """Return the caller as the handler saw it, or the reason of the refusal."""
    metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
    request = device_service_pb2.GetDeviceRequest(name=f"districts/{district}/devices/lamp")
    try:
        answer = await city.stub.GetDevice(request, metadata=metadata, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        return _reason(error)
    return str(answer.name)


def _reason(error: grpc.aio.AioRpcError) -> str:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            info = ErrorInfo()
            Status.FromString(value).details[0].Unpack(info)
            return f"{error.code().name} {info.reason}"
    return error.code().name


async def _until(city: City, token: str, answer: str) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while (found := await _get(city, token)) != answer:
            await asyncio.sleep(0.05)
            assert not found.startswith("INTERNAL")


async def test_a_token_opens_what_its_grants_cover(city: City) -> None:
    """A program reads devices of its district; another district, no token and a foreign token are refused."""
    token, _ = city.signer.token("app", "k-1", INSTALLER)
    await _until(city, token, "program/app")

    assert await _get(city, token, "south") == "PERMISSION_DENIED PERMISSION_MISSING"
    assert await _get(city, None) == "UNAUTHENTICATED CREDENTIALS_MISSING"
    assert await _get(city, token[:-4] + "AAAA") == "UNAUTHENTICATED CREDENTIALS_INVALID"
    assert await _get(city, "") == "UNAUTHENTICATED CREDENTIALS_INVALID"


async def test_a_revoked_program_is_out_and_its_watch_ends(city: City) -> None:
    """A revocation ends the watch that runs, with its reason, and refuses the next call."""
    token, _ = city.signer.token("app", "k-1", WATCHER)
    await _until(city, token, "program/app")
    watch = city.stub.WatchDevices(
        device_service_pb2.WatchDevicesRequest(), metadata=(("authorization", f"Bearer {token}"),), timeout=TIMEOUT_S
    )
    await watch.read()
    await city.writer.revoke(Kind.PROGRAM, "app")

    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await watch.read()
    assert _reason(ended.value) == "UNAUTHENTICATED CREDENTIALS_REVOKED"
    assert await _get(city, token) == "UNAUTHENTICATED CREDENTIALS_REVOKED"


def test_grants_are_read_from_a_file(tmp_path: Path) -> None:
    """A file says what groups may; a role that there is not stops the start."""
    path = tmp_path / "grants.toml"
    path.write_text('[[grant]]\ngroup = "lighting"\nrole = "lighting-engineer"\ndistricts = ["centre"]\n')

    assert [each.grant for each in read_grants(path, Roles.load())] == [
        Grant("lighting-engineer", frozenset({"centre"}))
    ]
    path.write_text('[[grant]]\ngroup = "lighting"\nrole = "lightning"\n')
    with pytest.raises(ValueError, match="grant 1"):
        read_grants(path, Roles.load())
