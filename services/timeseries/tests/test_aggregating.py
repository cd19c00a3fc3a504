"""What figures are read from, and what is made of it: against a recomputation that looks at single readings."""

import math
from collections import defaultdict

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from maasloop.api.observation.v1 import series_service_pb2 as messages
from maasloop.core.domains import Retention
from maasloop.timeseries.adapters.bucketing import Partials, buckets, joined
from maasloop.timeseries.domain.aggregating import (
    HOUR_US,
    MINUTE_US,
    ORIGIN_US,
    SECOND_US,
    Grid,
    Piece,
    Source,
    partials_most,
    pieces,
    wider,
)
from maasloop.timeseries.domain.series import Kind, Table
from maasloop.timeseries.entrypoints import answers
from maasloop.timeseries.ports.reading import Buckets, GapFill, LatestPage, SeriesRow

LONG_AGO_US = -(2**62)
SERIES = [SeriesRow(7 + n, f"d{n}", "pm25", Table(Kind.NUMBERS, Retention.FOREVER), personal=False) for n in range(3)]
UNITS_US = {Source.MINUTES: MINUTE_US, Source.HOURS: HOUR_US}

WIDTHS_S = st.sampled_from([1, 7, 30, 60, 90, 120, 300, 3_600, 5_400, 7_200, 86_400, 604_800])
MOMENTS_US = st.integers(ORIGIN_US, ORIGIN_US + 9 * 86_400 * SECOND_US)
READINGS = st.lists(
    st.tuples(st.integers(0, 2), MOMENTS_US, st.floats(-1e6, 1e6)), max_size=60, unique_by=lambda each: each[:2]
)


def _grid(one_us: int, other_us: int, width_s: int) -> Grid:
    return Grid(min(one_us, other_us), max(one_us, other_us), width_s * SECOND_US)


@given(MOMENTS_US, MOMENTS_US, WIDTHS_S, st.booleans())
def test_pieces_cover_a_range_once_and_whole_units_lie_in_one_bucket(
    one_us: int, other_us: int, width_s: int, sparse: bool
) -> None:
    """Pieces follow each other from start to end; a minute or hour that is read lies whole in the range and in a bucket."""
    grid = _grid(one_us, other_us, width_s)
    found = pieces(grid, LONG_AGO_US, sparse=sparse)

    assert [piece.start_us for piece in found] == [grid.start_us, *(piece.end_us for piece in found)][: len(found)]
    assert not found or found[-1].end_us == grid.end_us
    for piece in found:
        if unit_us := UNITS_US.get(piece.source):
            assert piece.start_us % unit_us == piece.end_us % unit_us == grid.width_us % unit_us == 0


@pytest.mark.parametrize(
    ("width_s", "start_us", "end_us", "sources"),
    [
        (3_600, 0, 48 * HOUR_US, [Source.HOURS]),
        (86_400, MINUTE_US, 48 * HOUR_US, [Source.MINUTES, Source.HOURS]),
        (60, 0, 2 * HOUR_US, [Source.MINUTES]),
        (60, 1, 2 * HOUR_US, [Source.ROWS, Source.MINUTES]),
        (90, 0, 2 * HOUR_US, [Source.ROWS]),
        (3_600, SECOND_US, 2 * MINUTE_US, [Source.ROWS, Source.MINUTES]),
        (3_600, 1, 3 * HOUR_US + 1, [Source.ROWS, Source.MINUTES, Source.HOURS, Source.ROWS]),
    ],
)
def test_the_widest_rollup_that_fits_is_read(width_s: int, start_us: int, end_us: int, sources: list[Source]) -> None:
    """Hours for buckets of hours, minutes for buckets of minutes, and what sticks out from what is finer."""
    grid = Grid(ORIGIN_US + start_us, ORIGIN_US + end_us, width_s * SECOND_US)

    assert [piece.source for piece in pieces(grid, LONG_AGO_US)] == sources


def test_few_readings_are_read_as_rows_as_far_as_rows_are_kept() -> None:
    """Of a sparse series rows cost less than minutes; where rows may be gone, minutes stay."""
    grid = Grid(ORIGIN_US, ORIGIN_US + 4 * HOUR_US, 60 * SECOND_US)

    assert pieces(grid, LONG_AGO_US, sparse=True) == (Piece(Source.ROWS, grid.start_us, grid.end_us),)
    assert pieces(grid, ORIGIN_US + HOUR_US + 1, sparse=True) == (
        Piece(Source.MINUTES, grid.start_us, ORIGIN_US + HOUR_US + MINUTE_US),
        Piece(Source.ROWS, ORIGIN_US + HOUR_US + MINUTE_US, grid.end_us),
    )


