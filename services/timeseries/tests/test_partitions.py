"""Several partitions, and their number changed while readings come: real broker, real database, processes as tasks."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from services.timeseries.tests.partitions import DISTRICTS, Load, end_all, kill_all, processes, start, start_all

from maasloop.bus.ensure import ensure
from maasloop.bus.streams import OBSERVATION_ROWS, OBSERVATIONS
from maasloop.bus.subjects import OBSERVATION_RECORDED
from maasloop.core.clock import SystemClock
from maasloop.timeseries.adapters.counting import StreamCounter
from maasloop.timeseries.adapters.postgres_accounts import PostgresAccounts
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore
from maasloop.timeseries.adapters.progress import StoredProgress
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.domain.partitioning import partition_of
from maasloop.timeseries.entrypoints import gathering, storing, stream
from maasloop.timeseries.ports.writing import Stored

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig

CARRIED = {OBSERVATIONS.name: OBSERVATION_RECORDED}


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


async def test_each_partition_stores_its_districts(rig: "Rig", at_us: int) -> None:
    """Two processes store all readings between them, each once, and together they are everything."""
    load = Load(rig, at_us)
    async with processes() as running:
        await load.send(20)
        await start_all(rig, running, 2)
        await load.send(60)
        await load.check()
        settled = (await PostgresAccounts(rig.pool).settled())[OBSERVATIONS.name]
        await rig.until(lambda: _floor_at(rig, 80))
        await end_all(running)
        await load.check_rollups()

    assert {partition_of(district, 2) for district in DISTRICTS} == {0, 1}
    assert settled.partitions == 2
    assert settled.positions.keys() == set(DISTRICTS)


async def _floor_at(rig: "Rig", sequence: int) -> bool:
    return (await PostgresAccounts(rig.pool).settled())[OBSERVATIONS.name].floor >= sequence


@pytest.mark.parametrize("abrupt", [False, True])
async def test_the_number_of_partitions_changes_and_nothing_is_lost(rig: "Rig", at_us: int, *, abrupt: bool) -> None:
    """1 → 3 → 2 → 1 partitions under load, by processes that were stopped, or killed: each reading counts once."""
    load, end = Load(rig, at_us), kill_all if abrupt else end_all
    async with processes() as running:
        for partitions in (1, 3, 2, 1):
            await start_all(rig, running, partitions)
            sending = asyncio.create_task(load.send(60))
            await asyncio.sleep(0.1)
            await end(running)
            await sending
            await load.send(20)
        await start_all(rig, running, 3)
        await load.check()
        await end_all(running)
        await load.check_rollups()


async def test_partitions_change_while_the_processes_before_still_run(rig: "Rig", at_us: int) -> None:
    """A process that starts with another number displaces those before, one after the other as in a rolling update."""
    load = Load(rig, at_us)
    async with processes() as running:
        (old,) = await start_all(rig, running, 1)
        await load.send(40)
        sending = asyncio.create_task(load.send(120))
        for partition in (2, 1):
            running.append(start(rig, partition, 3))
            await rig.until(running[-1].writing)
        await rig.until(old.displaced)
        why = await old.partition.check()
        await old.end()
        running.remove(old)
        running.append(start(rig, 0, 3))
        await sending
        await load.check()
        await end_all(running)
        await load.check_rollups()

    assert why == "this process is set to 1 partitions, and the districts are divided into 3"


async def test_a_displaced_process_goes_on_when_the_number_is_its_own_again(rig: "Rig", at_us: int) -> None:
    """An update that is taken back leaves the processes that were not restarted where they were."""
    load = Load(rig, at_us)
    async with processes() as running:
        first, second = await start_all(rig, running, 2)
        await load.send(16)
        other = start(rig, 2, 3)
        running.append(other)
        await rig.until(first.displaced)
        await rig.until(second.displaced)
        await load.send(16)
        await other.kill()
        await second.kill()
        for process in (other, second):
            running.remove(process)
        running.append(start(rig, 1, 2))
        await rig.until(first.writing)
        await load.check()


async def test_sabotage_a_partition_that_begins_with_the_newest_position_loses_readings(rig: "Rig", at_us: int) -> None:
    """Begun behind what any partition stored instead of at its floor, readings that others had not stored are lost."""
    load = Load(rig, at_us)
    quick = [each for each in DISTRICTS if partition_of(each, 2) == 0]
    async with processes() as running:
        running += [start(rig, 0, 2), start(rig, 1, 2, before_commit=_hold)]
        for process in running:
            await rig.until(process.writing)
        await load.send(40)
        await rig.until(lambda: _stored_in(rig, quick, sum(partition_of(each, 2) == 0 for each in DISTRICTS) * 5))
        await kill_all(running)
        running.append(start(rig, 0, 1, kind=Forward))
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
    async with processes() as running:
        await start_all(rig, running, 2)
        await load.send(10)
        rig.acknowledged += 7
        await load.send(10, others)
        await rig.until(lambda: _lost_are(rig, 7))
        await kill_all(running)
        await start_all(rig, running, 3)
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
    monkeypatch.setattr(gathering, "READINGS_A_LOT", 10)
    load = Load(rig, at_us)
    async with processes() as running:
        await load.send(60, DISTRICTS[:4])
        running.append(start(rig, 0, 1, before_commit=_hold, backlog=0))
        await rig.until(lambda: _so(running[0].lanes.live))
        # Other districts, because the accounts of the first are locked by the transaction that is held.
        await load.send(16, DISTRICTS[4:])
        await rig.until(lambda: _rows_are(rig, 16))
        await kill_all(running)
        await load.send(16)
        await start_all(rig, running, 2)
        await load.check()
        inherited = await rig.query("SELECT partition, partitions FROM inherited_seams")
        await end_all(running)
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
    async with processes() as running:
        _, second = await start_all(rig, running, 2)
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
    async with processes() as running:
        first, second = await start_all(rig, running, 2)
        other = next(each for each in DISTRICTS if second.share.owns(each))
        written = {OBSERVATIONS.name: first.lanes.progress}
        accounts, clock = PostgresAccounts(rig.pool), SystemClock()
        progress = StoredProgress(written, accounts, clock, share=first.share, writing=lambda: first.partition.writing)
        await load.send(8)
        async with asyncio.timeout(50):
            for sequence, district in enumerate(DISTRICTS, 1):
                await progress.wait(OBSERVATIONS.name, district, sequence)
        waiting = asyncio.create_task(progress.wait(OBSERVATIONS.name, other, 9))
        await asyncio.wait([waiting], timeout=0.5)
        early = waiting.done()
        await load.send(1, [other])
        async with asyncio.timeout(50):
            await waiting

        assert not early
        assert await progress.newest(OBSERVATIONS.name, other) >= 9


async def test_a_durable_that_was_lost_is_made_again(rig: "Rig", at_us: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker forgot where a partition reads: it goes on where the tables say."""
    monkeypatch.setattr(stream, "LOOK_EVERY_S", 0.2)
    load = Load(rig, at_us)
    async with processes() as running:
        _, second = await start_all(rig, running, 2)
        await load.send(16)
        await load.check()
        await rig.bus.api(f"CONSUMER.DELETE.OBSERVATIONS.{second.share.name(OBSERVATION_ROWS.name)}")
        await load.send(16)
        await load.check()


