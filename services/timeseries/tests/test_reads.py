"""Reads over rows that the writer stored, against answers worked out by hand."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from psycopg.sql import SQL, Identifier, Literal

from maasloop.core.clock import FakeClock, SystemClock, from_us
from maasloop.core.errors import InvalidArgument, ResourceExhausted
from maasloop.core.reasons import Reason
from maasloop.postgres.pool import Connection
from maasloop.timeseries.adapters.postgres_aggregates import PostgresAggregates
from maasloop.timeseries.adapters.postgres_reading import chosen_by, prepared_for, reading
from maasloop.timeseries.adapters.postgres_reads import PostgresReader
from maasloop.timeseries.adapters.sql_aggregates import LATEST
from maasloop.timeseries.handlers.aggregate_observations import AggregateObservations
from maasloop.timeseries.handlers.forget_old_rows import ForgetOldRows
from maasloop.timeseries.handlers.list_latest_observations import ListLatestObservations
from maasloop.timeseries.handlers.read_observations import ReadObservations
from maasloop.timeseries.ports.reading import Buckets, GapFill, LatestPage, Selection

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Reading, Rig

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
MONDAY_US = 1_762_128_000 * SECOND_US
"""2025-11-03T00:00:00Z, a Monday: whole weeks after 2000-01-03."""
WEEK_S = 7 * 86_400
NAN = math.nan
FORGETTING = ("numbers_2y", "minutes_2y", "hours_2y", "numbers_7d", "minutes_7d", "hours_7d")


_LARGE_DISTRICT = """
    INSERT INTO series (district, device, observed_property, kind, retention)
    SELECT 'zuid', 'd' || lpad(n::text, 5, '0'), 'pm25', 'numbers', '7d' FROM generate_series(0, 4999) AS n
"""


_ALL_KINDS = """
    INSERT INTO series (district, device, observed_property, kind, retention)
    SELECT 'west', device, 'x', kind, '7d'
    FROM unnest(ARRAY ['a', 'b', 'c', 'd'], ARRAY ['positions', 'numbers', 'states', 'positions']) AS k (device, kind)
"""
_ALL_KINDS_LATEST = """
    INSERT INTO latest (series, time, receipt_time, value, state, longitude, latitude, stored, late)
    SELECT s.id, now(), now(), k.value, k.state, k.longitude, k.latitude, 1, 0
    FROM (VALUES ('a', NULL, NULL, 4.5, 51.5), ('b', 1.0, NULL, NULL, NULL), ('c', NULL, 'rG', NULL, NULL),
        ('d', NULL, NULL, 6.5, 53.5)) AS k (device, value, state, longitude, latitude)
    JOIN series AS s ON s.district = 'west' AND s.device = k.device
