"""Leases on a real broker: two processes never hold one at the same time by their own view."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.bus.streams import LEASES
from maasloop.bus.subjects import lease
from maasloop.core.clock import SystemClock
from maasloop.core.errors import Conflict
from maasloop.runtime.leases import Holder, Lease, Terms
from maasloop.stack.servers.nats import NatsServer

HOLDING = Path(__file__).with_name("holding_a_lease.py")
TERMS = Terms(renew_s=0.2, held_s=0.8, free_s=1.0, look_s=0.05)
SUBJECT = lease("test", 0)
TIMEOUT_S = 30.0
OTHER = Holder("another", "another machine")


@pytest.fixture(name="bus")
async def _bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test") as bus:
        await ensure(bus)
        yield bus


def _lease(bus: Bus, holder: Holder | None = None) -> Lease:
    return Lease(bus, SUBJECT, SystemClock(), holder=holder, terms=TERMS)


async def _until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not so():  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(0.01)


@contextmanager
def _process(url: str, path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, HOLDING, url, path])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _times(path: Path) -> list[float]:
    return [float(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


async def _until_more(*paths: Path, count: int = 1) -> None:
    """Wait until it was held at so many more moments."""
    before = sum(len(_times(path)) for path in paths)
    await _until(lambda: sum(len(_times(path)) for path in paths) >= before + count)


def _turns(*paths: Path) -> list[Path]:
    """Return who held it, in order of time, each turn once; two at a time would be many turns."""
    held = sorted((at_s, path) for path in paths for at_s in _times(path))
    owners = [path for _, path in held]
    return [owner for place, owner in enumerate(owners) if not place or owners[place - 1] != owner]


async def test_it_is_kept_and_given_up_to_the_next_at_once(bus: Bus) -> None:
    """A holder who renews keeps it; when he gives it up, the next one has it with a higher revision."""
    first, second = _lease(bus, OTHER), _lease(bus)
    revision = await first.take()
    keeping = asyncio.create_task(first.keep())
    waiting = asyncio.create_task(second.take())
    await asyncio.sleep(2 * TERMS.free_s)
    kept = first.held and not waiting.done() and not keeping.done()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await first.give_up()

    async with asyncio.timeout(TIMEOUT_S):
        higher = await waiting
    assert kept
    assert higher > revision
    assert (first.held, second.held) == (False, True)


async def test_a_holder_who_was_replaced_is_told(bus: Bus) -> None:
    """Who does not renew loses it to who waited, and cannot renew it any more."""
    first, second = _lease(bus, OTHER), _lease(bus)
    await first.take()
    async with asyncio.timeout(TIMEOUT_S):
        await second.take()

    assert not first.held
    with pytest.raises(Conflict) as refusal:
        await first.renew()
    assert refusal.value.reason == "LEASE_LOST"


async def test_a_renewal_whose_answer_was_lost_is_no_loss(bus: Bus) -> None:
    """A holder who finds his own word under another revision goes on from there."""
    holder = Holder.this()
    known, forgetful = _lease(bus, holder), _lease(bus, holder)
    await forgetful.take()
    await known.take()

    assert await forgetful.renew() > 0
    assert forgetful.held


async def test_a_process_that_ended_on_this_machine_is_not_waited_for(bus: Bus) -> None:
    """Who can see that the holder's process has ended takes it at once; one that runs, or runs elsewhere, is waited for."""
    this = Holder.this()
    ended = replace(this, id="ended", started="1")
    running = replace(this, id="running")
    await _lease(bus, ended).take()
    revision = await asyncio.wait_for(_lease(bus).take(), TERMS.free_s / 2)

    assert revision > 0
    assert not this.saw_end_of(running)
    assert not this.saw_end_of(replace(ended, machine="another"))
    assert not this.saw_end_of(replace(ended, processes="another"))
    assert not this.saw_end_of(OTHER)


async def test_an_emptied_bucket_is_begun_again(bus: Bus) -> None:
    """Who holds a lease of which nothing is left is told that it is lost, and can take it again."""
    held = _lease(bus)
    await held.take()
    await bus.api(f"STREAM.PURGE.{LEASES.name}")

    with pytest.raises(Conflict):
        await held.renew()
    async with asyncio.timeout(TIMEOUT_S):
        assert await held.take() > 0


async def test_a_stopped_process_comes_back_without_it(bus: Bus, nats_url: str, tmp_path: Path) -> None:
    """A process that is stopped while it holds it loses it to another, and never believes that both have it."""
    assert bus.connected
    paths = [tmp_path / "a", tmp_path / "b"]
    with _process(nats_url, paths[0]) as first:
        await _until(lambda: bool(_times(paths[0])))
        with _process(nats_url, paths[1]) as second:
            for stopped, other in ((first, paths[1]), (second, paths[0])):
                os.kill(stopped.pid, signal.SIGSTOP)
                await _until_more(other)
                os.kill(stopped.pid, signal.SIGCONT)
                await asyncio.sleep(TERMS.free_s)

    assert _turns(*paths) == [paths[0], paths[1], paths[0]]


async def test_a_broker_that_is_started_again_changes_no_holder(nats_process: NatsServer, tmp_path: Path) -> None:
    """Over restarts of the broker, short and long, there is one holder at a time, and afterwards there is one."""
    paths = [tmp_path / "a", tmp_path / "b"]
    async with connect(nats_process.url, name="test") as bus:
        await ensure(bus)
    with _process(nats_process.url, paths[0]), _process(nats_process.url, paths[1]):
        for pause_s in (0.0, 2 * TERMS.free_s):
            await _until_more(*paths)
            await asyncio.to_thread(nats_process.kill9)
            await asyncio.sleep(pause_s)
            await asyncio.to_thread(nats_process.start)
        await _until_more(*paths, count=10)

    assert len(_turns(*paths)) <= 4
