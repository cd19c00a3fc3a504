"""Before an HTTP listener knows anything of a caller, what the caller can cost is bounded."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from maasloop.runtime import http_limits
from maasloop.runtime.http import HttpDoor
from maasloop.telemetry.metrics import REGISTRY

GET = b"GET / HTTP/1.1\r\nhost: door\r\n"
POST = b"POST / HTTP/1.1\r\nhost: door\r\ncontent-length: 5\r\n\r\n"


async def _echo(request: Request) -> PlainTextResponse:
    try:
        return PlainTextResponse(await request.body())
    except ClientDisconnect:
        return PlainTextResponse("late", 400)


@asynccontextmanager
async def _connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    door = HttpDoor(Starlette(routes=[Route("/", _echo, methods=["GET", "POST"])]), "127.0.0.1:0")
    await door.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        yield reader, writer
        writer.close()
    finally:
        await door.stop(0.1)


def _refused(reason: str) -> float:
    return REGISTRY.get_sample_value("maasloop_http_refusals_total", {"reason": reason}) or 0.0


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_every_answer_tells_browsers_to_keep_their_hands_off() -> None:
    """Nothing is guessed, kept, framed or run from an answer, an error page among them."""
    async with _connected() as (reader, writer):
        writer.write(GET + b"\r\n")
        found = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET /nowhere HTTP/1.1\r\nhost: door\r\nconnection: close\r\n\r\n")
        missing = await _all_of(reader)
    for answer in (found, missing):
        assert b"x-content-type-options: nosniff" in answer
        assert b"cache-control: no-store" in answer
        assert b"content-security-policy: default-src 'none'; frame-ancestors 'none'" in answer
        assert b"\r\nserver:" not in answer
    assert b" 404 " in missing


async def test_too_many_headers_are_refused() -> None:
    """The number of headers is limited, whatever their size."""
    before = _refused("headers")
    async with _connected() as (reader, writer):
        writer.write(GET + b"".join(b"x-%d: 1\r\n" % number for number in range(http_limits.HEADERS_MAX)) + b"\r\n")
        assert b" 431 " in await reader.readline()
    assert _refused("headers") == before + 1


async def test_a_head_without_end_is_cut_off() -> None:
    """The bytes of a head are limited: what lies beyond ends the connection."""
    before = _refused("malformed")
    async with _connected() as (reader, writer):
        writer.write(GET + b"x: " + b"y" * 2 * http_limits.HEAD_BYTES_MAX)
        answer = await _all_of(reader)
    assert answer == b"" or b" 400 " in answer
    assert _refused("malformed") == before + 1


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET, GET + b"x: 1\r\n"])
async def test_who_does_not_finish_a_head_is_not_waited_for(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing, or never to the end, is ended."""
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_S", 0.1)
    before = _refused("head_timeout")
    async with _connected() as (reader, writer):
        writer.write(sent)
        assert await _all_of(reader) == b""
    assert _refused("head_timeout") == before + 1


async def test_who_does_not_finish_a_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come in time is taken for a client that left."""
    monkeypatch.setattr(http_limits, "BODY_TIMEOUT_S", 0.1)
    before = _refused("body_timeout")
    async with _connected() as (reader, writer):
        writer.write(POST + b"ab")
        assert b" 400 " in await reader.readline()
    assert _refused("body_timeout") == before + 1


async def test_a_second_request_is_waited_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests one after the other, and two at once, are answered; then the waiting ends."""
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_S", 1.0)
    async with _connected() as (reader, writer):
        for _ in range(2):
            writer.write(POST + b"abcde")
            assert (await reader.readuntil(b"abcde")).startswith(b"HTTP/1.1 200")
        writer.write(2 * (POST + b"abcde"))
        await reader.readuntil(b"abcde")
        await reader.readuntil(b"abcde")
        assert await _all_of(reader) == b""


@pytest.mark.parametrize("rubbish", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
@pytest.mark.parametrize("first", [b"", POST + b"abcde", POST])
async def test_rubbish_ends_a_connection_and_fills_no_log(
    first: bytes, rubbish: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no HTTP is counted and never logged, whether it comes first, behind a request, or inside one."""
    with caplog.at_level(logging.DEBUG, logger="uvicorn.error"):
        async with _connected() as (reader, writer):
            writer.write(first + rubbish + b"\x00" * 64 + b"\r\n\r\n")
            await _all_of(reader)
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


@pytest.mark.parametrize("sent", [b"no http\r\n\r\n", POST + b"whole", GET + b"connection: close\r\n\r\n"])
async def test_an_ended_connection_leaves_nothing_behind(sent: bytes) -> None:
    """Refused or answered, it is gone when it has ended, without the garbage collector: buffers do not pile up."""
    gc.collect()
    gc.disable()
    try:
        async with _connected() as (reader, writer):
            writer.write(sent)
            assert await reader.readline()
            writer.close()
            async with asyncio.timeout(10):
                while any(isinstance(each, http_limits.LimitedProtocol) for each in gc.get_objects()):  # noqa: ASYNC110 - nobody tells of it
                    await asyncio.sleep(0.02)
    finally:
        gc.enable()
