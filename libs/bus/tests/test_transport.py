"""The link under nats-py against a real server of asyncio: nothing lost, bounded, and a clear end."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import ParseResult, urlparse

import pytest
import trustme

from maasloop.bus import transport as transport_module
from maasloop.bus.transport import UNSENT_MAX, SocketTransport

HOST = "127.0.0.1"
TIMEOUT_S = 20

type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _server(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[ParseResult]:
    """Serve one link at a time; a context makes it speak TLS from the first byte."""
    async with await asyncio.start_server(serve, HOST, 0, ssl=context) as server:
        yield urlparse(f"nats://{HOST}:{server.sockets[0].getsockname()[1]}")


@asynccontextmanager
async def _link(address: ParseResult, context: ssl.SSLContext | None = None) -> AsyncIterator[SocketTransport]:
    link = SocketTransport()
    try:
        await link.connect(address, 0, TIMEOUT_S)
        if context is not None:
            await link.connect_tls(HOST, context, 0, TIMEOUT_S)
        yield link
    finally:
        link.abort()


@pytest.fixture(params=["plain", "tls"])
def contexts(request: pytest.FixtureRequest) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """Return what server and client speak."""
    if request.param == "plain":
        return None, None
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(HOST).configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_much_goes_both_ways_whole(contexts: tuple[ssl.SSLContext | None, ssl.SSLContext | None]) -> None:
    """Eight MiB in writes of all sizes come back byte by byte the same, though the socket takes less at once."""
    sent = bytes(range(256)) * 32_768
    async with _server(_echo, contexts[0]) as address, _link(address, contexts[1]) as link:
        back = bytearray()

        async def read() -> None:
            while len(back) < len(sent):
                back.extend(await link.read(0))

        async with asyncio.timeout(TIMEOUT_S):
            reading, at, size = asyncio.create_task(read()), 0, 1
            while at < len(sent):
                link.writelines([sent[at : at + size // 2], sent[at + size // 2 : at + size]])
                at, size = at + size, size * 2
                await link.drain()
            await reading
    assert bytes(back) == sent


async def test_what_nobody_takes_is_not_read_on(
    contexts: tuple[ssl.SSLContext | None, ssl.SSLContext | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit the socket is left alone, and read again as soon as something was taken."""
    monkeypatch.setattr(transport_module, "UNREAD_MAX", 100_000)
    sent = b"x" * 20_000_000

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        writer.close()

    async with _server(pour, contexts[0]) as address, _link(address, contexts[1]) as link, asyncio.timeout(TIMEOUT_S):
        count = len(await link.read(0))
        await asyncio.sleep(0.3)
        waiting = len(await link.read(0))
        count += waiting
        while found := await link.read(0):
            count += len(found)
        assert link.at_eof()
    assert waiting <= 100_000 + transport_module.RECORDS_AT_ONCE_MAX * transport_module.READ_AT_ONCE
    assert count == len(sent)


async def test_a_server_that_reads_nothing_makes_writers_wait(
    contexts: tuple[ssl.SSLContext | None, ssl.SSLContext | None],
) -> None:
    """``drain`` waits until the server reads, and closing sends what is left."""
    read, go = bytearray(), asyncio.Event()
    ended = asyncio.Event()

    async def sleepy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        while data := await reader.read(65_536):
            read.extend(data)
        writer.close()
        ended.set()

    async with _server(sleepy, contexts[0]) as address, _link(address, contexts[1]) as link, asyncio.timeout(TIMEOUT_S):
        link.write(b"y" * 20_000_000)
        draining = asyncio.create_task(link.drain())
        await asyncio.sleep(0.3)
        assert not draining.done()
        go.set()
        await draining
        link.write(b"z" * (2 * UNSENT_MAX))
        link.close()
        await link.wait_closed()
        await ended.wait()
    assert len(read) == 20_000_000 + 2 * UNSENT_MAX
    assert read.endswith(b"z")


async def test_the_end_of_a_link_wakes_who_reads() -> None:
    """An abort raises for the reader, who would wait for ever, and for who writes afterwards."""
    async with _server(_echo) as address, _link(address) as link, asyncio.timeout(TIMEOUT_S):
        reading = asyncio.create_task(link.read(0))
        await asyncio.sleep(0)
        link.abort()
        with pytest.raises(ConnectionAbortedError):
            await reading
        with pytest.raises(ConnectionResetError):
            link.write(b"late")
        await link.connect(address, 0, TIMEOUT_S)
        link.write(b"anew\nrest")
        assert await link.readline() == b"anew\n"
        assert await link.read(0) == b"rest"


async def test_a_stranger_is_not_believed() -> None:
    """A certificate of another authority, or for another name, ends the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    known = trustme.CA()
    known.issue_cert("elsewhere.example").configure_cert(context)
    trusting = ssl.create_default_context()
    known.configure_trust(trusting)
    async with _server(_echo, context) as address:
        for client in (ssl.create_default_context(), trusting):
            with pytest.raises(ssl.SSLCertVerificationError):
                async with _link(address, client):
                    pass


async def test_a_server_that_never_answers_is_given_up() -> None:
    """The handshake has a limit."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with _server(silent) as address, _link(address) as link:
        with pytest.raises(TimeoutError):
            await link.connect_tls(HOST, ssl.create_default_context(), 0, 1)
