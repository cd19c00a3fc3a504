"""The writer over a real broker and a real database: exactly once, whatever happens between its steps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from maasloop.bus.streams import OBSERVATION_ROWS, PERSONAL_ROWS
from maasloop.core.clock import SystemClock
from maasloop.core.domains import Retention
from maasloop.core.errors import Unavailable
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore
from maasloop.timeseries.adapters.postgres_series import PostgresSeriesIndex
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.domain.series import Kind, PropertyFacts
from maasloop.timeseries.entrypoints import gathering, storing
from maasloop.timeseries.entrypoints.messages import decode
from maasloop.timeseries.entrypoints.stream import Writer
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.ports.writing import Lot, PositionMoved, Turn

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig


@pytest.fixture(name="at_us")
def _at_us() -> int:
    """A street second of a minute ago."""
    return (SystemClock().now_us() // 1_000_000 - 60) * 1_000_000


async def test_rows_and_custody_are_stored_together(rig: "Rig", at_us: int) -> None:
    """Numbers and states become rows, each counted as accepted and stored."""
    async with rig.writing():
        await rig.publish(("a", "pm25", at_us, 1.5), ("b", "pm25", at_us, 2.5), states=[("a", at_us, "rG")])
        await rig.until_accepted(3)

    assert await rig.numbers() == [("a", "pm25", at_us, 1.5), ("b", "pm25", at_us, 2.5)]
    assert await rig.query("SELECT state FROM states") == [("rG",)]
    assert await rig.custody() == {"accepted": 3, "stored": 3}


async def test_the_same_reading_is_a_duplicate_and_another_value_a_conflict(rig: "Rig", at_us: int) -> None:
    """Within a message, in a later one and for words: the first value stays, and every reading is in one term."""
    async with rig.writing():
        await rig.publish(("a", "pm25", at_us, 1.0), ("a", "pm25", at_us, 1.0), ("a", "pm25", at_us, 2.0))
        await rig.publish(states=[("a", at_us, "r"), ("a", at_us, "G")])
        await rig.publish(("a", "pm25", at_us, 1.0), ("a", "pm25", at_us, 3.0), states=[("a", at_us, "r")])
        await rig.until_accepted(8)
        facts = await rig.query("SELECT subject FROM outbox")

    assert await rig.numbers() == [("a", "pm25", at_us, 1.0)]
    assert await rig.query("SELECT state FROM states") == [("r",)]
    assert await rig.custody() == {"accepted": 8, "stored": 2, "duplicate": 3, "conflict": 3}
    assert {subject.rpartition(".")[2] for (subject,) in facts} == {"timeseries"}


async def test_conflicts_of_personal_readings_are_only_counted(rig: "Rig", at_us: int) -> None:
    """Nothing of a personal reading goes to quarantine."""
    async with rig.writing(PERSONAL_ROWS):
        await rig.publish(("bike", "pm25", at_us, 1.0), key="personal")
        await rig.publish(("bike", "pm25", at_us, 2.0), key="personal")
        await rig.until_accepted(2)

    assert await rig.custody() == {"accepted": 2, "stored": 1, "conflict": 1}
    assert await rig.query("SELECT count(*) FROM outbox") == [(0,)]


async def test_killed_between_rows_and_commit_nothing_is_lost(rig: "Rig", at_us: int) -> None:
    """A writer that ends before its commit has stored nothing; the next one stores everything once."""
    reached = asyncio.Event()

    async def stop_here() -> None:
        reached.set()
        await asyncio.Event().wait()

    async with rig.writing(before_commit=stop_here):
        await rig.publish(("a", "pm25", at_us, 1.0))
        await reached.wait()
    nothing = await rig.numbers()
    async with rig.writing():
        await rig.until_accepted(1)

    assert nothing == []
    assert await rig.numbers() == [("a", "pm25", at_us, 1.0)]
    assert await rig.custody() == {"accepted": 1, "stored": 1}


async def test_killed_between_commit_and_acknowledgement_nothing_is_twice(
    rig: "Rig", at_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stored and not acknowledged comes again, is skipped by its position and not counted again."""

    async def never(_taken: object) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(storing, "acknowledge", never)
        async with rig.writing():
            await rig.publish(("a", "pm25", at_us, 1.0))
            await rig.until_accepted(1)
    async with rig.writing():

        async def acknowledged() -> bool:
            info = await rig.bus.api(f"CONSUMER.INFO.{OBSERVATION_ROWS.stream}.{OBSERVATION_ROWS.name}")
            return bool(info["ack_floor"]["stream_seq"] == 1)

        await rig.until(acknowledged)

    assert await rig.custody() == {"accepted": 1, "stored": 1}


