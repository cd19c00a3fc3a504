"""The link to a broker that stands still, or whose words cannot be read: it is heard again as soon as it speaks."""

import asyncio
import contextlib

from nats.errors import FlushTimeoutError

from maasloop.bus.connection import Bus, connect
from maasloop.stack.servers.nats import NatsServer


async def _given_up(bus: Bus) -> None:
    """Probe until a probe is not answered in time: a process does not stop at once."""
    with contextlib.suppress(FlushTimeoutError):
        while True:
            await bus.client.flush(timeout=0.2)  # type: ignore[arg-type]  # a float works, the stub says int


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
            async with asyncio.timeout(5.0):
                await _given_up(bus)
        finally:
            nats_process.process.resume()
        answer = await bus.api("INFO", timeout_s=2.0)
        await bus.check()

    assert "error" not in answer
    assert lost == 0


async def test_a_reader_that_fails_makes_the_link_anew(nats_process: NatsServer) -> None:
    """What ends nats-py's reader ends the link as well, which is then made again."""
    async with connect(nats_process.url, name="test") as bus:
        anew = asyncio.Event()
        bus.on_reconnect(anew.set)
        whole = bus.client._process_pong

        async def fail() -> None:
            bus.client._process_pong = whole  # type: ignore[method-assign]  # a fault is put here
            raise RuntimeError

        bus.client._process_pong = fail  # type: ignore[method-assign]  # a fault is put here
        probe = asyncio.create_task(bus.check())
        async with asyncio.timeout(2.0):
            await anew.wait()
        await asyncio.gather(probe, return_exceptions=True)
        answer = await bus.api("INFO", timeout_s=2.0)

    assert "error" not in answer