"""


class Everybody:
    """Visibility for tests: all but named devices may be seen."""

    def __init__(self, *hidden: str) -> None:
        """Hide these."""
        self.hidden = set(hidden)

    def ready(self) -> bool:
        """Tell that it is known whose devices are."""
        return True

    def of_person(self, _district: str, device: str) -> bool:
        """Tell whether a device is a person's: those that may not be seen are."""
        return device in self.hidden

    def visible(self, _district: str, device: str, *, personal: bool) -> bool:
        """Tell whether a device may be seen."""
        return device not in self.hidden

    def shown(self, _district: str, devices: Sequence[str], _personal: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the places of those that may be seen."""
        return np.flatnonzero([device not in self.hidden for device in devices])


async def _store(rig: "Rig", *readings: "Reading", states: Sequence[tuple[str, int, str]] = ()) -> None:
    async with rig.writing():
        await rig.publish(*readings, states=states)
        await rig.until_accepted(len(readings) + len(states))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


async def _plan(
    connection: Connection, statement: bytes, arguments: dict[str, Any], *, prepared: bool
) -> dict[str, Any]:
    """Return how a statement is executed; a prepared one is planned for any arguments."""
    analyse = SQL("EXPLAIN (ANALYZE, FORMAT JSON) ")
    if not prepared:
        explained = await connection.execute(analyse.as_bytes() + statement, arguments, prepare=False)
    else:
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(statement, arguments, prepare=True)
        names = "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%string_agg%'"
        found: Any = await (await connection.execute(names)).fetchone()
        given = dict.fromkeys(re.findall(r"%\((\w+)\)s", statement.decode()))
        values = SQL(", ").join(Literal(arguments[name]) for name in given)
        explained = await connection.execute(analyse + SQL("EXECUTE {} ({})").format(Identifier(found[0]), values))
    plan: Any = await explained.fetchone()
    whole: dict[str, Any] = plan[0][0]["Plan"]
    return whole


def _shown(page: LatestPage, shown: Sequence[int]) -> list[tuple[str, str, float | str | None]]:
    results = [page.states[row] if page.states and page.states[row] is not None else page.value[row] for row in shown]
    names = [(page.devices[row], page.observed_properties[row]) for row in shown]
    return [(*name, result) for name, result in zip(names, results, strict=True)]


async def test_latest_is_the_newest_by_event_time(rig: "Rig") -> None:
    """A late reading does not hide a newer one; words are there too; what may not be seen is left out."""
    await _store(
        rig,
        ("a", "pm25", MONDAY_US + 5, 5.0),
        ("b", "pm25", MONDAY_US, 1.0),
        ("c", "pm25", MONDAY_US, 9.0),
        states=[("a", MONDAY_US, "rG")],
    )
    async with rig.writing():
        await rig.publish(("a", "pm25", MONDAY_US + 2, 2.0))
        await rig.until_accepted(5)
    latest = ListLatestObservations(PostgresAggregates(rig.pool), Everybody("c"))

    page, shown, following = await latest(Selection("noord"), size=10, after=None)

    assert _shown(page, shown.tolist()) == [("a", "pm25", 5.0), ("a", "signal-state", "rG"), ("b", "pm25", 1.0)]
    assert page.time_us[shown].tolist() == [MONDAY_US + 5, MONDAY_US, MONDAY_US]
    assert following is None


async def test_latest_of_all_kinds_of_results(rig: "Rig") -> None:
    """A number, a state and a place each stand in their own row, whatever the others are."""
    async with rig.pool.connection() as connection:
        await connection.execute(_ALL_KINDS)
        await connection.execute(_ALL_KINDS_LATEST)

    page = await PostgresAggregates(rig.pool).latest(Selection("west"), after=None, size=10)

    assert page.devices == ["a", "b", "c", "d"]
    assert [None if math.isnan(value) else value for value in page.value.tolist()] == [None, 1.0, None, None]
    assert page.states == [None, None, "rG", None]
    assert np.nan_to_num(page.longitude).tolist() == [4.5, 0.0, 0.0, 6.5]
    assert np.nan_to_num(page.latitude).tolist() == [51.5, 0.0, 0.0, 53.5]


async def test_pages_of_latest_join_without_a_gap(rig: "Rig") -> None:
    """Pages of one series each give every series once, also across one that may not be seen."""
    await _store(rig, *((f"d{number}", "pm25", MONDAY_US, 1.0) for number in range(5)))
    latest = ListLatestObservations(PostgresAggregates(rig.pool), Everybody("d2"))
    seen, after = [], None
    while True:
        page, shown, after = await latest(Selection("noord"), size=1, after=after)
        seen += [page.devices[row] for row in shown]
        if after is None:
            break

    assert seen == ["d0", "d1", "d3", "d4"]


@pytest.mark.parametrize("devices", [(), tuple(f"d{number:05d}" for number in range(0, 5_000, 50))])
async def test_a_page_reads_only_series_that_it_is_asked_for(rig: "Rig", devices: tuple[str, ...]) -> None:
    """However often pages of a large district were read, and whoever is named: the others are not looked at."""
    aggregates, reader, selection = PostgresAggregates(rig.pool), PostgresReader(rig.pool), Selection("zuid", devices)
    async with rig.pool.connection() as connection:
        await connection.execute(_LARGE_DISTRICT)
        await connection.execute("INSERT INTO latest SELECT id, now(), now(), 1, NULL, NULL, NULL, 1, 0 FROM series")
        await connection.execute("ANALYZE series, latest")
    after, shown = ("d01000", "pm25", 0), list[str]()
    for _ in range(12):
        await aggregates.latest(selection, after=after, size=10)
        shown = [row.device for row in await reader.series(selection, after=after, size=10)]

    page = await aggregates.latest(selection, after=after, size=10)
    statement, arguments = chosen_by(LATEST, selection, after=after, size=10)
    async with rig.pool.connection() as connection:
        plan = await _plan(connection, statement, arguments, prepared=prepared_for(selection) is None)
    read = [node for node in _nodes(plan) if node.get("Relation Name") == "series"]
    assert page.devices == shown
    assert [node["Node Type"] for node in read] != ["Seq Scan"]
    looked_at = sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in read)
    assert looked_at <= (len(devices) or 10)


async def test_a_range_is_half_open_and_ordered(rig: "Rig") -> None:
    """The first moment is in, the last is out, and rows of a series come in order of time."""
    await _store(rig, *(("a", "pm25", MONDAY_US + number, float(number)) for number in (3, 1, 2, 0)))
    read = ReadObservations(PostgresReader(rig.pool), PostgresAggregates(rig.pool), Everybody())

    pieces = [piece async for piece in read(Selection("noord"), MONDAY_US + 1, MONDAY_US + 3)]

    assert [(piece.series.device, piece.time_us.tolist(), list(piece.results)) for piece in pieces] == [
        ("a", [MONDAY_US + 1, MONDAY_US + 2], [1.0, 2.0])
    ]


async def test_a_consent_that_ends_hides_the_rest_of_a_range(rig: "Rig") -> None:
    """What may not be seen any more ends in the middle of a read."""
    await _store(rig, *(("a", "pm25", MONDAY_US + number, 1.0) for number in range(12_000)))
    everybody = Everybody()
    read = ReadObservations(PostgresReader(rig.pool), PostgresAggregates(rig.pool), everybody)
    lengths = []
    async for piece in read(Selection("noord"), MONDAY_US, MONDAY_US + HOUR_US):
        lengths.append(len(piece.time_us))
        everybody.hidden.add("a")

    assert lengths == [10_000]


async def test_a_range_that_is_too_long_is_refused(rig: "Rig") -> None:
    """More than 366 days end with RANGE_TOO_LONG, and coming back later would not help."""
    read = ReadObservations(PostgresReader(rig.pool), PostgresAggregates(rig.pool), Everybody())

    with pytest.raises(InvalidArgument, match="366 days") as refused:
        await anext(read(Selection("noord"), 0, 367 * 24 * HOUR_US))

    assert refused.value.reason == Reason.RANGE_TOO_LONG


def _aggregate(rig: "Rig", visibility: Everybody | None = None) -> AggregateObservations:
    reader, aggregates = PostgresReader(rig.pool), PostgresAggregates(rig.pool)
    return AggregateObservations(reader, aggregates, visibility or Everybody(), SystemClock())


async def _buckets(
    rig: "Rig", fill: GapFill, *, start_us: int = MONDAY_US, end_us: int, width_s: int = 3_600
) -> list[Buckets]:
    """Return the pieces that have buckets."""
    found = _aggregate(rig)(Selection("noord"), start_us, end_us, width_s, fill, buckets_max=100_000)
    return [some async for some in found if len(some)]


def _rows(buckets: Buckets) -> list[tuple[str, int, int, float, float, float, float, float]]:
    """Return the buckets with their devices."""
    columns = (
        buckets.start_us,
        buckets.count,
        buckets.mean,
        buckets.minimum,
        buckets.maximum,
        buckets.first,
        buckets.last,
    )
    devices = [buckets.series[place].device for place in buckets.series_index]
    return list(zip(devices, *(column.tolist() for column in columns), strict=True))


@pytest.fixture(name="hourly")
async def _hourly(rig: "Rig") -> "Rig":
    readings = [
        ("a", "pm25", MONDAY_US, 1.0),
        ("a", "pm25", MONDAY_US + HOUR_US - 1, 3.0),
        ("a", "pm25", MONDAY_US + 3 * HOUR_US, 8.0),
    ]
    await _store(rig, *readings)
    return rig


async def test_a_bucket_holds_its_left_edge_and_not_its_right(hourly: "Rig") -> None:
    """Figures of the first hour are those of both readings in it; an hour without readings is left out."""
    (found,) = await _buckets(hourly, GapFill.OMIT, end_us=MONDAY_US + 4 * HOUR_US)

    assert _rows(found) == [
        ("a", MONDAY_US, 2, 2.0, 1.0, 3.0, 1.0, 3.0),
        ("a", MONDAY_US + 3 * HOUR_US, 1, 8.0, 8.0, 8.0, 8.0, 8.0),
    ]


@pytest.mark.parametrize(
    ("fill", "means"),
    [
        (GapFill.EMPTY, [2.0, NAN, NAN, 8.0, NAN]),
        (GapFill.LAST, [2.0, 3.0, 3.0, 8.0, 8.0]),
        (GapFill.LINEAR, [2.0, 4.0, 6.0, 8.0, NAN]),
    ],
)
async def test_gaps_are_filled_as_asked(hourly: "Rig", fill: GapFill, means: list[float]) -> None:
    """Empty, the last value before, or the straight line between the neighbours' means; beyond the last one, no line."""
    (found,) = await _buckets(hourly, fill, end_us=MONDAY_US + 5 * HOUR_US)

    np.testing.assert_array_equal(found.mean, means)
    assert found.count.tolist() == [2, 0, 0, 1, 0]


async def test_weeks_begin_on_monday(hourly: "Rig") -> None:
    """A bucket of seven days has its edge on a Monday at midnight UTC."""
    start_us = MONDAY_US - 24 * HOUR_US

    (found,) = await _buckets(hourly, GapFill.EMPTY, start_us=start_us, end_us=MONDAY_US + HOUR_US, width_s=WEEK_S)

    assert list(zip(found.start_us.tolist(), found.count.tolist(), strict=True)) == [
        (MONDAY_US - WEEK_S * SECOND_US, 0),
        (MONDAY_US, 2),
    ]


async def test_too_many_buckets_are_refused_with_a_hint(hourly: "Rig") -> None:
    """A selection that would fill more than 100,000 buckets ends with RANGE_TOO_LONG and says what would do."""
    with pytest.raises(InvalidArgument, match="100000") as refused:
        await _buckets(hourly, GapFill.EMPTY, end_us=MONDAY_US + 48 * HOUR_US, width_s=1)

    assert refused.value.reason == Reason.RANGE_TOO_LONG
    assert refused.value.metadata == {
        "limit": "100000",
        "estimate": "172800",
        "hint": "a bucket of 5 s, or a shorter range",
    }


async def test_a_series_that_may_not_be_seen_has_no_figures(hourly: "Rig") -> None:
    """What is hidden is not in the buckets, filled or not."""
    hidden = _aggregate(hourly, Everybody("a"))

    for fill in GapFill:
        found = hidden(Selection("noord"), MONDAY_US, MONDAY_US + HOUR_US, 60, fill, buckets_max=1_000)
        assert [some async for some in found if len(some)] == []


async def test_a_statement_that_takes_too_long_says_what_to_ask_instead(rig: "Rig") -> None:
    """The database's time-out is RANGE_TOO_LONG with a hint, and the connection serves the next read."""

    async def sleep() -> None:
        async with reading(rig.pool) as connection, connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 20")
            await connection.execute("SELECT pg_sleep(5)")

    with pytest.raises(ResourceExhausted) as refused:
        await sleep()

    assert refused.value.reason == Reason.RANGE_TOO_LONG
    assert "hint" in refused.value.metadata
    assert await rig.query("SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("later_days", "left"),
    [
        (0, ["numbers_2y", "minutes_2y", "hours_2y", "numbers_7d", "minutes_7d", "hours_7d"]),
        (10, ["numbers_2y", "minutes_2y", "hours_2y", "minutes_7d", "hours_7d"]),
        (100, ["numbers_2y", "minutes_2y", "hours_2y", "hours_7d"]),
        (800, ["hours_2y"]),
    ],
)
async def test_retention_drops_whole_chunks_of_what_is_old(rig: "Rig", later_days: int, left: list[str]) -> None:
    """Rows go with their class, minutes after them, hours last; what is younger stays."""
    await _store(rig, ("a", "vehicle-count", MONDAY_US, 1.0), ("a", "pm25", MONDAY_US, 1.0))
    now_us = MONDAY_US + later_days * 24 * HOUR_US

    await ForgetOldRows(PostgresReader(rig.pool), FakeClock(from_us(now_us)))()

    counts = [(table, await rig.query(f"SELECT count(*) FROM {table}")) for table in FORGETTING]
    assert [table for table, ((count,),) in counts if count] == left


async def test_figures_are_those_of_the_rows_whatever_they_are_read_from(rig: "Rig") -> None:
    """Late and repeated readings included: hours, minutes and rows at ragged ends add up to what a loop over rows says."""
    generator = np.random.default_rng(3)
    times_us = MONDAY_US + generator.integers(0, 5 * HOUR_US, 300)
    readings = [("a", "pm25", int(time_us), float(value)) for value, time_us in enumerate(times_us)]
    async with rig.writing():
        for lot in (readings[:100], readings[50:200], readings[200:]):
            await rig.publish(*lot)
        await rig.until_accepted(350)
    rows = [(time_us, value) for _, _, time_us, value in await rig.numbers()]
    for start_us, end_us in ((0, 5 * HOUR_US), (7, 3 * HOUR_US + 61 * SECOND_US), (HOUR_US - 1, HOUR_US + 1)):
        for width_s in (45, 60, 300, 3_600, 7_200, 86_400):
            found = await _buckets(
                rig, GapFill.OMIT, start_us=MONDAY_US + start_us, end_us=MONDAY_US + end_us, width_s=width_s
            )
            expected: dict[int, list[float]] = {}
            for time_us, value in rows:
                if start_us <= time_us - MONDAY_US < end_us:
                    edge_us = time_us - (time_us - MONDAY_US) % (width_s * SECOND_US)
                    expected.setdefault(edge_us, []).append(value)
            told: list[object] = [row[1:] for some in found for row in _rows(some)]
            assert told == [
                (edge, len(each), pytest.approx(sum(each) / len(each)), min(each), max(each), each[0], each[-1])
                for edge, each in expected.items()
            ]