async def test_sabotage_acknowledging_before_the_commit_loses_readings(rig: "Rig", at_us: int) -> None:
    """With the acknowledgement before the commit, a kill between the two loses what was acknowledged."""
    reached = asyncio.Event()

    async def stop_here() -> None:
        reached.set()
        await asyncio.Event().wait()

    async with rig.writing(before_commit=stop_here, acknowledge_early=True):
        await rig.publish(("a", "pm25", at_us, 1.0))
        await reached.wait()
    async with rig.writing():
        # The hole is found in the stream all the same, so the stream has to have forgotten it too.
        await rig.bus.api(f"STREAM.PURGE.{OBSERVATION_ROWS.stream}", {"seq": 2})
        await rig.publish(("a", "pm25", at_us + 1, 2.0))
        await rig.until_accepted(1)

    assert await rig.numbers() == [("a", "pm25", at_us + 1, 2.0)]


async def test_a_message_that_is_none_becomes_a_dead_letter(rig: "Rig", at_us: int) -> None:
    """A message that cannot be read is given up with its reason, and those around it are stored."""
    await rig.publish(("a", "pm25", at_us, 1.0))
    await rig.send(b"\xff\xff\xff", readings=5)
    await rig.publish(("a", "pm25", at_us + 1, 2.0))
    async with rig.writing():
        await rig.until_accepted(7)

    letters = await rig.bus.api("STREAM.INFO.DEADLETTERS")
    assert letters["state"]["messages"] == 1
    assert await rig.numbers() == [("a", "pm25", at_us, 1.0), ("a", "pm25", at_us + 1, 2.0)]
    assert await rig.custody() == {"accepted": 7, "stored": 2, "dead_lettered": 5}


async def test_what_was_not_delivered_is_looked_up(rig: "Rig", at_us: int) -> None:
    """A durable that begins after messages that nobody stored does not make the writer pass them over."""
    await rig.publish(("a", "pm25", at_us, 1.0))
    await rig.send(b"\xff\xff\xff", readings=5)
    await rig.publish(("a", "pm25", at_us + 1, 1.0))
    config = {**OBSERVATION_ROWS.config(), "deliver_policy": "by_start_sequence", "opt_start_seq": 3}
    place = f"{OBSERVATION_ROWS.stream}.{OBSERVATION_ROWS.name}"
    await rig.bus.api(f"CONSUMER.DELETE.{place}")
    body = {"stream_name": OBSERVATION_ROWS.stream, "config": config}
    await rig.bus.api(f"CONSUMER.DURABLE.CREATE.{place}", body)
    async with rig.writing():
        await rig.until_accepted(7)

    assert len(await rig.numbers()) == 2
    assert await rig.custody() == {"accepted": 7, "stored": 2, "dead_lettered": 5}


async def test_a_stream_that_was_set_back_begins_a_new_epoch(rig: "Rig", at_us: int) -> None:
    """A stream that ends before what was stored from it is read from its beginning, and nothing new is skipped."""
    created = (await rig.bus.api(f"STREAM.INFO.{OBSERVATION_ROWS.stream}"))["created"]
    async with rig.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO positions_in_streams VALUES ('OBSERVATIONS', %s, 0, 'noord', 100)", (created,)
        )
    await rig.publish(("a", "pm25", at_us, 1.0))
    async with rig.writing():
        await rig.until_accepted(1)

    assert await rig.query("SELECT epoch, sequence FROM positions_in_streams ORDER BY epoch") == [(0, 100), (1, 1)]


async def test_a_loss_shows_in_the_running_total(rig: "Rig", at_us: int) -> None:
    """Readings that the producer had proof for and that are not in the stream are reported as lost."""
    await rig.publish(("a", "pm25", at_us, 1.0))
    rig.acknowledged += 10
    await rig.publish(("a", "pm25", at_us + 1, 1.0))
    async with rig.writing():
        await rig.until_accepted(2)

    assert await rig.query("SELECT seen, lost FROM producers") == [(2, 10)]


async def test_two_writers_store_nothing_twice(rig: "Rig", at_us: int) -> None:
    """A second writer on the same stream is stopped by the position, and every reading is stored and counted once."""
    async with rig.writing(), rig.writing():
        for number in range(40):
            await rig.publish(("a", "pm25", at_us + number, 1.0))
        await rig.until_accepted(40)
        await asyncio.sleep(0.2)

    assert len(await rig.numbers()) == 40
    assert await rig.custody() == {"accepted": 40, "stored": 40}


