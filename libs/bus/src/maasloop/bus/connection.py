"""One connection to NATS, watched.

Tasks: nats-py's own reader, and one watchdog that measures the round trip every three seconds. nats-py notices a
half-open link only after minutes, and not at all while bytes are stuck in its transport; after three failed probes the
watchdog aborts the transport, which makes nats-py reconnect. Nothing here blocks the event loop.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from maasloop.core.errors import Conflict, ResourceExhausted, Unavailable
from maasloop.identity.nats.credentials import read_credentials
from maasloop.identity.nats.tokens import read_unverified

from .client import MendedClient
from .refusals import raise_refusal
from .rights import API, DEVICES_API, inbox_prefix, mqtt_asked
from .tenants import ALONE, Tenant

log = structlog.get_logger(__name__)

PING_INTERVAL_S = 5
PINGS_OUTSTANDING_MAX = 2
RECONNECT_WAIT_S = 0.25
CONNECT_TIMEOUT_S = 2
DRAIN_TIMEOUT_S = 5
PROBE_INTERVAL_S = 3.0
PROBE_AGAIN_S = 0.2
PROBE_TIMEOUT_S = 2
PROBES_FAILED_MAX = 3
PENDING_BYTES_MAX = 8 * 1024 * 1024
"""Bytes kept while disconnected; a fact counts only when its PubAck came, so this needs no room."""
PUBLISH_TIMEOUT_S = 2.0
PUBLISH_RETRY_S = 60.0
"""A publish is tried with the same message id for this long, well inside the de-duplication window."""
PUBLISH_TIMEOUT_MIN_S = 0.1
PUBLISH_PAUSE_S = (0.05, 0.1, 0.25, 0.5, 1.0)

_FULL = {10077, 10054, 10122, 10023, 10047}
"""JetStream error codes: maximum bytes, message size and messages exceeded on the stream or the account, and no storage
left on the server."""
EXPECTED_REVISION = "Nats-Expected-Last-Subject-Sequence"
"""Header with the sequence that the newest message of a subject must have, 0 for none."""
_OTHER_REVISION = {10071, 10164}
"""The newest message of the subject is another one."""


class Stored(NamedTuple):
    """What the broker proved."""

    sequence: int
    repeated: bool
    """It had a message of this id already and kept that one."""


class Bus:
    """Publish with proof, publish without, request, subscribe, and the JetStream API."""

    def __init__(self, client: MendedClient, *, devices_apart: bool = False) -> None:
        """Wrap a connected client; made by ``connect``. ``devices_apart``: they have an account of their own."""
        self.client = client
        self._devices_apart = devices_apart
        self._draining = False
        self._reconnections = 0
        self._on_reconnect: set[Callable[[], None]] = set()

    @property
    def connected(self) -> bool:
        """Tell whether the link stands."""
        return bool(self.client.is_connected)

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Publish a fact and return its stream sequence once the broker has stored it; raises as ``store`` does."""
        return (await self.store(subject, body, headers)).sequence

    async def store(
        self, subject: str, body: bytes, headers: Mapping[str, str], *, patience_s: float = PUBLISH_RETRY_S
    ) -> Stored:
        """Publish a fact and return what the broker proved once it has stored it.

        ``headers`` carry ``Nats-Msg-Id``, so that trying again stores nothing twice. Raises ``ResourceExhausted``
        (STREAM_FULL) and ``Conflict`` (ETAG_MISMATCH: ``EXPECTED_REVISION`` is another) at once, and ``Unavailable``
        (NEIGHBOUR_UNAVAILABLE) after ``PUBLISH_RETRY_S``, or as soon as a broker to which the link stands has not
        stored it for ``patience_s``: one whose disk failed may never answer.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PUBLISH_RETRY_S
        attempt, refused_s = 0, 0.0
        while True:
            began_s, linked, link = loop.time(), self.connected, self._reconnections
            try:
                timeout_s = min(PUBLISH_TIMEOUT_S, max(PUBLISH_TIMEOUT_MIN_S, patience_s - refused_s))
                answer = await self.client.request(subject, body, timeout=timeout_s, headers=dict(headers))
                return _stored(json.loads(answer.data))
            except (NatsError, TimeoutError, _NotReady) as error:
                pause_s = PUBLISH_PAUSE_S[min(attempt, len(PUBLISH_PAUSE_S) - 1)]
                attempt += 1
                # What was under way on a link that is gone was refused by nobody.
                if linked and self.connected and link == self._reconnections:
                    refused_s += loop.time() - began_s + pause_s
                if self._draining or loop.time() + pause_s > deadline or refused_s > patience_s:
                    message = f"the broker did not confirm a publish on {subject}"
                    raise Unavailable("NEIGHBOUR_UNAVAILABLE", message, {"neighbour": "nats"}) from error
                await asyncio.sleep(pause_s)

    async def tell(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Publish without proof: best effort, for downlinks and signs of life."""
        await self.client.publish(subject, body, headers=dict(headers) if headers else None)

    async def tell_many(self, subjects: Iterable[str], body: bytes) -> None:
        """Publish the same body on many subjects in one write; without a link nothing is sent and nothing is kept.

        nats-py's way costs more for each of them than the broker needs to take it. The subjects are the broker's own.
        """
        end = f" {len(body)}\r\n".encode() + body + b"\r\n"
        command = b"".join(b"PUB " + subject.encode() + end for subject in subjects)
        if command and self.connected:
            await self.client._send_command(command)  # noqa: SLF001 - nats-py has no public way to write several at once
            await self.client._flush_pending()  # noqa: SLF001 - nats-py's public flush waits for an answer

    async def ask(self, subject: str, body: bytes, *, timeout_s: float) -> bytes:
        """Send a request over core NATS and return the answer's body; an answer that refuses is raised (`refusals`)."""
        try:
            answer = await self.client.request(subject, body, timeout=timeout_s)
        except (NatsError, TimeoutError) as error:
            message = f"no answer on {subject}"
            raise Unavailable("NEIGHBOUR_UNAVAILABLE", message, {"neighbour": "nats"}) from error
        raise_refusal(answer.headers, answer.data)
        return bytes(answer.data)

    async def listen(
        self,
        subject: str,
        heard: Callable[[Msg], Awaitable[None]],
        *,
        queue: str = "",
        pending_max: int = 65_536,
        unwanted: bytes = b"",
    ) -> Subscription:
        """Hear core messages; ``heard`` must not block. With ``queue`` one member of the group hears each.

        What has the bytes ``unwanted`` in its headers is dropped unread, as far as possible: ``heard`` still has to look.
        """
        subscription = await self.client.subscribe(subject, queue=queue, cb=heard, pending_msgs_limit=pending_max)
        if unwanted:
            self.client.unwanted[subscription._id] = unwanted  # noqa: SLF001 - a number without a public name
        return subscription

    async def api(
        self,
        verb: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = 5.0,
        tenant: Tenant = ALONE[0],
    ) -> dict[str, Any]:
        """Call ``$JS.API.{verb}``; the answer may hold an ``error``.

        What is asked about the stream behind the MQTT listener is asked of the account of ``tenant``.
        """
        prefix = tenant.api if self._devices_apart and verb in mqtt_asked(tenant) else API
        answer = await self.ask(f"{prefix}.{verb}", json.dumps(body or {}).encode(), timeout_s=timeout_s)
        found: dict[str, Any] = json.loads(answer)
        return found

    def on_reconnect(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call ``call`` after every reconnection; returns what forgets it again."""
        self._on_reconnect.add(call)
        return lambda: self._on_reconnect.discard(call)

    async def disconnected(self) -> None:
        """Say that the link is gone, unless we end it ourselves."""
        if not self._draining:
            log.warning("bus_disconnected")

    async def reconnected(self) -> None:
        """Tell everybody who asked that what was under way on the old link is lost."""
        log.info("bus_reconnected")
        self._reconnections += 1
        for call in tuple(self._on_reconnect):
            call()

    async def check(self) -> None:
        """Prove that the link carries bytes both ways; raises what failed."""
        await asyncio.wait_for(self.client.flush(timeout=PROBE_TIMEOUT_S), PROBE_TIMEOUT_S)

    async def drain(self) -> None:
        """Stop hearing, send what is pending, and close; bounded by ``DRAIN_TIMEOUT_S``.

        What a link that is gone or stuck does not take is lost; nothing is raised.
        """
        self._draining = True
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self.client.drain()
        except (OSError, NatsError) as error:
            log.warning("bus_drain_cut_short", error=str(error) or type(error).__name__)
            await self.client.give_up()


class _NotReady(Exception):
    """JetStream answered that it cannot store now."""


def _stored(answer: Mapping[str, Any]) -> Stored:
    """Return what a PubAck says, or raise what its error means."""
    error = answer.get("error")
    if error is None:
        return Stored(int(answer["seq"]), bool(answer.get("duplicate", False)))
    if error.get("err_code") in _FULL:
        raise ResourceExhausted("STREAM_FULL", f"the stream is full: {error.get('description')}", retry_after_s=5.0)
    if error.get("err_code") in _OTHER_REVISION:
        raise Conflict("ETAG_MISMATCH", f"the subject has another revision: {error.get('description')}")
    raise _NotReady(error.get("description", "unknown JetStream error"))


@asynccontextmanager
async def connect(
    url: str, *, name: str, credentials_file: Path | None = None, authority_file: Path | None = None
) -> AsyncIterator[Bus]:
    """Connect, waiting for the broker as long as it takes, and drain at the end.

    ``credentials_file`` says as whom (its token names the inboxes, too), ``authority_file`` (PEM) who vouches for the
    broker; with it nothing is said in clear. The credentials are read again at every
    reconnection. Without them the broker must let
    anybody in.
    """
    told, devices_apart = _access(credentials_file, authority_file)
    bus = await _connect_patiently(url, {"name": name, **told}, devices_apart=devices_apart)
    watchdog = asyncio.create_task(_watch(bus.client), name="bus-watchdog")
    try:
        yield bus
    finally:
        watchdog.cancel()
        await asyncio.gather(watchdog, return_exceptions=True)
        await bus.drain()


def _access(credentials_file: Path | None, authority_file: Path | None) -> tuple[dict[str, Any], bool]:
    """Return what the driver is told of identities, and whether devices have an account of their own."""
    told: dict[str, Any] = {}
    devices_apart = False
    if credentials_file is not None:
        token = read_unverified(read_credentials(credentials_file.read_text(encoding="ascii"))[0])
        told |= {"user_credentials": str(credentials_file), "inbox_prefix": inbox_prefix(token.name)}
        allowed = token.nats.get("pub", {}).get("allow", [])
        devices_apart = any(str(subject).startswith(DEVICES_API) for subject in allowed)
    if authority_file is not None:
        told["tls"] = ssl.create_default_context(cafile=authority_file)
    return told, devices_apart


async def _connect_patiently(url: str, told: dict[str, Any], *, devices_apart: bool) -> Bus:
    attempt = 0
    while True:
        bus = Bus(MendedClient(), devices_apart=devices_apart)
        try:
            await bus.client.connect(
                url,
                **told,
                connect_timeout=CONNECT_TIMEOUT_S,
                ping_interval=PING_INTERVAL_S,
                max_outstanding_pings=PINGS_OUTSTANDING_MAX,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # a float works, the stub says int
                pending_size=PENDING_BYTES_MAX,
                allow_reconnect=True,
                error_cb=_report,
                disconnected_cb=bus.disconnected,
                reconnected_cb=bus.reconnected,
            )
        except (NatsError, OSError, TimeoutError) as error:
            if attempt % 20 == 0:
                log.info("waiting_for_nats", error=str(error) or type(error).__name__)
            attempt += 1
            await bus.client.give_up()
            await asyncio.sleep(RECONNECT_WAIT_S)
        else:
            return bus


async def _report(error: Exception) -> None:
    log.debug("bus_error", error=str(error) or type(error).__name__)


async def _watch(client: MendedClient) -> None:
    """Make a link anew that stopped to carry bytes."""
    failed = 0
    while True:
        # A link that failed a probe is asked again at once, so that a dead one is noticed within 10 s.
        await asyncio.sleep(PROBE_AGAIN_S if failed else PROBE_INTERVAL_S)
        if not client.is_connected:
            failed = 0
            continue
        try:
            await asyncio.wait_for(client.flush(timeout=PROBE_TIMEOUT_S), PROBE_TIMEOUT_S)
            failed = 0
        except (NatsError, OSError, TimeoutError):
            failed += 1
            if failed >= PROBES_FAILED_MAX:
                log.warning("bus_link_aborted", failed_probes=failed)
                await client.abort()
                failed = 0
