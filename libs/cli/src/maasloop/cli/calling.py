"""Calls of services from a synchronous command: one event loop a command, a deadline a call, pages followed.

Stubs are found by name, so that importing this module imports neither grpc nor protobuf.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer

from maasloop.bus.rights import OPERATOR
from maasloop.core.clock import SystemClock

from .addresses import Addresses

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from maasloop.bus.connection import Bus
    from maasloop.rpc.client import Bearer, Peer

CALL_TIMEOUT_S = 30.0
PAGE_SIZE_MAX = 1_000
CONNECT_TIMEOUT_S = 5.0
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Door:
    """A gRPC service and the process that serves it."""

    service: str
    module: str
    stub: str


DEVICES = Door("device-registry", "maasloop.api.device.v1.device_service_pb2_grpc", "DeviceServiceStub")
CREDENTIALS = Door("device-registry", "maasloop.api.device.v1.credential_service_pb2_grpc", "CredentialServiceStub")
CONSENT = Door("consent", "maasloop.api.consent.v1.consent_service_pb2_grpc", "ConsentServiceStub")
SERIES = Door("timeseries", "maasloop.api.observation.v1.series_service_pb2_grpc", "SeriesServiceStub")
INGEST = Door("ingest", "maasloop.api.observation.v1.ingest_service_pb2_grpc", "IngestServiceStub")
COMMANDS = Door("actuation", "maasloop.api.command.v1.command_service_pb2_grpc", "CommandServiceStub")
POLICIES = Door("actuation", "maasloop.api.command.v1.policy_service_pb2_grpc", "PolicyServiceStub")
NOTIFICATION = Door(
    "notification", "maasloop.api.notification.v1.notification_service_pb2_grpc", "NotificationServiceStub"
)


def running[Result](work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's coroutine; Ctrl-C ends it quietly."""
    _log_errors_only()
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def ask(
    context: typer.Context, door: Door, method: str, request: "Message", *, timeout_s: float = CALL_TIMEOUT_S
) -> Any:
    """Call a method and return its answer."""

    async def call() -> Any:
        from maasloop.rpc import client

        async with opened(context, door) as stub:
            return await client.call(getattr(stub, method), request, timeout_s=timeout_s)

    return running(call())


def listed(
    context: typer.Context,
    door: Door,
    method: str,
    request: Any,
    field: str,
    limit: int,
) -> list[Any]:
    """Follow the pages of a list until ``limit`` items are there, and return them."""

    async def follow() -> list[Any]:
        from maasloop.rpc import client

        found: list[Any] = []
        async with opened(context, door) as stub:
            while len(found) < limit:
                request.page_size = min(limit - len(found), PAGE_SIZE_MAX)
                answer = await client.call(getattr(stub, method), request, timeout_s=CALL_TIMEOUT_S)
                found += getattr(answer, field)
                request.page_token = answer.next_page_token
                if not answer.next_page_token:
                    break
        return found[:limit]

    return running(follow())


def each(context: typer.Context, door: Door, method: str, request: "Message", take: Callable[[Any], None]) -> None:
    """Give each answer of a streaming method to ``take``, until it ends or Ctrl-C."""

    async def follow() -> None:
        from maasloop.rpc import client

        async with opened(context, door) as stub:
            async for answer in client.stream(getattr(stub, method), request):
                take(answer)

    running(follow())


@asynccontextmanager
async def opened(context: typer.Context, door: Door) -> AsyncIterator[Any]:
    """Open a channel to a service and give its stub.

    A token that the environment names comes first, then a certificate, then who signed in; on this machine nobody will do.
    """
    from maasloop.rpc import client

    addresses: Addresses = context.obj
    address, peer = await _known_at(addresses, door.service)
    async with client.connected(address, peer=peer) as channel:
        yield getattr(import_module(door.module), door.stub)(channel)


async def _known_at(addresses: Addresses, service: str) -> "tuple[str, Peer | Bearer | None]":
    """Return where a service is called, and as whom."""
    from maasloop.rpc.client import Bearer, Peer

    from .login_file import Login
    from .signed_in import access_token, token_of

    token_file = addresses.token_file()
    tls = None if token_file or addresses.signed_in else addresses.certificate(service)
    if tls is not None:
        return addresses.service(service), Peer(service, tls)
    login = Login.read(addresses.root)
    if token_file is None and login is None and not addresses.signed_in:
        addresses.require_loopback(service)
        return addresses.service(service), None
    token = token_of(token_file) if token_file else await access_token(addresses, SystemClock())
    authority = addresses.authority(login)
    return addresses.public(service, login), Bearer(token, authority.read_bytes() if authority else None)


@asynccontextmanager
async def bus(context: typer.Context, user: str = OPERATOR) -> AsyncIterator["Bus"]:
    """Connect to NATS as a user; it must answer at once."""
    from maasloop.bus.connection import connect
    from maasloop.core.errors import Unavailable

    addresses: Addresses = context.obj
    found = addresses.nats_user(user)
    connecting = connect(**found.options(), name="maasloop-cli")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connected = await connecting.__aenter__()
    except TimeoutError:
        raise Unavailable(
            "NEIGHBOUR_UNAVAILABLE", f"NATS does not let {user} in on {found.url}", {"neighbour": "nats"}
        ) from None
    try:
        yield connected
    finally:
        await connecting.__aexit__(None, None, None)


def request_id() -> str:
    """Return a new request id."""
    from uuid import uuid4

    return str(uuid4())


def _log_errors_only() -> None:
    """Keep what libraries log out of what a command prints."""
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
