"""Several partitions, and their number changed while readings come: real broker, real database, processes as tasks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from maasloop.bus.streams import OBSERVATION_ROWS, OBSERVATIONS, Durable
from maasloop.bus.subjects import OBSERVATION_RECORDED, lease
from maasloop.core.clock import SystemClock
from maasloop.runtime.leases import Holder, Lease, Terms
from maasloop.timeseries.adapters.conflicts import ConflictFacts
from maasloop.timeseries.adapters.counting import StreamCounter
from maasloop.timeseries.adapters.postgres_accounts import PostgresAccounts
from maasloop.timeseries.adapters.postgres_fence import PostgresFence
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore
from maasloop.timeseries.adapters.progress import StoredProgress
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.domain.partitioning import Share, partition_of
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.entrypoints import storing, stream
from maasloop.timeseries.entrypoints.lanes import Close, Lanes
from maasloop.timeseries.entrypoints.partition import Partition
from maasloop.timeseries.entrypoints.stream import Writer
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.ports.windows import Windows
from maasloop.timeseries.ports.writing import Stored

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig

TERMS = Terms(renew_s=0.2, held_s=0.8, free_s=1.0, look_s=0.05)
DISTRICTS = [f"district-{number}" for number in range(8)]
CARRIED = {OBSERVATIONS.name: OBSERVATION_RECORDED}
ROLLUPS = """
    SELECT count(*) FROM (
        SELECT series, date_bin('1 minute', time, '2000-01-03 00:00:00+00') AS time, count(*) AS count, sum(value) AS sum
        FROM numbers_7d GROUP BY 1, 2
    ) AS r FULL JOIN minutes_7d AS m USING (series, time)
    WHERE r.count IS DISTINCT FROM m.count OR r.sum IS DISTINCT FROM m.sum
