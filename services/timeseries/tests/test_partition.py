"""The partition of the writers: begun under a lease, fenced off when another process has it; real broker, real database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import build_columns
from maasloop.bus.streams import LEASES, OBSERVATION_ROWS
from maasloop.bus.subjects import OBSERVATION_RECORDED, lease
from maasloop.core.clock import SystemClock
from maasloop.runtime.leases import Holder, Lease, Terms
from maasloop.timeseries.adapters.conflicts import ConflictFacts
from maasloop.timeseries.adapters.postgres_fence import PostgresFence
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.domain.partitioning import WHOLE, Share, partition_of
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.entrypoints.partition import Partition
from maasloop.timeseries.entrypoints.storing import Storing, Taken
from maasloop.timeseries.entrypoints.stream import Writer
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.ports.writing import Displaced, Fenced

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig

TERMS = Terms(renew_s=0.2, held_s=0.8, free_s=1.0, look_s=0.05)
SUBJECT = lease("timeseries", 0)
LIFE = Life("S", "", 0)
PRODUCER = "ingest-1"


@pytest.fixture(name="at_us")
def _at_us() -> int:
    return (SystemClock().now_us() // 1_000_000 - 60) * 1_000_000


class Paused(Lease):
    """The lease of a process that stands still where it would renew, and never learns that it was lost."""

    async def keep(self) -> None:
        """Stand still."""
        await asyncio.Event().wait()


@dataclass
class Owner:
    """One process: its view of the fence, and its store."""

    store: PostgresRowStore
    storing: Storing
    fence: PostgresFence


@asynccontextmanager
async def _owner(
    rig: "Rig",
    before_commit: Callable[[], Awaitable[None]] | None = None,
    *,
    fenced: bool = True,
    share: Share = WHOLE,
) -> AsyncIterator[Owner]:
    index, fence = rig.index(), PostgresFence(rig.pool, share)
    store = PostgresRowStore(
        rig.dsn,
        rig.pool,
        ConflictFacts(index),
        name="test",
        share=share,
        fence=fence if fenced else None,
        before_commit=before_commit,
    )
    handler = StoreObservations(index=index, store=store)
    clock = SystemClock()
    storing = Storing(bus=rig.bus, durable=OBSERVATION_ROWS, store=store, handler=handler, clock=clock, share=share)
    try:
        yield Owner(store, storing, fence)
    finally:
        await storing.roll_back()
        await store.close()


def _message(sequence: int, district: str, time_us: int) -> Taken:
    """Return one reading of a producer that counts them, all districts together."""
    columns = build_columns(["a"], ["pm25"], [0], [0], [time_us], [1.0])
    body = PackedObservationsRecorded(
        district=district,
        observations=columns.packed(),
        receipt_time_us=time_us,
        producer=PRODUCER,
        producer_total=sequence,
        reading_count=1,
    ).SerializeToString()
    return Taken(sequence, OBSERVATION_RECORDED.subject(district, "air"), {}, body, None)


async def _store(owner: Owner, taken: Taken) -> None:
    await owner.storing.take_on([taken])
    await owner.storing.finish()


async def _begin(owner: Owner, token: int) -> None:
    """Begin as a process does that has taken the lease."""
    await owner.fence.advance(token)
    stored = await owner.store.stored(LIFE.stream, LIFE.created)
    owner.storing.begin(LIFE, stored.positions, stored.floor, stored.heard)


async def _lost(rig: "Rig") -> int:
    rows = await rig.query("SELECT coalesce(sum(lost), 0)::bigint FROM producers WHERE producer = %s", PRODUCER)
    return int(rows[0][0])


async def _stale_owner_stores(rig: "Rig", at_us: int, *, fenced: bool) -> None:
    """Let a process that lost the partition go on with a message of a district in which nothing else happened.

    Its positions are right, so comparing them lets it pass; what it remembers of the producer is not.
    """
    async with _owner(rig, fenced=fenced) as stale, _owner(rig) as owner:
        await _begin(stale, 5)
        await _store(stale, _message(1, "noord", at_us))
        await _begin(owner, 9)
        await _store(owner, _message(2, "zuid", at_us))
        await _store(stale, _message(3, "noord", at_us + 1))


async def test_the_transaction_of_a_stale_owner_fails(rig: "Rig", at_us: int) -> None:
    """Who lost the partition without noticing stores nothing more; the new owner stores it, and nothing is lost."""
    with pytest.raises(Fenced) as refusal:
        await _stale_owner_stores(rig, at_us, fenced=True)
    before = await rig.query("SELECT district, sequence FROM positions_in_streams ORDER BY 1")
    async with _owner(rig) as owner:
        await _begin(owner, 10)
        await _store(owner, _message(3, "noord", at_us + 1))

    assert refusal.value.newest == 9
    assert before == [("noord", 1), ("zuid", 2)]
    assert await rig.query("SELECT sum(accepted), sum(stored) FROM custody") == [(3, 3)]
    assert await _lost(rig) == 0


async def test_sabotage_without_a_fence_the_balance_reports_a_loss_that_is_none(rig: "Rig", at_us: int) -> None:
    """The same stale owner, not fenced: its transaction passes the comparison of positions, and readings count as lost."""
    await _stale_owner_stores(rig, at_us, fenced=False)

    assert await rig.query("SELECT sum(accepted), sum(stored) FROM custody") == [(3, 3)]
    assert await _lost(rig) == 1


@pytest.mark.parametrize("fenced", [True, False])
async def test_a_district_moves_and_its_owner_before_fails_in_sql(rig: "Rig", at_us: int, *, fenced: bool) -> None:
    """Divided into three, a district has another owner: the transaction of the one before fails, not so without a fence."""
    noord, zuid = (Share(partition_of(district, 3), 3) for district in ("noord", "zuid"))
    async with _owner(rig, fenced=fenced) as stale, _owner(rig, share=noord) as new, _owner(rig, share=zuid) as other:
        await _begin(stale, 5)
        await _store(stale, _message(1, "noord", at_us))
        await _begin(new, 9)
        await _begin(other, 10)
        await _store(other, _message(2, "zuid", at_us))
        if fenced:
            with pytest.raises(Fenced):
                await _store(stale, _message(3, "noord", at_us + 1))
            with pytest.raises(Displaced):
                await stale.fence.advance(11)
            await _store(new, _message(3, "noord", at_us + 1))
        else:
            await _store(stale, _message(3, "noord", at_us + 1))
    stored = await rig.query("SELECT count(*) FROM numbers_2y")

    assert noord != zuid
    assert stored == [(3,)]
    assert await rig.query("SELECT sum(accepted), sum(stored) FROM custody") == [(3, 3)]


async def test_dividing_waits_for_a_transaction_that_is_under_way(rig: "Rig", at_us: int) -> None:
    """A writer between its rows and its fence is neither stopped nor in the way: it commits, and then districts are divided."""
    reached, free = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await free.wait()

    noord = Share(partition_of("noord", 3), 3)
    async with _owner(rig, hold) as old, _owner(rig, share=noord) as new:
        await _begin(old, 1)
        await old.store.pass_over(LIFE, 0)
        storing = asyncio.create_task(_store(old, _message(1, "noord", at_us)))
        await reached.wait()
        dividing = asyncio.create_task(_begin(new, 2))
        await asyncio.wait([dividing], timeout=0.3)
        waited = not dividing.done()
        free.set()
        await asyncio.gather(storing, dividing)
        stored = await new.store.stored(LIFE.stream, LIFE.created)

    assert waited
    assert (stored.positions, stored.floor) == ({"noord": 1}, 1)


def test_anybody_can_compute_whose_a_district_is() -> None:
    """The CRC-32 of zlib and PNG, whose check value is that of "123456789", modulo the number of partitions."""
    assert partition_of("123456789", 64) == 0xCBF43926 % 64
    assert {partition_of(f"district-{number}", 4) for number in range(20)} == {0, 1, 2, 3}
    assert Share.named(Share(2, 3).name("timeseries-observations")) == Share(2, 3)
    assert Share.named(Share().name("timeseries-observations")) == Share()


async def test_a_new_owner_waits_for_transactions_that_passed(rig: "Rig", at_us: int) -> None:
    """A transaction that passed the fence is committed before the fence is raised: the new owner sees what it stored."""
    async with _owner(rig) as old, _owner(rig) as new:
        await _begin(old, 1)
        async with rig.pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
            await old.fence.require(cursor)
            advancing = asyncio.create_task(_begin(new, 2))
            await asyncio.sleep(0.3)
            waited = not advancing.done()
        await advancing
        with pytest.raises(Fenced):
            await _store(old, _message(1, "noord", at_us))

    assert waited


async def test_a_stale_owner_neither_opens_nor_closes_a_lane(rig: "Rig") -> None:
    """What a live lane has stored is known to the owner alone."""
    lane = Life("S/lane", "", 0)
    async with _owner(rig) as stale, _owner(rig) as owner:
        await _begin(stale, 1)
        await _begin(owner, 2)
        await owner.store.open_seam(lane, 7)
        with pytest.raises(Fenced):
            await stale.store.close_seam(lane)

        assert await owner.store.seam(lane) is not None


async def test_a_token_passes_once(rig: "Rig") -> None:
    """Two processes never have the same token, whatever the broker forgot."""
    async with _owner(rig) as first, _owner(rig) as second:
        await first.fence.advance(4)
        with pytest.raises(Fenced):
            await second.fence.advance(4)


@asynccontextmanager
async def _process(rig: "Rig", kind: type[Lease] = Lease) -> AsyncIterator[Partition]:
    """Run the writer of a process until the block ends, and then end it as abruptly as a kill would."""
    async with _owner(rig) as owner:
        index = rig.index()
        writer = Writer(
            bus=rig.bus,
            durable=OBSERVATION_ROWS,
            streams=Streams(rig.bus),
            store=owner.store,
            handler=StoreObservations(index=index, store=owner.store),
            clock=SystemClock(),
        )
        held = kind(rig.bus, SUBJECT, SystemClock(), holder=Holder(kind.__name__), terms=TERMS)
        pulls = {"observations": writer.pull}
        partition = Partition(0, lease=held, fence=owner.fence, pulls=pulls, clock=SystemClock())
        stop = asyncio.Event()
        pulling = asyncio.create_task(partition.pull(stop))
        try:
            yield partition
            stop.set()
            async with asyncio.timeout(50):
                await pulling
        finally:
            pulling.cancel()
            await asyncio.gather(pulling, return_exceptions=True)


async def _writing(partition: Partition) -> bool:
    return partition.writing


async def _publish(rig: "Rig", first_us: int, count: int) -> None:
    for number in range(count):
        await rig.publish(("a", "pm25", first_us + number, 1.0))


async def test_a_process_that_stops_hands_over_at_once(rig: "Rig", at_us: int) -> None:
    """The next process begins when the first has ended, and stores what comes then."""
    async with _process(rig) as first:
        await rig.until(lambda: _writing(first))
        await _publish(rig, at_us, 3)
        await rig.until_accepted(3)
    async with _process(rig, Paused) as second:
        await rig.until(lambda: _writing(second))
        await _publish(rig, at_us + 3, 3)
        await rig.until_accepted(6)

    assert (first.writing, await first.check()) == (False, "this process does not hold the lease on partition 0")
    assert await rig.custody() == {"accepted": 6, "stored": 6}


async def test_a_process_that_stood_still_is_fenced(rig: "Rig", at_us: int) -> None:
    """Who believes in a lease that another one took is stopped by the fence; each reading counts once."""
    async with _process(rig, Paused) as stale:
        await rig.until(lambda: _writing(stale))
        await _publish(rig, at_us, 5)
        await rig.until_accepted(5)
        async with _process(rig) as owner:
            await rig.until(lambda: _writing(owner))
            believed = stale.writing
            await _publish(rig, at_us + 5, 40)

            async def fenced() -> bool:
                return not stale.writing

            await rig.until(fenced)
            await rig.until_accepted(45)

    assert believed
    assert await rig.custody() == {"accepted": 45, "stored": 45}
    assert len(await rig.numbers()) == 45


async def test_a_bucket_that_was_lost_does_not_lock_the_owner_out(rig: "Rig", at_us: int) -> None:
    """Revisions that begin again below the fence: who proves that the lease is his goes past it."""
    async with _owner(rig) as before:
        await before.fence.advance(1_000)
    async with _process(rig) as owner:
        await rig.until(lambda: _writing(owner))
        await _publish(rig, at_us, 2)
        await rig.until_accepted(2)

    assert await rig.query("SELECT token FROM fences") == [(1_001,)]


async def test_a_lease_that_is_taken_away_ends_the_writers(rig: "Rig", at_us: int) -> None:
    """An owner who finds the bucket empty stops, takes the lease again and goes on with a higher fence."""
    async with _process(rig) as owner:
        await rig.until(lambda: _writing(owner))
        (before,) = await rig.query("SELECT token FROM fences")
        await rig.bus.api(f"STREAM.PURGE.{LEASES.name}")

        async def raised() -> bool:
            return owner.writing and (await rig.query("SELECT token FROM fences"))[0] > before

        await rig.until(raised)
        await _publish(rig, at_us, 2)
        await rig.until_accepted(2)

    assert await rig.custody() == {"accepted": 2, "stored": 2}
