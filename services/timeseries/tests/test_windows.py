"""The open window: at every moment, figures that are read are those of all rows, whoever stored them and whoever died."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection
from services.timeseries.tests.window_city import DAY_US, SECOND_US, City

from maasloop.core.clock import FakeClock, SystemClock
from maasloop.core.domains import Retention
from maasloop.timeseries.domain.aggregating import HOUR_US, MINUTE_US, Grid, Source, before_window, pieces
from maasloop.timeseries.domain.series import TABLES
from maasloop.timeseries.ports import windows
from maasloop.timeseries.ports.rollups import Figures, minutes
from maasloop.timeseries.ports.rows import Numbers
from maasloop.timeseries.ports.windows import IDLE_S, Held, Windows
from maasloop.timeseries.ports.writing import PositionMoved

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Rig

WEEK = Retention.WEEK


@pytest.fixture(name="at_us")
def _at_us() -> int:
    """Two minutes before an hour's edge of the day before last, and before midnight."""
    return SystemClock().now_us() // DAY_US * DAY_US - DAY_US - 2 * MINUTE_US


SECONDS = st.sampled_from([0, 1, 59, 60, 61, 119, 120, 150, 181, 240, 301, 420, 3_700, 7_300])
READINGS = st.lists(st.tuples(st.sampled_from("abc"), SECONDS, st.integers(0, 2)), min_size=1, max_size=6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("live"), READINGS),
        st.tuples(st.just("live"), READINGS),
        st.tuples(st.just("import"), READINGS),
        st.tuples(st.sampled_from(["kill", "idle", "close", "unheard"]), st.just([])),
    ),
    min_size=1,
    max_size=10,
)
PHASES = (Phase.explicit, Phase.generate)
"""An example takes a while: none is made smaller."""


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=PHASES)
@given(steps=STEPS)
async def test_figures_are_those_of_all_rows_at_every_moment(
    rig: "Rig", at_us: int, steps: list[tuple[str, list[tuple[str, int, int]]]]
) -> None:
    """Late, repeated, conflicting and imported readings, kills and commits without an answer: nothing is off at any time."""
    city = City(rig, at_us)
    try:
        for what, readings in steps:
            lot = [city.at(seconds, float(value), device) for device, seconds, value in readings]
            match what:
                case "live" | "import":
                    await city.store(lot, imported=what == "import")
                case "kill":
                    await city.restart()
                case "idle":
                    await city.clock.advance(IDLE_S + 1)
                    await city.live.close_windows()
                case "unheard":
                    # What a commit does whose answer is lost.
                    held = city.live._handler._windows
                    assert held is not None
                    held.in_doubt = True
                case _:
                    await city.live.close_windows(everything=True)
            await city.check()
    finally:
        await city.close()


async def test_what_is_held_back_outlives_its_chunk(rig: "Rig", at_us: int) -> None:
    """A chunk of minutes that somebody dropped is made anew by the next try, and the writer goes on."""
    city = City(rig, at_us)
    try:
        await city.store([city.at(-1_000)])
        await city.live.close_windows(everything=True)
        await city.store([city.at(-500)])
        await rig.query("SELECT drop_chunks('minutes_7d', older_than => 'infinity'::timestamptz)")
        await city.live.close_windows(everything=True)
        await city.live.close_windows(everything=True)
        assert await rig.query("SELECT count FROM minutes_7d") == [(1,)]
        await city.store([city.at(-200)])
    finally:
        await city.close()


async def test_a_killed_writer_leaves_rows_that_the_next_merges(rig: "Rig", at_us: int) -> None:
    """What was held back when the process died is in minutes and hours after the start of the next, once."""
    city = City(rig, at_us)
    await city.store([city.at(10)], [city.at(30, 2.0)], [city.at(70, 3.0)])
    assert await rig.query("SELECT count FROM minutes_7d") == []
    await city.restart()

    await city.store([city.at(200, 4.0)])

    assert await rig.query("SELECT count, sum FROM minutes_7d ORDER BY time") == [(2, 3.0), (1, 3.0)]
    await city.check()
    await city.close()


async def test_sabotage_a_start_that_makes_nothing_again_is_caught(rig: "Rig", at_us: int) -> None:
    """With the rollups of the killed writer's rows left out, figures are not those of all rows."""
    city = City(rig, at_us, forgetful=True)
    await city.store([city.at(10)])
    await city.restart()
    await city.store([city.at(200)])

    with pytest.raises(AssertionError):
        await city.check()
    await city.close()


async def test_a_minute_that_closes_takes_in_what_others_merged_of_it(rig: "Rig", at_us: int) -> None:
    """Closing minutes are copied as a whole; where an import was faster in one of them, all are merged."""
    city = City(rig, at_us)
    await city.store([city.at(10), city.at(11, device="b")])
    await city.store([city.at(20, 2.0)], imported=True)

    await city.store([city.at(200, 4.0)])

    assert await rig.query("SELECT count, sum FROM minutes_7d ORDER BY count") == [(1, 1.0), (2, 3.0)]
    await city.check()
    await city.close()


async def test_a_clock_that_is_ahead_moves_no_window(rig: "Rig", at_us: int) -> None:
    """The window follows the middle of a lot; it closes two minutes behind, and what is late is merged at once."""
    city = City(rig, at_us)
    edges = []
    for lot in ([city.at(0)], [city.at(59), city.at(60), city.at(400)], [city.at(125), city.at(126), city.at(401)]):
        await city.store(lot)
        edges.append(await city.open_from_s())
    await city.store([city.at(1)])
    await city.check()
    await city.close()

    assert edges == [0, 0, 120]
    assert await rig.query("SELECT count FROM minutes_7d ORDER BY time") == [(3,), (1,)]