async def test_a_stream_that_was_made_again_is_read_by_all(
    rig: "Rig", at_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted and made again under running processes, its messages begin with the first sequence, and all are stored."""
    monkeypatch.setattr(stream, "LOOK_EVERY_S", 0.2)
    load = Load(rig, at_us)
    async with processes() as running:
        await start_all(rig, running, 2)
        await load.send(40)
        await load.check()
        await rig.bus.api("STREAM.DELETE.OBSERVATIONS")
        await ensure(rig.bus)
        await load.send(24)
        await load.check()
        lives = await rig.query("SELECT count(DISTINCT created) FROM positions_in_streams")

    assert lives == [(2,)]


async def test_partitions_agree_that_a_stream_was_set_back(rig: "Rig", at_us: int) -> None:
    """One partition stored more than the stream holds: all begin the next epoch, also those that had stored little."""
    load = Load(rig, at_us)
    created = (await Streams(rig.bus).info(OBSERVATIONS.name)).created
    async with rig.pool.connection() as connection:
        await connection.execute("UPDATE partitioning SET partitions = 2")
        for partition, floor in enumerate((3, 500)):
            values = (OBSERVATIONS.name, created, 0, partition, floor, 0)
            await connection.execute("INSERT INTO partition_floors VALUES (%s, %s, %s, %s, %s, %s)", values)
        await connection.execute(
            "INSERT INTO rollup_windows (partition, retention, owner) SELECT 1, retention, 0 FROM rollup_windows"
        )
    async with processes() as running:
        await load.send(16)
        await start_all(rig, running, 2)
        await load.check()
        epochs = await rig.query("SELECT DISTINCT epoch FROM positions_in_streams")

    assert epochs == [(1,)]
