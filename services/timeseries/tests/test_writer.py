"""The writer over a real broker and a real database: exactly once, whatever happens between its steps."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from maasloop.bus.streams import OBSERVATION_ROWS, PERSONAL_ROWS
from maasloop.core.clock import SystemClock
from maasloop.timeseries.entrypoints import stream as stream_module

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
        patched.setattr(stream_module, "_acknowledge", never)
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
    for number in range(3):
        await rig.publish(("a", "pm25", at_us + number, 1.0))
    config = {**OBSERVATION_ROWS.config(), "deliver_policy": "by_start_sequence", "opt_start_seq": 3}
    place = f"{OBSERVATION_ROWS.stream}.{OBSERVATION_ROWS.name}"
    await rig.bus.api(f"CONSUMER.DELETE.{place}")
    body = {"stream_name": OBSERVATION_ROWS.stream, "config": config}
    await rig.bus.api(f"CONSUMER.DURABLE.CREATE.{place}", body)
    async with rig.writing():
        await rig.until_accepted(3)

    assert len(await rig.numbers()) == 3


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