async def test_a_writer_that_was_replaced_stores_nothing_more(rig: "Rig", at_us: int) -> None:
    """The next owner took the windows over: a transaction of the one before fails, and is made again by who owns them."""
    city, other = City(rig, at_us), City(rig, at_us)
    other.district = city.district
    try:
        await city.store([city.at(0)])
        await other.store([other.at(61, 2.0)])

        with pytest.raises(PositionMoved):
            await city.store([city.at(62, 3.0)])
        await city.check()
        await city.restart()
        await city.store([city.at(62, 3.0)])

        await city.check()
        assert await rig.query("SELECT count(*) FROM numbers_7d") == [(3,)]
    finally:
        await city.close()
        await other.close()


async def test_rollups_are_made_again_behind_those_who_merge_at_once(rig: "Rig", at_us: int) -> None:
    """Taking over waits for a transaction that has merged rows which cannot be seen yet."""
    city = City(rig, at_us)
    await city.store([city.at(0)])
    await city.restart()
    async with await AsyncConnection.connect(rig.dsn) as importing:
        await importing.execute("SELECT pg_advisory_xact_lock_shared(hashtext('maasloop.timeseries.rollups'), 0)")
        taking = asyncio.create_task(city.live._handler.take_over())
        await asyncio.wait([taking], timeout=0.3)
        assert not taking.done()
    await taking
    await city.close()

    assert await rig.query("SELECT count FROM minutes_7d") == [(1,)]


FIGURES = st.lists(
    st.lists(st.tuples(st.integers(1, 4), st.integers(-200, 200), st.integers(-5, 5)), min_size=1, max_size=8),
    max_size=12,
)


def _numbers(rows: Sequence[tuple[int, int, int]]) -> Numbers:
    ordered = sorted(rows)
    none = np.zeros(len(ordered), np.int32)
    return Numbers(
        TABLES[0],
        np.array([row[0] for row in ordered], np.int32),
        np.array([row[1] * SECOND_US for row in ordered], np.int64),
        np.array([row[2] for row in ordered], np.float64),
        none,
        none.astype(np.bool_),
        np.zeros(1, np.int64),
    )


def _as_rows(figures: Figures | None) -> Iterator[tuple[float, ...]]:
    if figures is not None:
        names = (
            "series",
            "time_us",
            "first_time_us",
            "last_time_us",
            "count",
            "total",
            "minimum",
            "maximum",
            "first",
            "last",
        )
        yield from zip(*(getattr(figures, name).tolist() for name in names), strict=True)


@given(FIGURES, st.integers(1, 30))
def test_what_is_held_is_the_sum_of_what_was_added(lots: list[list[tuple[int, int, int]]], loose: int) -> None:
    """However readings are cut into lots, what is held is what a dictionary of all of them comes to."""
    held, seen, model = Held(), set[tuple[int, int]](), dict[tuple[int, int], list[tuple[int, int]]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "LOOSE_MAX", loose)
        for lot in lots:
            new = {(series, second): value for series, second, value in lot if (series, second) not in seen}
            seen |= new.keys()
            if new:
                held.add(minutes(_numbers([(*key, value) for key, value in new.items()])))
            for (series, second), value in new.items():
                model.setdefault((series, second // 60), []).append((second, value))
            assert len(held) <= loose + len(model)

    expected = []
    for (series, minute), readings in sorted(model.items()):
        readings.sort()
        values = [value for _, value in readings]
        ends = (readings[0][0] * SECOND_US, readings[-1][0] * SECOND_US)
        figures = (len(values), sum(values), min(values), max(values), values[0], values[-1])
        expected.append((series, minute * MINUTE_US, *ends, *figures))
    assert list(_as_rows(held.whole())) == expected


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices in more minutes than may be held: the older half closes."""
    monkeypatch.setattr(windows, "HELD_MAX", 50)
    held = Windows(FakeClock())
    held.begin(1, {WEEK: 0})
    for minute in range(200):
        # The middle of each lot stays in the first minute.
        rows = [
            (1, minute * 60, 1),
            *((series, series % 60, 1) for series in range(1_000 + 4 * minute, 1_004 + 4 * minute)),
        ]
        change = held.change({WEEK: [minutes(_numbers(rows))]})
        held.done(change)
        assert len(held._windows[WEEK].held) <= 60


@given(st.integers(0, 5 * HOUR_US), st.integers(0, 5 * HOUR_US), st.sampled_from([60, 300, 3_600]), st.integers(0, 300))
def test_no_rollup_is_read_that_is_not_whole(one_us: int, other_us: int, width_s: int, minute: int) -> None:
    """With an open window the same range is covered once, and minutes and hours only before it."""
    grid = Grid(min(one_us, other_us), max(one_us, other_us), width_s * SECOND_US)
    whole = pieces(grid, 0)
    found = before_window(whole, minute * MINUTE_US)

    assert [piece.start_us for piece in found] == [grid.start_us, *(piece.end_us for piece in found)][: len(found)]
    assert not whole or found[-1].end_us == grid.end_us
    for piece in found:
        unit_us = {Source.ROWS: 1, Source.MINUTES: MINUTE_US, Source.HOURS: HOUR_US}[piece.source]
        assert piece.start_us % unit_us == piece.end_us % unit_us == 0
        assert piece.source is Source.ROWS or piece.end_us <= minute * MINUTE_US