"""


@pytest.fixture(name="at_us")
def _at_us() -> int:
    return (SystemClock().now_us() // 1_000_000 - 600) * 1_000_000


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "TOLD_EVERY_S", 0.1)
    monkeypatch.setattr(stream, "PASSING_DISTANCE_S", 0.1)


class Forward(PostgresRowStore):
    """A sabotage: a partition begins behind what any partition has stored."""

    async def stored(self, stream: str, created: str) -> Stored:
        """Return what is stored, with everything taken for stored in order."""
        found = await super().stored(stream, created)
        return found._replace(floor=found.reach)


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
        async with asyncio.timeout(20):
            await self.task
        await self.stack.aclose()


def _start(
    rig: "Rig",
    partition: int,
    partitions: int,
    *,
    kind: type[PostgresRowStore] = PostgresRowStore,
    before_commit: Callable[[], Awaitable[None]] | None = None,
    backlog: int = 1_000,
) -> Process:
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
async def _processes() -> AsyncIterator[list[Process]]:
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
        assert await self.rig.query("SELECT seen, lost FROM producers") == [(self.sent, 0)]

    async def check_rollups(self) -> None:
        """Require, with all windows closed, minutes that are those of the rows."""
        assert await self.rig.query(ROLLUPS) == [(0,)]


async def _start_all(rig: "Rig", running: list[Process], partitions: int) -> list[Process]:
    started = [_start(rig, partition, partitions) for partition in range(partitions)]
    running += started
    for process in started:
        await rig.until(process.writing)
    return started


async def _kill_all(running: list[Process]) -> None:
    while running:
        await running.pop().kill()


async def _end_all(running: list[Process]) -> None:
    while running:
        await running.pop().end()


async def test_each_partition_stores_its_districts(rig: "Rig", at_us: int) -> None:
    """Two processes store all readings between them, each once, and together they are everything."""
    load = Load(rig, at_us)
    async with _processes() as running:
        await load.send(20)
        await _start_all(rig, running, 2)
        await load.send(60)
        await load.check()
        settled = (await PostgresAccounts(rig.pool).settled())[OBSERVATIONS.name]
        await rig.until(lambda: _floor_at(rig, 80))
        await _end_all(running)
        await load.check_rollups()

    assert {partition_of(district, 2) for district in DISTRICTS} == {0, 1}
    assert settled.partitions == 2
    assert settled.positions.keys() == set(DISTRICTS)


async def _floor_at(rig: "Rig", sequence: int) -> bool:
    return (await PostgresAccounts(rig.pool).settled())[OBSERVATIONS.name].floor >= sequence


@pytest.mark.parametrize("abrupt", [False, True])
async def test_the_number_of_partitions_changes_and_nothing_is_lost(rig: "Rig", at_us: int, *, abrupt: bool) -> None:
    """1 → 3 → 2 → 1 partitions under load, by processes that were stopped, or killed: each reading counts once."""
    load, end = Load(rig, at_us), _kill_all if abrupt else _end_all
    async with _processes() as running:
        for partitions in (1, 3, 2, 1):
            await _start_all(rig, running, partitions)
            sending = asyncio.create_task(load.send(60))
            await asyncio.sleep(0.1)
            await end(running)
            await sending
            await load.send(20)
        await _start_all(rig, running, 3)
        await load.check()
        await _end_all(running)
        await load.check_rollups()


async def test_partitions_change_while_the_processes_before_still_run(rig: "Rig", at_us: int) -> None:
    """A process that starts with another number displaces those before, one after the other as in a rolling update."""
    load = Load(rig, at_us)
    async with _processes() as running:
        (old,) = await _start_all(rig, running, 1)
        await load.send(40)
        sending = asyncio.create_task(load.send(120))
        for partition in (2, 1):
            running.append(_start(rig, partition, 3))
            await rig.until(running[-1].writing)
        await rig.until(old.displaced)
        why = await old.partition.check()
        await old.end()
        running.remove(old)
        running.append(_start(rig, 0, 3))
        await sending
        await load.check()
        await _end_all(running)
        await load.check_rollups()

    assert why == "this process is set to 1 partitions, and the districts are divided into 3"


async def test_a_displaced_process_goes_on_when_the_number_is_its_own_again(rig: "Rig", at_us: int) -> None:
    """An update that is taken back leaves the processes that were not restarted where they were."""
    load = Load(rig, at_us)
    async with _processes() as running:
        first, second = await _start_all(rig, running, 2)
        await load.send(16)
        other = _start(rig, 2, 3)
        running.append(other)
        await rig.until(first.displaced)
        await rig.until(second.displaced)
        await load.send(16)
        await other.kill()
        await second.kill()
        for process in (other, second):
            running.remove(process)
        running.append(_start(rig, 1, 2))
        await rig.until(first.writing)
        await load.check()


async def test_sabotage_a_partition_that_begins_with_the_newest_position_loses_readings(rig: "Rig", at_us: int) -> None:
    """Begun behind what any partition stored instead of at its floor, readings that others had not stored are lost."""
    load = Load(rig, at_us)
    quick = [each for each in DISTRICTS if partition_of(each, 2) == 0]
    async with _processes() as running:
        running += [_start(rig, 0, 2), _start(rig, 1, 2, before_commit=_hold)]
        for process in running:
            await rig.until(process.writing)
        await load.send(40)
        await rig.until(lambda: _stored_in(rig, quick, sum(partition_of(each, 2) == 0 for each in DISTRICTS) * 5))
        await _kill_all(running)
        running.append(_start(rig, 0, 1, kind=Forward))
        await rig.until(running[-1].writing)
        await load.send(8)
        await rig.until(lambda: _stored_in(rig, DISTRICTS[7:], 1))
        await asyncio.sleep(1)
        stored = await rig.query("SELECT count(*) FROM numbers_7d")

    assert stored[0][0] < load.sent


async def _stored_in(rig: "Rig", districts: list[str], count: int) -> bool:
    rows = await rig.query(
        "SELECT count(*) FROM numbers_7d JOIN series ON series.id = numbers_7d.series WHERE district = ANY(%s)",
        districts,
    )
    return int(rows[0][0]) >= count


async def test_a_hole_in_a_total_is_found_whoever_has_the_district(rig: "Rig", at_us: int) -> None:
    """Readings that a producer had acknowledged and that are nowhere count as lost, once, also after a change."""
    load = Load(rig, at_us)
    others = [each for each in DISTRICTS if partition_of(each, 2) == 1]
    async with _processes() as running:
        await _start_all(rig, running, 2)
        await load.send(10)
        rig.acknowledged += 7
        await load.send(10, others)
        await rig.until(lambda: _lost_are(rig, 7))
        await _kill_all(running)
        await _start_all(rig, running, 3)
        await load.send(10)
        await rig.until_accepted(30)
        await asyncio.sleep(0.5)

        assert await _lost_are(rig, 7)


async def _lost_are(rig: "Rig", count: int) -> bool:
    rows = await rig.query("SELECT coalesce(sum(lost), 0)::bigint FROM producers")
    return int(rows[0][0]) == count


async def test_what_a_live_lane_stored_is_counted_once_after_a_change(
    rig: "Rig", at_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backlog is left to other partitions while the newest readings are stored already."""
    monkeypatch.setattr(stream, "READINGS_A_LOT", 10)
    load = Load(rig, at_us)
    async with _processes() as running:
        await load.send(60, DISTRICTS[:4])
        running.append(_start(rig, 0, 1, before_commit=_hold, backlog=0))
        await rig.until(lambda: _so(running[0].lanes.live))
        # Other districts, because the accounts of the first are locked by the transaction that is held.
        await load.send(16, DISTRICTS[4:])
        await rig.until(lambda: _rows_are(rig, 16))
        await _kill_all(running)
        await load.send(16)
        await _start_all(rig, running, 2)
        await load.check()
        inherited = await rig.query("SELECT partition, partitions FROM inherited_seams")
        await _end_all(running)
        await load.check_rollups()

    assert inherited == [(0, 1)]


