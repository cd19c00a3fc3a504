"""A backlog in one lane and what comes now in another, on a real broker and a real database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from maasloop.bus.streams import OBSERVATION_ROWS, Durable
from maasloop.core.clock import SystemClock
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.entrypoints import gathering
from maasloop.timeseries.entrypoints.lanes import Close, Lanes
from maasloop.timeseries.entrypoints.stream import Writer
from maasloop.timeseries.handlers.store_observations import StoreObservations

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig

BACKLOG = 60


@pytest.fixture(autouse=True)
def _small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "READINGS_A_LOT", 10)


@asynccontextmanager
async def _lanes(rig: "Rig", before_commit: Callable[[], Awaitable[None]] | None = None) -> AsyncIterator[Lanes]:
    """Run a writer for which anything that waits is a backlog, and end it as abruptly as a kill would."""
    closes: list[Close] = []

    def make(durable: Durable, lane: Life | None, hook: Callable[[], Awaitable[None]] | None) -> tuple[Writer, Close]:
        index = rig.index()
        store = rig.store(index, hook)
        closes.append(store.close)
        handler = StoreObservations(index=index, store=store)
        writer = Writer(
            bus=rig.bus, durable=durable, streams=Streams(rig.bus), store=store, handler=handler, clock=SystemClock(),
            lane=lane,
        )  # fmt: skip
        return writer, store.close

    writer, _ = make(OBSERVATION_ROWS, None, before_commit)
    lanes = Lanes(
        bus=rig.bus,
        writer=writer,
        durable=OBSERVATION_ROWS,
        streams=Streams(rig.bus),
        store=rig.store(rig.index()),
        clock=SystemClock(),
        make_live=lambda durable, lane: make(durable, lane, None),
        behind_messages=0,
        behind_us=0,
    )
    pulling = asyncio.create_task(lanes.pull(asyncio.Event()))
    try:
        yield lanes
    finally:
        pulling.cancel()
        await asyncio.gather(pulling, return_exceptions=True)
        for close in closes:
            await close()


class _Held:
    """Holds the commits of the backlog until it is let go."""

    def __init__(self) -> None:
        """Hold."""
        self.free = asyncio.Event()

    async def __call__(self) -> None:
        """Wait."""
        await self.free.wait()


async def _publish(rig: "Rig", start_us: int, count: int, district: str = "noord") -> None:
    for step in range(count):
        await rig.publish(("a", "pm25", start_us + step, float(step)), district=district)


async def _publish_live(rig: "Rig", start_us: int, count: int) -> None:
    """Publish in another district, because the accounts of the first are locked by the commit that is held."""
    await _publish(rig, start_us, count, "zuid")


async def _stored(rig: "Rig", time_us: int) -> bool:
    return any(reading[2] == time_us for reading in await rig.numbers())


async def _lost(rig: "Rig") -> int:
    return int((await rig.query("SELECT coalesce(sum(lost), 0)::bigint FROM producers"))[0][0])


async def _lane_rows(rig: "Rig") -> int:
    return int((await rig.query("SELECT count(*) FROM positions_in_streams WHERE stream LIKE '%%/%%'"))[0][0])


async def test_live_readings_do_not_wait_for_a_backlog(rig: "Rig") -> None:
    """While the backlog is held, what comes now is stored; in the end each reading is counted once and none is lost."""
    start_us, held = SystemClock().now_us() - 3_600_000_000, _Held()
    await _publish(rig, start_us, BACKLOG)
    async with _lanes(rig, held) as lanes:
        await rig.until(lambda: _so(lanes.live))
        await _publish_live(rig, start_us + 1_000_000, 5)
        await rig.until(lambda: _stored(rig, start_us + 1_000_004))
        assert not await _stored(rig, start_us + BACKLOG - 1)
        assert lanes.progress.holds(lanes.progress.newest)
        held.free.set()
        await rig.until_accepted(BACKLOG + 5)
        await rig.until(lambda: _closed(rig, lanes))
        await _publish(rig, start_us + 2_000_000, 3)
        await rig.until_accepted(BACKLOG + 8)
        await rig.until(lambda: _closed(rig, lanes))

    assert len(await rig.numbers()) == BACKLOG + 8
    custody = await rig.custody()
    assert (custody["accepted"], custody["stored"]) == (BACKLOG + 8, BACKLOG + 8)
    assert custody.get("duplicate", 0) == 0
    assert await _lost(rig) == 0


async def _so(value: bool) -> bool:
    return value


async def _closed(rig: "Rig", lanes: Lanes) -> bool:
    return not lanes.live and await _lane_rows(rig) == 0


async def test_a_hole_across_the_seam_is_found(rig: "Rig") -> None:
    """Readings that a producer had acknowledged and that are in neither lane are lost, and no others."""
    start_us, held = SystemClock().now_us() - 3_600_000_000, _Held()
    await _publish(rig, start_us, BACKLOG)
    rig.acknowledged += 7
    async with _lanes(rig, held) as lanes:
        await rig.until(lambda: _so(lanes.live))
        await _publish_live(rig, start_us + 1_000_000, 5)
        await rig.until(lambda: _stored(rig, start_us + 1_000_004))
        held.free.set()
        await rig.until_accepted(BACKLOG + 5)
        await rig.until(lambda: _closed(rig, lanes))

    assert await _lost(rig) == 7


async def test_killed_between_two_lanes_nothing_is_lost_or_counted_twice(rig: "Rig") -> None:
    """A writer that is ended while both lanes run goes on where each of them was."""
    start_us, held = SystemClock().now_us() - 3_600_000_000, _Held()
    await _publish(rig, start_us, BACKLOG)
    async with _lanes(rig, held) as lanes:
        await rig.until(lambda: _so(lanes.live))
        await _publish_live(rig, start_us + 1_000_000, 5)
        await rig.until(lambda: _stored(rig, start_us + 1_000_004))
    assert await _lane_rows(rig) > 0
    await _publish(rig, start_us + 2_000_000, 5)
    async with _lanes(rig) as lanes:
        await rig.until_accepted(BACKLOG + 10)
        await rig.until(lambda: _closed(rig, lanes))

    assert len(await rig.numbers()) == BACKLOG + 10
    custody = await rig.custody()
    assert (custody["accepted"], custody["stored"], custody.get("duplicate", 0)) == (BACKLOG + 10, BACKLOG + 10, 0)
    assert await _lost(rig) == 0
