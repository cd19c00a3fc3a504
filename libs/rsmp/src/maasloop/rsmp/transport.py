"""Sessions over TCP: a server for supervisors, a client that comes back for sites. TLS 1.3 where a context is given.

The owner acts on a session only by ``do``, so that what is to be sent leaves at once, and hears by ``handle``, which
must neither wait nor raise.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

from maasloop.core.clock import Clock

from .commanding import CommandTimes
from .events import Closed, Established, Event
from .session import Instant, LinkSettings, Phase, Session
from .site import SiteIdentity, SiteSession
from .site_state import SiteState
from .supervisor import KnownSite, SupervisorSession

PORT = 12111
"""The port on which supervisors listen by custom."""
READ_BYTES = 64 * 1024
"""Most bytes that are read at once."""
TICK_S = 1.0
"""Longest time between two looks at the clock."""
WRITE_TIMEOUT_S = 30.0
"""A peer that does not take what is sent for this long is cut off; so is an acknowledgement that does not come."""
CLOSE_TIMEOUT_S = 5.0
"""For a connection to end after its last bytes."""
CONNECT_TIMEOUT_S = 10.0
"""For a site to reach its supervisor, TLS included; and for the TLS of whoever connects to a supervisor."""
RECONNECT_S = 10.0
"""Between two attempts of a site (core, "Communication disruption")."""
CONNECTIONS_MAX = 1_000
"""Links of one server; further ones are closed at once."""
TURNS_OF_ACCEPTING = 4
"""asyncio takes so many turns to hand over a connection, and forgets to close one that comes when listening has ended."""


def new_message_id() -> str:
    """Draw a UUID of version 4."""
    return str(uuid4())


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """What may differ between places; times in seconds."""

    link: LinkSettings = field(default_factory=LinkSettings)
    commands: CommandTimes = field(default_factory=CommandTimes)
    reconnect_s: float = RECONNECT_S
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    write_timeout_s: float = WRITE_TIMEOUT_S
    close_timeout_s: float = CLOSE_TIMEOUT_S
    connections_max: int = CONNECTIONS_MAX


def instant(clock: Clock) -> Instant:
    """Return now."""
    return Instant(clock.monotonic_s(), clock.now())


class Carrier[S: Session]:
    """Carries the bytes of one session over one connection."""

    def __init__(
        self,
        session: S,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        handle: Callable[["Carrier[S]", Event], None],
        clock: Clock,
        settings: TransportSettings,
    ) -> None:
        """Carry nothing until ``run``."""
        self.session = session
        self._reader, self._writer = streams
        self._handle = handle
        self._clock = clock
        self._settings = settings
        self._woken = asyncio.Event()

    def do[T](self, action: Callable[[S, Instant], T]) -> T:
        """Act on the session, and send what follows from it."""
        try:
            return action(self.session, instant(self._clock))
        finally:
            self._woken.set()

    async def run(self) -> None:
        """Carry until the session or the connection ends; the connection is closed afterwards."""
        reading = asyncio.ensure_future(self._reader.read(READ_BYTES))
        waking = asyncio.ensure_future(self._woken.wait())
        try:
            while await self._send():
                left_s = self.session.deadline_s - self._clock.monotonic_s()
                await asyncio.wait(
                    (reading, waking), timeout=max(0.0, min(left_s, TICK_S)), return_when="FIRST_COMPLETED"
                )
                if waking.done():
                    self._woken.clear()
                    waking = asyncio.ensure_future(self._woken.wait())
                if reading.done():
                    self._take(reading.result())
                    reading = asyncio.ensure_future(self._reader.read(READ_BYTES))
                self.session.tick(instant(self._clock))
        except (OSError, TimeoutError) as error:
            self._end(f"the connection broke: {type(error).__name__}")
        finally:
            self._end("the connection was given up")
            for task in (reading, waking):
                task.cancel()
            await self._close(reading, waking)

    def _take(self, data: bytes) -> None:
        if data:
            self.session.receive(data, instant(self._clock))
        else:
            self._end("the peer closed the connection")

    async def _send(self) -> bool:
        """Tell what happened, send what is to be sent, and return whether the link goes on."""
        self._tell()
        output = self.session.take_output()
        if output:
            self._writer.write(output)
            async with asyncio.timeout(self._settings.write_timeout_s):
                await self._writer.drain()
        return self.session.phase is not Phase.CLOSED

    def _end(self, reason: str) -> None:
        self.session.close(reason, instant(self._clock))
        self._tell()

    def _tell(self) -> None:
        for event in self.session.take_events():
            self._handle(self, event)

    async def _close(self, *ended: Awaitable[object]) -> None:
        """Let what was written go out, and close; whoever is cancelled here, or whose peer takes nothing, closes at once."""
        self._writer.close()
        try:
            await asyncio.gather(*ended, return_exceptions=True)
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._settings.close_timeout_s):
                    await self._writer.wait_closed()
        finally:
            self._writer.transport.abort()


type SupervisorLink = Carrier[SupervisorSession]


class SupervisorServer:
    """Waits for sites. A site that connects again takes the place of its older link."""

    def __init__(
        self,
        directory: Callable[[str], KnownSite | None],
        handle: Callable[[SupervisorLink, Event], None],
        clock: Clock,
        settings: TransportSettings | None = None,
        new_id: Callable[[], str] = new_message_id,
    ) -> None:
        """Know the sites of ``directory``, and tell what happens on their links to ``handle``."""
        self.refused_connections = 0
        """Connections over the limit."""
        self._directory = directory
        self._owner = handle
        self._clock = clock
        self._settings = settings or TransportSettings()
        self._new_id = new_id
        self._server: asyncio.Server | None = None
        self._links: dict[SupervisorLink, asyncio.Task[None]] = {}
        self._stopping = False

    async def start(self, host: str, port: int = PORT, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Listen, and return the address that was taken."""
        limit_s = self._settings.connect_timeout_s if tls else None
        self._server = await asyncio.start_server(self._accept, host, port, ssl=tls, ssl_handshake_timeout=limit_s)
        found: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return found

    def link(self, site_id: str) -> SupervisorLink | None:
        """Return the link of a site that is ready."""
        ready = (each for each in self._links if each.session.phase is Phase.READY)
        return next((each for each in ready if site_id in each.session.site_ids), None)

    async def close(self) -> None:
        """Stop listening, then end all links after what they still have to send."""
        self._stopping = True
        for _ in range(TURNS_OF_ACCEPTING):
            await asyncio.sleep(0)
        if self._server is not None:
            self._server.close()
        for link in self._links:
            link.do(lambda session, now: session.close("the supervisor stops", now))
        if self._links:
            limit_s = self._settings.write_timeout_s + self._settings.close_timeout_s
            _, late = await asyncio.wait(self._links.values(), timeout=limit_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._server is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.close_timeout_s):
                    await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopping:
            # Nobody would end its link.
            writer.close()
            return
        if len(self._links) >= self._settings.connections_max:
            self.refused_connections += 1
            writer.close()
            return
        now = instant(self._clock)
        session = SupervisorSession(self._directory, self._settings.link, self._new_id, now, self._settings.commands)
        link = Carrier(session, (reader, writer), self._heard, self._clock, self._settings)
        task = asyncio.create_task(link.run())
        self._links[link] = task
        task.add_done_callback(lambda _: self._links.pop(link, None))

    def _heard(self, link: SupervisorLink, event: Event) -> None:
        if isinstance(event, Established):
            for other in self._links:
                if other is not link and not set(event.site_ids).isdisjoint(other.session.site_ids):
                    other.do(lambda session, now: session.close("the site connected again", now))
        self._owner(link, event)


