"""Processes of several partitions as tasks, and the load of a city whose readings they store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from maasloop.bus.streams import OBSERVATION_ROWS, Durable
from maasloop.bus.subjects import lease
from maasloop.core.clock import SystemClock
from maasloop.runtime.leases import Holder, Lease, Terms
from maasloop.timeseries.adapters.conflicts import ConflictFacts
from maasloop.timeseries.adapters.postgres_fence import PostgresFence
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.domain.partitioning import Share
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.entrypoints.lanes import Close, Lanes
from maasloop.timeseries.entrypoints.partition import Partition
from maasloop.timeseries.entrypoints.stream import Writer
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.ports.windows import Windows

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig

TERMS = Terms(renew_s=0.2, held_s=0.8, free_s=1.0, look_s=0.05)
DISTRICTS = [f"district-{number}" for number in range(8)]
ROLLUPS = """
    SELECT count(*) FROM (
        SELECT series, date_bin('1 minute', time, '2000-01-03 00:00:00+00') AS time, count(*) AS count, sum(value) AS sum
        FROM numbers_7d GROUP BY 1, 2
    ) AS r FULL JOIN minutes_7d AS m USING (series, time)
    WHERE r.count IS DISTINCT FROM m.count OR r.sum IS DISTINCT FROM m.sum
"""


@dataclass
class Process:
    """One process that writes a partition, until it is killed."""

    partition: Partition
    lanes: Lanes
    share: Share
    stop: asyncio.Event
    task: asyncio.Task[None]
    stack: AsyncExitStack

    async def writing(self) -> bool:
        """Tell whether its writers run."""
        return self.partition.writing

    async def displaced(self) -> bool:
        """Tell whether it stands aside for processes that were started later."""
        return "are divided into" in (await self.partition.check() or "")

    async def kill(self) -> None:
        """End as abruptly as a kill would, with the lease still held."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.stack.aclose()

    async def end(self) -> None:
        """End as a stop does: what is in hand is finished, and the lease given up."""
        self.stop.set()
        async with asyncio.timeout(50):
            await self.task
        await self.stack.aclose()


def start(
    rig: "Rig",
    partition: int,
    partitions: int,
    *,
    kind: type[PostgresRowStore] = PostgresRowStore,
    before_commit: Callable[[], Awaitable[None]] | None = None,
    backlog: int = 1_000,
) -> Process:
    """Start a process; ``backlog`` messages behind, it opens a live lane."""
    share, clock, stack = Share(partition, partitions), SystemClock(), AsyncExitStack()
    fence = PostgresFence(rig.pool, share)
    durable = replace(OBSERVATION_ROWS, name=share.name(OBSERVATION_ROWS.name), ack_wait_s=1)

    def make(durable: Durable, lane: Life | None = None) -> tuple[Writer, Close, PostgresRowStore]:
        index = rig.index()
        store = kind(
            rig.dsn,
            rig.pool,
            ConflictFacts(index),
            name="test",
            share=share,
            fence=fence,
            before_commit=before_commit if lane is None else None,
        )
        stack.push_async_callback(store.close)
        handler = StoreObservations(index=index, store=store, windows=None if lane else Windows(clock))
        writer = Writer(
            bus=rig.bus, durable=durable, streams=Streams(rig.bus), store=store, handler=handler, clock=clock,
            share=share, lane=lane,
        )  # fmt: skip
        return writer, store.close, store

    writer, _, store = make(durable)
    lanes = Lanes(
        bus=rig.bus, writer=writer, durable=durable, streams=Streams(rig.bus), store=store, clock=clock,
        make_live=lambda durable, lane: make(durable, lane)[:2], behind_messages=backlog, behind_us=0,
    )  # fmt: skip
    held = Lease(rig.bus, lease("timeseries", partition), clock, holder=Holder(str(id(stack))), terms=TERMS)
    running = Partition(partition, lease=held, fence=fence, pulls={"observations": lanes.pull}, clock=clock)
    stop = asyncio.Event()
    return Process(running, lanes, share, stop, asyncio.create_task(running.pull(stop)), stack)


@asynccontextmanager
async def processes() -> AsyncIterator[list[Process]]:
    """Give a list of processes, of which those that are left are killed at the end."""
    running: list[Process] = []
    try:
        yield running
    finally:
        for process in running:
            await process.kill()


@dataclass
class Load:
    """Readings of all districts in turn, and what was acknowledged."""

    rig: "Rig"
    at_us: int
    sent: int = 0

    async def send(self, count: int, districts: list[str] | None = None) -> None:
        """Publish readings, each in a message of its own."""
        among = districts or DISTRICTS
        for _ in range(count):
            reading = ("a", "vehicle-count", self.at_us + self.sent * 250_000, float(self.sent))
            await self.rig.publish(reading, district=among[self.sent % len(among)])
            self.sent += 1

    async def check(self) -> None:
        """Require each reading once, in rows, accounts, totals of producers and rollups."""
        await self.rig.until_accepted(self.sent)
        rows = await self.rig.query("SELECT value FROM numbers_7d ORDER BY value")
        assert [row[0] for row in rows] == [float(number) for number in range(self.sent)]
        custody = await self.rig.custody()
        custody.pop("late", None)
        assert custody == {"accepted": self.sent, "stored": self.sent}
        # Partition 0 counts the messages of the others, and may come last.
        await self.rig.until(self._all_counted)
        assert await self.rig.query("SELECT seen, lost FROM producers") == [(self.sent, 0)]

    async def _all_counted(self) -> bool:
        return await self.rig.query("SELECT sum(seen) >= %s FROM producers", self.sent) == [(True,)]

    async def check_rollups(self) -> None:
        """Require, with all windows closed, minutes that are those of the rows."""
        assert await self.rig.query(ROLLUPS) == [(0,)]


async def start_all(rig: "Rig", running: list[Process], partitions: int) -> list[Process]:
    """Start the processes of all partitions, and return them when they write."""
    started = [start(rig, partition, partitions) for partition in range(partitions)]
    running += started
    for process in started:
        await rig.until(process.writing)
    return started


async def kill_all(running: list[Process]) -> None:
    """Kill one after the other."""
    while running:
        await running.pop().kill()


async def end_all(running: list[Process]) -> None:
    """Stop one after the other."""
    while running:
        await running.pop().end()