def test_where_rows_are_gone_the_ends_of_a_range_are_whole_minutes() -> None:
    """What sticks out of a minute is left out when the rows of its class may have been dropped."""
    grid = Grid(ORIGIN_US + 1, ORIGIN_US + 3 * HOUR_US, 3_600 * SECOND_US)

    assert pieces(grid, grid.end_us) == (
        Piece(Source.MINUTES, ORIGIN_US + MINUTE_US, ORIGIN_US + HOUR_US),
        Piece(Source.HOURS, ORIGIN_US + HOUR_US, ORIGIN_US + 3 * HOUR_US),
    )


def test_a_hint_names_the_narrowest_usual_width_that_fits() -> None:
    """A week by the second of 10 series fits 100,000 buckets at a width of a minute and more."""
    grid = Grid(ORIGIN_US, ORIGIN_US + 7 * 24 * HOUR_US, SECOND_US)

    assert wider(grid, 10, 100_000) == 300
    assert wider(grid, 1_000_000, 100_000) is None


def _partials(readings: list[tuple[int, int, float]], piece: Piece) -> Partials:
    """Return what a reader of a piece gives: rows, or rows rolled up by the piece's unit."""
    runs: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    for place, time_us, value in sorted(readings):
        if piece.start_us <= time_us < piece.end_us:
            runs[place, time_us - time_us % UNITS_US.get(piece.source, 1)].append(value)
    return Partials(
        np.array([place for place, _ in runs], np.int64),
        np.array([edge_us for _, edge_us in runs], np.int64),
        np.array([len(values) for values in runs.values()], np.int64),
        *(
            np.array([figure(values) for values in runs.values()])
            for figure in (math.fsum, min, max, lambda values: values[0], lambda values: values[-1])
        ),
    )


def _recomputed(readings: list[tuple[int, int, float]], grid: Grid) -> dict[tuple[int, int], list[float]]:
    runs: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    for place, time_us, value in sorted(readings):
        if grid.start_us <= time_us < grid.end_us:
            runs[place, time_us - (time_us - ORIGIN_US) % grid.width_us].append(value)
    return runs


@given(READINGS, MOMENTS_US, MOMENTS_US, WIDTHS_S, st.booleans())
def test_buckets_are_what_single_readings_say(
    readings: list[tuple[int, int, float]], one_us: int, other_us: int, width_s: int, sparse: bool
) -> None:
    """Whatever the pieces, the figures of each bucket are those of the readings in it."""
    grid = _grid(one_us, other_us, width_s)
    parts = [_partials(readings, piece) for piece in pieces(grid, LONG_AGO_US, sparse=sparse)]
    found = buckets(SERIES, joined(parts), grid, GapFill.OMIT)
    expected = _recomputed(readings, grid)

    assert list(zip(found.series_index.tolist(), found.start_us.tolist(), strict=True)) == list(expected)
    assert found.count.tolist() == [len(values) for values in expected.values()]
    np.testing.assert_allclose(found.mean, [math.fsum(each) / len(each) for each in expected.values()], atol=1e-6)
    assert found.minimum.tolist() == [min(values) for values in expected.values()]
    assert found.maximum.tolist() == [max(values) for values in expected.values()]
    assert found.first.tolist() == [values[0] for values in expected.values()]
    assert found.last.tolist() == [values[-1] for values in expected.values()]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.floats(-1e3, 1e3)), unique_by=lambda each: each[:2]))
def test_gaps_are_filled_as_a_loop_would(readings: list[tuple[int, int, float]]) -> None:
    """The last value before, or the line between neighbours, each series by itself."""
    grid = Grid(ORIGIN_US, ORIGIN_US + 10 * MINUTE_US, MINUTE_US)
    partials = _partials([(place, ORIGIN_US + n * MINUTE_US, value) for place, n, value in readings],
                         Piece(Source.ROWS, grid.start_us, grid.end_us))  # fmt: skip
    known = {(place, n): value for place, n, value in readings}
    for fill in (GapFill.EMPTY, GapFill.LAST, GapFill.LINEAR):
        found = buckets(SERIES, partials, grid, fill)
        expected = [_filled(known, place, n, fill) for place in range(3) for n in range(10)]

        np.testing.assert_allclose(found.mean, expected, atol=1e-9)
        assert found.count.tolist() == [int((place, n) in known) for place in range(3) for n in range(10)]


