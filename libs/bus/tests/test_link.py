"""The link to a broker that stands still, or whose words cannot be read: it is heard again as soon as it speaks."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import pytest
from nats.aio.msg import Msg
from nats.errors import FlushTimeoutError

from maasloop.bus.connection import Bus, connect
from maasloop.stack.servers.nats import NatsServer


async def _given_up(bus: Bus) -> None:
    """Probe until a probe is not answered in time: a process does not stop at once."""
    with contextlib.suppress(FlushTimeoutError):
        while True:
            await bus.client.flush(timeout=1)


async def test_a_broker_that_stood_still_is_heard_at_once(nats_process: NatsServer) -> None:
    """An answer to a probe that nobody waits for any more does not make the link deaf."""
    async with connect(nats_process.url, name="test") as bus:
        lost = 0

        def reconnected() -> None:
            nonlocal lost
            lost += 1

        bus.on_reconnect(reconnected)
        nats_process.process.pause()
        try:
            async with asyncio.timeout(50):
                await _given_up(bus)
        finally:
            nats_process.process.resume()
        answer = await bus.api("INFO", timeout_s=20.0)
        await bus.check()

    assert "error" not in answer
    assert lost == 0


async def test_a_reader_that_fails_makes_the_link_anew(
    nats_process: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends nats-py's reader ends the link as well, which is then made again."""
    async with connect(nats_process.url, name="test") as bus:
        anew = asyncio.Event()
        bus.on_reconnect(anew.set)

        async def fail() -> None:
            monkeypatch.undo()
            raise RuntimeError

        monkeypatch.setattr(bus.client, "_process_pong", fail)
        probe = asyncio.create_task(bus.check())
        async with asyncio.timeout(50):
            await anew.wait()
        await asyncio.gather(probe, return_exceptions=True)
        answer = await bus.api("INFO", timeout_s=20.0)

    assert "error" not in answer


async def test_a_subject_that_is_no_text_does_not_end_the_link(nats_process: NatsServer) -> None:
    """Bytes that are no UTF-8 in a subject and in a reply reach the listener escaped, and the link stands."""
    async with connect(nats_process.url, name="test") as bus:
        heard = await bus.client.subscribe("dev.v1.harbour.lamp-1.up.*")
        await bus.client.flush()
        lost = 0

        def reconnected() -> None:
            nonlocal lost
            lost += 1

        bus.on_reconnect(reconnected)
        where = urlsplit(nats_process.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        assert (await reader.readline()).startswith(b"INFO")
        writer.write(b'CONNECT {"verbose":false}\r\nPUB dev.v1.harbour.lamp-1.up.\xb9 to.\xff 2\r\n{}\r\nPING\r\n')
        # The server has taken what it answers a PING behind.
        assert await reader.readline() == b"PONG\r\n"
        message = await heard.next_msg(timeout=30.0)
        await bus.check()
        writer.close()

    assert message.subject == r"dev.v1.harbour.lamp-1.up.\xb9"
    assert message.reply == r"to.\xff"
    assert lost == 0


async def test_a_publish_on_a_link_that_is_made_anew_is_not_refused(nats_process: NatsServer) -> None:
    """What was under way when the link went is sent again, however little patience its sender has with the broker."""
    async with connect(nats_process.url, name="test") as bus:
        await bus.api("STREAM.CREATE.FACTS", {"name": "FACTS", "subjects": ["facts"]}, timeout_s=20.0)
        anew = asyncio.Event()
        bus.on_reconnect(anew.set)
        nats_process.process.pause()
        try:
            storing = asyncio.create_task(bus.store("facts", b"1", {"Nats-Msg-Id": "1"}, patience_s=1.0))
            await asyncio.sleep(0.05)
            await bus.client.abort()
        finally:
            nats_process.process.resume()
        async with asyncio.timeout(50):
            await anew.wait()
            stored = await storing

    assert stored.sequence == 1


async def test_a_link_that_goes_during_the_end_does_not_break_it(nats_process: NatsServer) -> None:
    """What was pending is lost, as it was not acknowledged; nothing is raised and nothing goes on."""
    async with connect(nats_process.url, name="test") as bus:
        before = asyncio.all_tasks()
        await bus.client.subscribe("facts", cb=_hear)
        draining = asyncio.create_task(bus.drain())
        await asyncio.sleep(0)
        await bus.client.publish("facts", b"1")
        bus.client._link.abort()
        async with asyncio.timeout(50):
            await draining
        closed = bus.client.is_closed
    await asyncio.sleep(0)

    assert closed
    assert not asyncio.all_tasks() - before


async def test_a_broker_that_stands_still_does_not_hold_the_end_up(nats_process: NatsServer) -> None:
    """Whoever has more pending than the socket takes ends after the bound."""
    async with connect(nats_process.url, name="test") as bus:
        nats_process.process.pause()
        try:
            for _ in range(8):
                await bus.client.publish("facts", bytes(1_000_000))
            async with asyncio.timeout(50):
                await bus.drain()
        finally:
            nats_process.process.resume()
        closed = bus.client.is_closed

    assert closed


async def _hear(message: Msg) -> None:
    """Hear without a word."""


async def test_what_a_broken_link_left_of_a_message_is_no_part_of_the_next(nats_process: NatsServer) -> None:
    """Half a message that is read while the link breaks is forgotten: the broker sends it again, whole."""
    async with connect(nats_process.url, name="test") as bus:
        anew, heard = asyncio.Event(), asyncio.Queue[bytes]()

        async def hear(message: Msg) -> None:
            heard.put_nowait(message.data)

        bus.on_reconnect(anew.set)
        subscription = await bus.client.subscribe("told", cb=hear)
        await bus.client.abort()
        await bus.client._ps.parse(f"MSG told {subscription._id} 40\r\nhalf a message".encode())
        async with asyncio.timeout(20):
            await anew.wait()
            await bus.client.publish("told", b"a whole one")
            assert await heard.get() == b"a whole one"
