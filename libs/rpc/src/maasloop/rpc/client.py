"""Calls to neighbours: a channel that notices a dead peer, waits for one that is not up yet, and maps errors once."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog

from maasloop.identity.certificates import TlsFiles
from maasloop.identity.tls import LiveTls
from maasloop.telemetry import tracing

from .rotating import RotatingChannel
from .server import MESSAGE_BYTES_MAX
from .statuses import translated
from .tls import channel_credentials, server_name

CALL_TIMEOUT_S = 10.0
KEEPALIVE_INTERVAL_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 5_000
RECONNECT_PAUSE_MIN_MS = 100
RECONNECT_PAUSE_MAX_MS = 3_000
CONNECT_TIMEOUT_MIN_MS = 5_000
READY_PAUSE_S = 3.0
ATTEMPTS_MAX = 4

_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_INTERVAL_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", RECONNECT_PAUSE_MIN_MS),
    # Under this name it is the least time that an attempt gets, handshake and all.
    ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MIN_MS),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_PAUSE_MAX_MS),
)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Peer:
    """How a neighbour and we prove to each other who we are."""

    neighbour: str
    """Service that must answer: its certificate names it."""
    tls: TlsFiles
    """Our certificate, its key, and the authority of the neighbour's."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """How a person or a program proves who calls, without a certificate (RFC 6750)."""

    token: str = field(repr=False, default="")
    """Empty for methods whose request carries its own proof."""
    authority: bytes | None = None
    """Certificates (PEM) of those who vouch for the server's host name; None believes those that gRPC believes."""


def channel(
    address: str,
    *,
    peer: Peer | Bearer | None = None,
    idempotent: Sequence[str] = (),
    options: Sequence[tuple[str, Any]] = (),
) -> grpc.aio.Channel:
    """Open a channel to ``host:port``; no I/O happens before the first call.

    Without ``peer`` it is in clear text and names nobody. A renewed certificate is taken up by the next call; a token is not.
    ``idempotent`` lists methods (``package.Service/Method``, or ``package.Service`` for all of a service) that may be
    sent again when the answer was UNAVAILABLE. A call that never reached the server is sent again in any case. ``options``
    are gRPC's own, and stronger than ours.
    """
    given = [*_OPTIONS, ("grpc.service_config", json.dumps(_service_config(idempotent))), *options]
    if peer is None:
        return grpc.aio.insecure_channel(address, options=given)
    if isinstance(peer, Bearer):
        credentials = grpc.ssl_channel_credentials(peer.authority)
        if peer.token:
            known = grpc.access_token_call_credentials(peer.token)
            credentials = grpc.composite_channel_credentials(credentials, known)
        return grpc.aio.secure_channel(address, credentials, options=given)
    live = LiveTls(peer.tls)

    def make() -> grpc.aio.Channel:
        name = server_name(peer.neighbour, live.material.trust_domain)
        return grpc.aio.secure_channel(
            address, channel_credentials(live), options=[*given, ("grpc.ssl_target_name_override", name)]
        )

    return RotatingChannel(make, live.renewed)


@asynccontextmanager
async def connected(
    address: str, *, peer: Peer | Bearer | None = None, idempotent: Sequence[str] = ()
) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel for the block."""
    async with channel(address, peer=peer, idempotent=idempotent) as opened:
        yield opened


async def call[Request, Answer](
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Answer],
    request: Request,
    *,
    timeout_s: float = CALL_TIMEOUT_S,
) -> Answer:
    """Call a method of a stub with a deadline and the current trace; failures are errors of Maasloop."""
    with translated():
        return await method(request, timeout=timeout_s, metadata=_metadata())


async def stream[Request, Answer](
    method: grpc.aio.UnaryStreamMultiCallable[Request, Answer], request: Request, *, timeout_s: float | None = None
) -> AsyncIterator[Answer]:
    """Iterate over the answers of a method of a stub; without ``timeout_s`` it may last for ever, as a watch does."""
    answers = method(request, timeout=timeout_s, metadata=_metadata())
    try:
        with translated():
            async for answer in answers:
                yield answer
    finally:
        answers.cancel()


async def wait_ready(opened: grpc.aio.Channel, neighbour: str) -> None:
    """Wait until a neighbour takes calls, with a word in the log for each pause."""
    while (state := opened.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
        try:
            async with asyncio.timeout(READY_PAUSE_S):
                await opened.wait_for_state_change(state)
        except TimeoutError:
            _log.warning("neighbour_awaited", neighbour=neighbour, state=state.name)


def _metadata() -> tuple[tuple[str, str], ...]:
    traceparent = tracing.inject()
    return ((tracing.TRACEPARENT, traceparent),) if traceparent else ()


def _service_config(idempotent: Sequence[str]) -> dict[str, object]:
    if not idempotent:
        return {}
    names = []
    for name in idempotent:
        service, _, method = name.partition("/")
        names.append({"service": service, "method": method} if method else {"service": service})
    policy = {
        "maxAttempts": ATTEMPTS_MAX,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {"methodConfig": [{"name": names, "retryPolicy": policy}]}
