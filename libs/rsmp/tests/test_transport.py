"""Sessions over real sockets: they meet, break, come back, end in order, and keep strangers out."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from maasloop.core.clock import SystemClock
from maasloop.rsmp.commanding import CommandTimes
from maasloop.rsmp.events import Closed, CommandEnded, Established, Event, Outcome, StatusReported
from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.messages import Quality, Subscription
from maasloop.rsmp.session import LinkSettings
from maasloop.rsmp.site import SiteIdentity, SiteSession
from maasloop.rsmp.site_state import SiteState
from maasloop.rsmp.supervisor import KnownSite
from maasloop.rsmp.tls import site_context, supervisor_context
from maasloop.rsmp.transport import (
    Carrier,
    SiteClient,
    SiteLink,
    SupervisorLink,
    SupervisorServer,
    TransportSettings,
    instant,
    new_message_id,
)
from rsmp_link import CONTROLLER, PLAN, SITE, Cabinet

PLAN_3 = {"status": "True", "securityCode": "2222", "timeplan": "3"}


@dataclass
class Pair:
    """A server and what it told; sites are added by the test."""

    server: SupervisorServer
    known: KnownSite
    told: list[Event]
    address: tuple[str, int] = ("", 0)
    clients: list[asyncio.Task[None]] = field(default_factory=list)

    def site(self, cabinet: Cabinet, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> SiteClient:
        """Connect a site."""
        state = SiteState(cabinet, tlc(TLC_RELEASES[-1]), frozenset([PLAN]))
        settings = TransportSettings(reconnect_s=0.05)
        client = SiteClient(SiteIdentity((SITE,), "1.2.1"), state, lambda _: None, SystemClock(), settings)
        self.clients.append(asyncio.create_task(client.run(host, self.address[1], tls)))
        return client

    async def until[T: Event](self, kind: type[T], count: int = 1) -> list[T]:
        """Wait for events of a kind."""
        async with asyncio.timeout(50):
            while True:
                found: list[T] = [each for each in self.told if isinstance(each, kind)]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.01)

    def link(self) -> SupervisorLink:
        """Return the link of the site."""
        found = self.server.link(SITE)
        assert found is not None
        return found


@asynccontextmanager
async def _pair(settings: TransportSettings | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Pair]:
    told: list[Event] = []
    known = KnownSite(CONTROLLER)
    times = CommandTimes(read_back_interval_s=0.05)
    server = SupervisorServer(
        {SITE: known}.get,
        lambda _, event: told.append(event),
        SystemClock(),
        settings or TransportSettings(commands=times),
    )
    pair = Pair(server, known, told)
    pair.address = await server.start("127.0.0.1", 0, tls)
    try:
        yield pair
    finally:
        for client in pair.clients:
            client.cancel()
        await asyncio.gather(*pair.clients, return_exceptions=True)
        await server.close()


async def test_a_command_travels_and_is_confirmed() -> None:
    """From handshake to the status that shows it, over a socket."""
    async with _pair() as pair:
        cabinet = Cabinet()
        pair.site(cabinet)
        await pair.until(Established)
        pair.link().do(lambda session, now: session.command(CONTROLLER, "M0002", PLAN_3, now))

        (ended,) = await pair.until(CommandEnded)

    assert ended.outcome is Outcome.CONFIRMED
    assert cabinet.executed == [(CONTROLLER, "M0002")]


async def test_a_site_comes_back_with_what_it_kept() -> None:
    """After a lost link the site connects again, tells what it kept, and is subscribed again."""
    async with _pair() as pair:
        cabinet = Cabinet()
        client = pair.site(cabinet)
        await pair.until(Established)
        wanted = Subscription("S0014", "status", 0, on_change=True)
        pair.link().do(lambda session, now: session.subscribe(CONTROLLER, [wanted], now))
        await pair.until(StatusReported)

        pair.link().do(lambda session, now: session.close("the test breaks the link", now))
        await pair.until(Closed)
        cabinet.set("S0014", "status", "8")
        client.do(lambda session, now: session.refresh(now))

        await pair.until(Established, 2)
        reported = await pair.until(StatusReported, 3)

    qualities = {(each.readings[0].value, each.readings[0].quality) for each in reported}
    assert ("8", Quality.RECENT) in qualities


async def test_a_site_that_connects_again_replaces_its_link() -> None:
    """Of two links of one site the newer one counts, for the older may be dead without our knowing."""
    async with _pair() as pair:
        pair.site(Cabinet())
        await pair.until(Established)
        first = pair.link()
        pair.site(Cabinet())
        await pair.until(Established, 2)

        closed = await pair.until(Closed)

    assert closed[0] == Closed("the site connected again")
    assert first.session.phase.name == "CLOSED"


@pytest.mark.parametrize("turns", range(8))
async def test_who_comes_while_the_server_stops_is_cut_off(turns: int) -> None:
    """A connection that is on its way through the loop when listening ends is closed, and not forgotten."""
    async with _pair() as pair:
        with socket.create_connection(pair.address, timeout=5) as peer:
            peer.setblocking(False)
            for _ in range(turns):
                await asyncio.sleep(0)
            await pair.server.close()
            async with asyncio.timeout(50):
                with suppress(ConnectionResetError):
                    assert await asyncio.get_running_loop().sock_recv(peer, 1) == b""


async def _nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0)


async def _garbage(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\xff" * 5000)
    await writer.drain()


@pytest.mark.parametrize(
    ("behave", "reason"),
    [(_nothing, "no handshake within 0.2 s"), (_garbage, "a packet exceeds 4096 bytes without a form feed")],
)
async def test_a_stranger_is_cut_off(
    behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], reason: str
) -> None:
    """Who says nothing, or sends bytes without end, loses the connection."""
    link = LinkSettings(handshake_timeout_s=0.2, packet_bytes_max=4096)
    async with _pair(TransportSettings(link=link)) as pair:
        reader, writer = await asyncio.open_connection(*pair.address)
        await behave(reader, writer)
        async with asyncio.timeout(50):
            assert await reader.read() == b""
        writer.close()
        assert await pair.until(Closed) == [Closed(reason)]


async def test_connections_have_a_limit() -> None:
    """A connection over the limit is closed at once, and counted."""
    async with _pair(TransportSettings(connections_max=0)) as pair:
        reader, writer = await asyncio.open_connection(*pair.address)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()

    assert pair.server.refused_connections == 1


async def _carrier(settings: TransportSettings, address: tuple[str, int]) -> tuple[SiteLink, asyncio.StreamWriter]:
    streams = await asyncio.open_connection(*address)
    state = SiteState(Cabinet(), tlc(TLC_RELEASES[-1]), frozenset())
    session = SiteSession(SiteIdentity((SITE,), "1.2.1"), state, settings.link, new_message_id, instant(SystemClock()))
    return Carrier(session, streams, lambda _link, _event: None, SystemClock(), settings), streams[1]


async def test_a_link_cancelled_while_it_ends_closes_its_connection() -> None:
    """A site that is stopped in the moment in which its link ends leaves no connection open."""
    async with _pair() as pair:
        link, writer = await _carrier(TransportSettings(), pair.address)
        link.session.close("the test ends it", instant(SystemClock()))
        running = asyncio.create_task(link.run())
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert writer.is_closing()
        await _gone(writer)


async def test_a_peer_that_takes_nothing_is_cut_off() -> None:
    """Bytes that nobody takes do not keep a connection open for ever."""
    release = asyncio.Event()

    async def take_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(take_nothing, "127.0.0.1", 0)
    async with server:
        settings = TransportSettings(write_timeout_s=0.1, close_timeout_s=0.1)
        link, writer = await _carrier(settings, server.sockets[0].getsockname()[:2])
        writer.write(bytes(50_000_000))
        try:
            await link.run()
            await _gone(writer)
        finally:
            release.set()


async def _gone(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    async with asyncio.timeout(20):
        while True:
            if connection.fileno() == -1:
                return
            await asyncio.sleep(0.01)


async def test_a_server_that_stops_ends_its_links() -> None:
    """Closing tells the owner, ends every connection, and leaves no task."""
    async with _pair() as pair:
        pair.site(Cabinet())
        await pair.until(Established)
        await pair.server.close()

        assert pair.told[-1] == Closed("the supervisor stops")
        assert pair.server.link(SITE) is None


def _certificates(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a key and a certificate that vouches for itself."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True, timeout=30
    )
    return certificate, key


async def test_tls_wants_certificates_on_both_sides(tmp_path: Path) -> None:
    """A link over TLS 1.3 is established between known certificates, and not with a foreign one."""
    ours, theirs, foreign = (_certificates(tmp_path, name) for name in ("supervisor", "site", "foreign"))
    async with _pair(tls=supervisor_context(*ours, theirs[0])) as pair:
        pair.site(Cabinet(), site_context(*foreign, ours[0]))
        await asyncio.sleep(0.3)
        assert not [each for each in pair.told if isinstance(each, Established)]
        pair.clients[0].cancel()

        pair.site(Cabinet(), site_context(*theirs, ours[0]))
        await pair.until(Established)