def _filled(known: dict[tuple[int, int], float], place: int, n: int, fill: GapFill) -> float:
    before = max((m for p, m in known if p == place and m <= n), default=None)
    after = min((m for p, m in known if p == place and m >= n), default=None)
    if (place, n) in known:
        return known[place, n]
    if fill is GapFill.EMPTY or before is None or (fill is GapFill.LINEAR and after is None):
        return math.nan
    if fill is GapFill.LAST or after is None:
        return known[place, before]
    left, right = known[place, before], known[place, after]
    return left + (right - left) * (n - before) / (after - before)


FIGURE = st.floats(allow_nan=False)
BUCKETS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-(10**10), 10**10), st.integers(0, 2**40), st.lists(FIGURE, min_size=5, max_size=5),
              st.integers(0, 31)),
    max_size=20, unique_by=lambda each: each[:2],
)  # fmt: skip


def _made(rows: list[tuple[int, int, int, list[float], int]]) -> Buckets:
    rows = sorted(rows)
    figures = np.array([row[3] for row in rows]).reshape(len(rows), 5)
    for number, row in enumerate(rows):
        figures[number, [bool(row[4] >> bit & 1) for bit in range(5)]] = math.nan
    start_us = np.array([row[1] for row in rows], np.int64) * SECOND_US
    count = np.array([row[2] for row in rows], np.int64)
    return Buckets(SERIES, np.array([row[0] for row in rows], np.int64), start_us, count, *figures.T.copy())


@given(BUCKETS)
def test_bytes_of_buckets_are_those_of_messages(rows: list[tuple[int, int, int, list[float], int]]) -> None:
    """What is written as tables of bytes reads as the messages it stands for, in both forms."""
    made = _made(rows)
    answer = messages.AggregateObservationsResponse.FromString(answers.series_buckets("noord", made))
    columns = [messages.ReadAggregatesResponse.FromString(each) for each in answers.aggregate_columns("noord", made)]

    assert [(series.device, series.observed_property) for series in answer.series] == [
        (f"districts/noord/devices/d{place}", "observedProperties/pm25") for place in sorted({row[0] for row in rows})
    ]
    found = [bucket for series in answer.series for bucket in series.buckets]
    assert [bucket.start_time.ToMicroseconds() for bucket in found] == made.start_us.tolist()
    assert [bucket.count for bucket in found] == made.count.tolist()
    for field, column in (("mean", made.mean), ("min", made.minimum), ("max", made.maximum), ("first", made.first),
                          ("last", made.last)):  # fmt: skip
        told = [
            getattr(bucket, field) if field in {each.name for each, _ in bucket.ListFields()} else math.nan
            for bucket in found
        ]
        np.testing.assert_array_equal(told, column)
        np.testing.assert_array_equal([value for each in columns for value in getattr(each, field)], column)
    assert [value for each in columns for value in each.start_time_us] == made.start_us.tolist()
    assert [each.series[index].device for each in columns for index in each.series_index] == [
        f"districts/noord/devices/d{place}" for place in made.series_index
    ]


def test_bytes_of_observations_are_those_of_messages() -> None:
    """Numbers, words and places of one page, with times of every size; what may not be shown is not there."""
    page = LatestPage(
        devices=["a", "b", "c", "d"],
        observed_properties=["pm25", "signal-state", "position", "pm25"],
        ids=np.arange(4),
        personal=np.zeros(4, np.bool_),
        time_us=np.array([1_762_128_000_123_456, 0, -1, 5]),
        receipt_time_us=np.array([1_762_128_000_999_999, 1, 2, 3]),
        value=np.array([0.0, math.nan, math.nan, 1.0]),
        states=[None, "rG", None, None],
        longitude=np.array([math.nan, math.nan, 5.68, math.nan]),
        latitude=np.array([math.nan, math.nan, 50.85, math.nan]),
    )
    found = messages.ListLatestObservationsResponse.FromString(answers.observations("noord", page, np.arange(3)))
    number, word, place = found.observations

    assert [each.device for each in found.observations] == [f"districts/noord/devices/{device}" for device in "abc"]
    assert [each.event_time.ToMicroseconds() for each in found.observations] == page.time_us[:3].tolist()
    assert number.receipt_time == Timestamp(seconds=1_762_128_000, nanos=999_999_000)
    assert number.WhichOneof("result") == "value"
    assert word.state == "rG"
    assert (place.position.longitude, place.position.latitude) == (5.68, 50.85)


@pytest.mark.parametrize(("width_us", "most"), [(HOUR_US, 25), (2 * MINUTE_US, 1_441), (MINUTE_US + 1, None)])
def test_how_many_rollup_rows_a_range_can_have(width_us: int, most: int | None) -> None:
    """A day has so many hours or minutes and one more where it begins within one; odd widths are read from rows."""
    assert partials_most(Grid(24 * HOUR_US, 48 * HOUR_US, width_us)) == most