async def _hold() -> None:
    """Stand still before the commit."""
    await asyncio.Event().wait()


async def _so(value: bool) -> bool:
    return value


async def _rows_are(rig: "Rig", count: int) -> bool:
    rows = await rig.query("SELECT count(*) FROM numbers_7d")
    return int(rows[0][0]) == count


async def test_the_balance_counts_what_a_partition_has_not_stored(rig: "Rig", at_us: int) -> None:
    """While one of two partitions stands still, its readings are on their way, and nobody else's are."""
    load = Load(rig, at_us)
    slow = [each for each in DISTRICTS if partition_of(each, 2) == 1]
    accounts = PostgresAccounts(rig.pool)
    counter = StreamCounter(rig.bus, CARRIED, "timeseries")
    async with _processes() as running:
        _, second = await _start_all(rig, running, 2)
        await load.send(16)
        await rig.until_accepted(16)
        await second.kill()
        running.remove(second)
        await load.send(16)
        await rig.until(lambda: _stored_in(rig, [each for each in DISTRICTS if each not in slow], 4 * (8 - len(slow))))
        settled = (await accounts.settled())[OBSERVATIONS.name]

        assert await counter.in_stream(OBSERVATIONS.name, settled, "") == 2 * len(slow)
        assert await counter.in_stream(OBSERVATIONS.name, settled, slow[0]) == 2
        assert settled.floor < 32


async def test_a_watch_follows_a_district_of_another_partition(rig: "Rig", at_us: int) -> None:
    """What another process stores is known here from the tables: neither before it is stored, nor never."""
    load = Load(rig, at_us)
    async with _processes() as running:
        first, second = await _start_all(rig, running, 2)
        other = next(each for each in DISTRICTS if second.share.owns(each))
        written = {OBSERVATIONS.name: first.lanes.progress}
        accounts, clock = PostgresAccounts(rig.pool), SystemClock()
        progress = StoredProgress(written, accounts, clock, share=first.share, writing=lambda: first.partition.writing)
        await load.send(8)
        async with asyncio.timeout(10):
            for sequence, district in enumerate(DISTRICTS, 1):
                await progress.wait(OBSERVATIONS.name, district, sequence)
        waiting = asyncio.create_task(progress.wait(OBSERVATIONS.name, other, 9))
        await asyncio.wait([waiting], timeout=0.5)
        early = waiting.done()
        await load.send(1, [other])
        async with asyncio.timeout(10):
            await waiting

        assert not early
        assert await progress.newest(OBSERVATIONS.name, other) >= 9


async def test_a_durable_that_was_lost_is_made_again(rig: "Rig", at_us: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker forgot where a partition reads: it goes on where the tables say."""
    monkeypatch.setattr(stream, "LOOK_EVERY_S", 0.2)
    load = Load(rig, at_us)
    async with _processes() as running:
        _, second = await _start_all(rig, running, 2)
        await load.send(16)
        await load.check()
        await rig.bus.api(f"CONSUMER.DELETE.OBSERVATIONS.{second.share.name(OBSERVATION_ROWS.name)}")
        await load.send(16)
        await load.check()