class _Hindered(StoreObservations):
    """Stores, except that its first commits end as they are told to."""

    def __init__(self, *, index: PostgresSeriesIndex, store: PostgresRowStore, ends: list[Exception]) -> None:
        super().__init__(index=index, store=store)
        self._ends = ends

    async def commit(self, lot: Lot, turn: Turn | None = None, *, compare_all: bool = False) -> None:
        """Fail while there are failures left."""
        if self._ends:
            raise self._ends.pop(0)
        await super().commit(lot, turn, compare_all=compare_all)


@asynccontextmanager
async def _hindered(rig: "Rig", *ends: Exception) -> AsyncIterator[list[Exception]]:
    """Run a writer whose first commits end so; yields what is still to come."""
    index = rig.index()
    store = rig.store(index)
    left = list(ends)
    writer = Writer(
        bus=rig.bus,
        durable=OBSERVATION_ROWS,
        streams=Streams(rig.bus),
        store=store,
        handler=_Hindered(index=index, store=store, ends=left),
        clock=SystemClock(),
    )
    pulling = asyncio.create_task(writer.pull(asyncio.Event()))
    try:
        yield left
    finally:
        pulling.cancel()
        await asyncio.gather(pulling, return_exceptions=True)
        await store.close()


@pytest.mark.parametrize("lot_max_bytes", [1, 4 * 1024 * 1024])
async def test_another_writer_while_a_lot_is_taken_apart_loses_nothing(
    rig: "Rig", at_us: int, monkeypatch: pytest.MonkeyPatch, lot_max_bytes: int
) -> None:
    """What was in hand when another writer came between comes again, and nothing after it passes it."""
    monkeypatch.setattr(gathering, "BYTES_A_LOT", lot_max_bytes)
    for number in range(3):
        await rig.publish(("a", "pm25", at_us + number, 1.0))
    async with _hindered(rig, RuntimeError("this lot can never be stored"), PositionMoved("OBSERVATIONS")):
        await rig.until_accepted(3)

    assert len(await rig.numbers()) == 3
    assert await rig.custody() == {"accepted": 3, "stored": 3}


async def test_what_was_taken_after_another_writer_came_is_not_passed(rig: "Rig", at_us: int) -> None:
    """A lot that is made ready before the writer has noticed the other one is taken again, too."""
    async with _hindered(rig, PositionMoved("OBSERVATIONS")) as left:
        await rig.publish(("a", "pm25", at_us, 1.0))

        async def met() -> bool:
            return not left

        await rig.until(met)
        for number in (1, 2):
            # Each comes alone, after the writer has looked how far the other one is.
            await asyncio.sleep(0.2)
            await rig.publish(("a", "pm25", at_us + number, 1.0))
        await rig.until_accepted(3)

    assert len(await rig.numbers()) == 3
    assert await rig.custody() == {"accepted": 3, "stored": 3}


async def test_a_lot_that_waited_for_the_registry_counts_once(rig: "Rig", at_us: int) -> None:
    """Made ready again after a neighbour was away, a lot expects the position that is stored, and its producer's count."""
    away = [True]

    def facts(_observed_property: str) -> PropertyFacts | None:
        return None if away and away.pop() else PropertyFacts(Kind.NUMBERS, Retention.TWO_YEARS)

    index = PostgresSeriesIndex(rig.pool, facts)
    handler = StoreObservations(index=index, store=rig.store(index))
    await rig.publish(("a", "pm25", at_us, 1.0))
    stored = await Streams(rig.bus).get("OBSERVATIONS", 1)
    assert stored is not None
    message = decode(1, stored.subject, stored.body)
    with pytest.raises(Unavailable):
        await handler.prepare(Life("OBSERVATIONS", "", 0), [message])

    lot = await handler.prepare(Life("OBSERVATIONS", "", 0), [message])

    assert lot.positions == {"noord": (-1, 1)}
    assert [count.seen for count in lot.producers.values()] == [1]


async def test_a_series_that_became_a_persons_stays_one(rig: "Rig", at_us: int) -> None:
    """A device may get and lose its person: from the first personal reading on, its series is personal."""
    async with rig.writing(), rig.writing(PERSONAL_ROWS):
        await rig.publish(("bike", "pm25", at_us, 1.0))
        await rig.until_accepted(1)
        before = await rig.query("SELECT personal FROM series")
        await rig.publish(("bike", "pm25", at_us + 1, 2.0), key="personal")
        await rig.until_accepted(2)

    assert before == [(False,)]
    assert await rig.query("SELECT personal FROM series") == [(True,)]