type SiteLink = Carrier[SiteSession]


class SiteClient:
    """Connects a site to its supervisor, and comes back when the link is lost."""

    def __init__(
        self,
        identity: SiteIdentity,
        state: SiteState,
        handle: Callable[[Event], None],
        clock: Clock,
        settings: TransportSettings | None = None,
        new_id: Callable[[], str] = new_message_id,
    ) -> None:
        """Keep what happens in ``state`` until there is a link."""
        self._identity = identity
        self._state = state
        self._owner = handle
        self._clock = clock
        self._settings = settings or TransportSettings()
        self._new_id = new_id
        self._link: SiteLink | None = None
        # A session that has ended keeps what it is told for the next one.
        self._last = self._begin()
        self._last.close("not connected yet", instant(clock))

    def do[T](self, action: Callable[[SiteSession, Instant], T]) -> T:
        """Act on the session; without a link what is to outlive it is kept."""
        if self._link is not None:
            return self._link.do(action)
        return action(self._last, instant(self._clock))

    async def run(self, host: str, port: int = PORT, tls: ssl.SSLContext | None = None) -> None:
        """Connect again and again, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._settings.connect_timeout_s):
                    streams = await asyncio.open_connection(host, port, ssl=tls)
            except (OSError, TimeoutError) as error:
                self._owner(Closed(f"the supervisor cannot be reached: {type(error).__name__}"))
            else:
                self._last = self._begin()
                self._link = Carrier(self._last, streams, self._heard, self._clock, self._settings)
                try:
                    await self._link.run()
                finally:
                    self._link = None
            await self._clock.sleep(self._settings.reconnect_s)

    def _begin(self) -> SiteSession:
        return SiteSession(self._identity, self._state, self._settings.link, self._new_id, instant(self._clock))

    def _heard(self, _link: SiteLink, event: Event) -> None:
        self._owner(event)
