"""What the broker delivers in its own order, and a stream that is made anew: nothing is lost, nothing is stored twice."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import OBSERVATION_ROWS, OBSERVATIONS
from maasloop.core.clock import SystemClock
from maasloop.timeseries.adapters.streams import Streams

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig

TAKE_WAIT_S = 20.0


@pytest.fixture(name="at_us")
def _at_us() -> int:
    return (SystemClock().now_us() // 1_000_000 - 60) * 1_000_000


async def _take(pull: Pull, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    while len(taken) < count:
        found = await pull.take(count - len(taken), wait_s=TAKE_WAIT_S)
        assert found, f"{len(taken)} of {count} messages came"
        taken += found
    return taken


async def test_what_was_refused_comes_again_out_of_order_and_is_stored_once(rig: "Rig", at_us: int) -> None:
    """Messages that somebody refused are delivered after those behind them: each reading becomes one row, counted once."""
    for number in range(6):
        await rig.publish(("a", "pm25", at_us + number, float(number)))
    async with Pull(rig.bus, OBSERVATION_ROWS, outstanding_max=6) as pull:
        for delivery in reversed(await _take(pull, 6)):
            await delivery.nak(0.2 if delivery.stream_sequence % 2 else 0.0)
        early = await _take(pull, 3)
        for delivery in early:
            await delivery.nak(0.0)
    async with rig.writing():
        await rig.until_accepted(6)
        await rig.publish(("a", "pm25", at_us + 6, 6.0))
        await rig.until_accepted(7)

        async def acknowledged() -> bool:
            info = await rig.bus.api(f"CONSUMER.INFO.{OBSERVATION_ROWS.stream}.{OBSERVATION_ROWS.name}")
            return int(info["ack_floor"]["stream_seq"]) == 7

        await rig.until(acknowledged)

    assert [delivery.stream_sequence % 2 for delivery in early] == [0, 0, 0]
    assert [reading[3] for reading in await rig.numbers()] == [float(number) for number in range(7)]
    assert await rig.custody() == {"accepted": 7, "stored": 7}
    assert await rig.query("SELECT sequence FROM positions_in_streams") == [(7,)]
    assert await rig.query("SELECT lost FROM producers") == [(0,)]


async def test_what_nobody_delivered_is_looked_up_many_at_a_time(rig: "Rig", at_us: int) -> None:
    """A hundred messages, some of them deleted, are found in their order with few questions, up to where it was asked."""
    for number in range(100):
        await rig.publish(("a", "pm25", at_us + number, float(number)))
    gone = {1, 7, 50, 51, 52, 100}
    for sequence in gone:
        assert "error" not in await rig.bus.api(f"STREAM.MSG.DELETE.{OBSERVATIONS.name}", {"seq": sequence})
    streams, at, found, turns = Streams(rig.bus), 1, [], 0
    while at < 99:
        at, messages = await streams.some_from(OBSERVATIONS.name, at, 99)
        found += [each.sequence for each in messages]
        turns += 1

    assert found == [sequence for sequence in range(1, 99) if sequence not in gone]
    assert turns == 4
    assert await streams.some_from(OBSERVATIONS.name, 100, 200) == (200, ())


async def test_what_a_dead_taker_has_in_hand_is_stored_without_waiting_for_it(rig: "Rig", at_us: int) -> None:
    """What was delivered to who never answers is looked up when the next message comes, and stored once, in order."""
    async with Pull(rig.bus, OBSERVATION_ROWS, outstanding_max=80) as pull:
        for number in range(80):
            await rig.publish(("a", "pm25", at_us + number, float(number)))
        await _take(pull, 80)
    async with rig.writing():
        await rig.publish(("a", "pm25", at_us + 80, 80.0))
        await rig.until_accepted(81)

    assert [reading[3] for reading in await rig.numbers()] == [float(number) for number in range(81)]
    assert await rig.custody() == {"accepted": 81, "stored": 81}


async def _make_anew(rig: "Rig") -> None:
    """Delete the stream with all that is in it, and make it again under the same name."""
    info = await rig.bus.api(f"STREAM.INFO.{OBSERVATIONS.name}")
    durable = await rig.bus.api(f"CONSUMER.INFO.{OBSERVATIONS.name}.{OBSERVATION_ROWS.name}")
    assert "error" not in await rig.bus.api(f"STREAM.DELETE.{OBSERVATIONS.name}")
    assert "error" not in await rig.bus.api(f"STREAM.CREATE.{OBSERVATIONS.name}", info["config"])
    body = {"stream_name": OBSERVATIONS.name, "config": durable["config"]}
    place = f"{OBSERVATIONS.name}.{OBSERVATION_ROWS.name}"
    assert "error" not in await rig.bus.api(f"CONSUMER.DURABLE.CREATE.{place}", body)


@pytest.mark.parametrize("running", [True, False], ids=["while the writer runs", "while no writer runs"])
async def test_a_stream_made_anew_loses_nothing_and_doubles_nothing(rig: "Rig", at_us: int, *, running: bool) -> None:
    """Its sequences begin again below what was stored; everything new becomes a row, and what was sent again does not."""
    async with rig.writing():
        for number in range(5):
            await rig.publish(("a", "pm25", at_us + number, float(number)))
        await rig.until_accepted(5)
        if running:
            await _make_anew(rig)
            await _publish_again(rig, at_us)
            await rig.until_accepted(8)
    if not running:
        await _make_anew(rig)
        await _publish_again(rig, at_us)
        async with rig.writing():
            await rig.until_accepted(8)

    assert [reading[3] for reading in await rig.numbers()] == [float(number) for number in range(7)]
    assert await rig.custody() == {"accepted": 8, "stored": 7, "duplicate": 1}
    lives = await rig.query("SELECT count(DISTINCT created), max(sequence) FROM positions_in_streams")
    assert lives == [(2, 5)]


async def _publish_again(rig: "Rig", at_us: int) -> None:
    """Send one reading again, and two that are new: fewer than were stored before."""
    await asyncio.gather(*(rig.publish(("a", "pm25", at_us + number, float(number))) for number in (4, 5, 6)))
