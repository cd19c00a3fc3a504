"""The open window: at every moment, figures that are read are those of all rows, whoever stored them and whoever died."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection

from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import build_columns
from maasloop.bus.streams import IMPORT_ROWS, OBSERVATION_ROWS
from maasloop.bus.subjects import OBSERVATION_RECORDED
from maasloop.core.clock import FakeClock, SystemClock
from maasloop.core.domains import Retention
from maasloop.timeseries.adapters.postgres_aggregates import PostgresAggregates
from maasloop.timeseries.adapters.postgres_reads import PostgresReader
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore
from maasloop.timeseries.adapters.postgres_windows import PostgresWindows
from maasloop.timeseries.domain.aggregating import HOUR_US, MINUTE_US, Grid, Source, before_window, pieces
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.domain.series import TABLES
from maasloop.timeseries.entrypoints.storing import Storing, Taken
from maasloop.timeseries.handlers.aggregate_observations import AggregateObservations
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.ports import windows
from maasloop.timeseries.ports.reading import GapFill, Selection
from maasloop.timeseries.ports.rollups import Figures, minutes
from maasloop.timeseries.ports.rows import Numbers
from maasloop.timeseries.ports.windows import IDLE_S, Held, Windows
from maasloop.timeseries.ports.writing import PositionMoved

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Reading, Rig

SECOND_US = 1_000_000
DAY_US = 24 * HOUR_US
WEEK = Retention.WEEK
LIVES = count()
FROM_ROWS = """
    SELECT s.device, (extract(epoch FROM date_bin('{width} s', time, '2000-01-03 00:00:00+00')) * 1000000)::bigint,
        count(*), avg(value), min(value), max(value), first(value, time), last(value, time)
    FROM numbers AS n JOIN series AS s ON s.id = n.series WHERE s.district = %s GROUP BY 1, 2 ORDER BY 1, 2
"""


class Everybody:
    """Everything may be seen."""

    def ready(self) -> bool:
        """Tell that it is known whose devices are."""
        return True

    def of_person(self, _district: str, _device: str) -> bool:
        """Tell that no device is a person's."""
        return False

    def visible(self, _district: str, _device: str, *, personal: bool) -> bool:
        """Tell whether a device may be seen."""
        return not personal


class Forgetful(PostgresWindows):
    """A sabotage: takes the windows over, and makes nothing again."""

    async def make(self, *_arguments: object) -> None:
        """Leave rollups as they are."""


@dataclass
class City:
    """Writers of two streams of one district over a real database; the first has the windows."""

    rig: "Rig"
    at_us: int
    forgetful: bool = False
    clock: FakeClock = field(default_factory=FakeClock)
    sequence: int = 0

    def __post_init__(self) -> None:
        """Start."""
        self.number = next(LIVES)
        self.district = f"district-{self.number}"
        self._stores: list[PostgresRowStore] = []
        self.live = self._storing(OBSERVATION_ROWS.stream, Windows(self.clock))
        self.imports = self._storing(IMPORT_ROWS.stream, None)

    def _storing(self, stream: str, held: Windows | None) -> Storing:
        index = self.rig.index()
        store = self.rig.store(index)
        if self.forgetful:
            store._windows = Forgetful(self.rig.pool)
        self._stores.append(store)
        handler = StoreObservations(index=index, store=store, windows=held)
        made = Storing(bus=self.rig.bus, durable=OBSERVATION_ROWS, store=store, handler=handler, clock=SystemClock())
        made.begin(Life(f"{stream}-{self.number}", "", 0), {}, 0)
        return made

    async def restart(self) -> None:
        """Go on with new processes that know what is stored, as after a kill."""
        await self.close()
        self.live = self._storing(OBSERVATION_ROWS.stream, Windows(self.clock))
        positions = (await self._stores[-1].stored(f"{OBSERVATION_ROWS.stream}-{self.number}", "")).positions
        self.live.begin(Life(f"{OBSERVATION_ROWS.stream}-{self.number}", "", 0), positions, 0)
        self.imports = self._storing(IMPORT_ROWS.stream, None)
        positions = (await self._stores[-1].stored(f"{IMPORT_ROWS.stream}-{self.number}", "")).positions
        self.imports.begin(Life(f"{IMPORT_ROWS.stream}-{self.number}", "", 0), positions, 0)

    async def close(self) -> None:
        """End everything as abruptly as a kill would."""
        for storing in (self.live, self.imports):
            await storing.roll_back()
        while self._stores:
            await self._stores.pop().close()

    def message(self, *readings: "Reading") -> Taken:
        """Return the next message."""
        self.sequence += 1
        devices = sorted({reading[0] for reading in readings})
        properties = sorted({reading[1] for reading in readings})
        columns = build_columns(
            devices,
            properties,
            [devices.index(reading[0]) for reading in readings],
            [properties.index(reading[1]) for reading in readings],
            [reading[2] for reading in readings],
            [reading[3] for reading in readings],
        )
        body = PackedObservationsRecorded(district=self.district, observations=columns.packed()).SerializeToString()
        return Taken(self.sequence, OBSERVATION_RECORDED.subject(self.district, "air"), {}, body, None)

    async def store(self, *lots: Sequence["Reading"], imported: bool = False) -> None:
        """Store lots of one message each."""
        storing = self.imports if imported else self.live
        for lot in lots:
            await storing.take_on([self.message(*lot)])
        await storing.finish()

    def at(self, seconds: float, value: float = 1.0, device: str = "a") -> "Reading":
        """Return a reading."""
        return (device, "vehicle-count", self.at_us + round(seconds * SECOND_US), value)

    async def open_from_s(self) -> float | None:
        """Return where the window begins."""
        rows = await self.rig.query(
            "SELECT (extract(epoch FROM open_from) * 1000000)::bigint FROM rollup_windows WHERE retention = '7d'"
        )
        return None if rows[0][0] is None else (rows[0][0] - self.at_us) / SECOND_US

    async def check(self) -> None:
        """Compare what is read with what rows come to."""
        aggregate = AggregateObservations(
            PostgresReader(self.rig.pool), PostgresAggregates(self.rig.pool), Everybody(), SystemClock()
        )
        start_us = self.at_us - self.at_us % DAY_US
        for width_s in (60, 3_600):
            read = []
            found = aggregate(
                Selection(self.district), start_us, start_us + 2 * DAY_US, width_s, GapFill.OMIT, buckets_max=100_000
            )
            async for some in found:
                devices = [some.series[place].device for place in some.series_index]
                figures = (some.count, some.mean, some.minimum, some.maximum, some.first, some.last)
                columns = [column.tolist() for column in (some.start_us, *figures)]
                read += list(zip(devices, *columns, strict=True))
            assert read == await self.rig.query(FROM_ROWS.format(width=width_s), self.district)


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
