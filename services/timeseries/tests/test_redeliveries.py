"""What the broker delivers in its own order, and a stream that is made anew: nothing is lost, nothing is stored twice."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import OBSERVATION_ROWS, OBSERVATIONS
from maasloop.core.clock import SystemClock

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
