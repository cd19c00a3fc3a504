"""Reads over rows that the writer stored, against answers worked out by hand."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from maasloop.core.clock import FakeClock
from maasloop.core.errors import InvalidArgument, ResourceExhausted
from maasloop.timeseries.adapters.postgres_reads import PostgresReader
from maasloop.timeseries.handlers.aggregate_observations import AggregateObservations
from maasloop.timeseries.handlers.forget_old_rows import ForgetOldRows
from maasloop.timeseries.handlers.list_latest_observations import ListLatestObservations
from maasloop.timeseries.handlers.read_observations import ReadObservations
from maasloop.timeseries.ports.reading import Bucket, GapFill, Selection

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Reading, Rig

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
MONDAY_US = 1_762_128_000 * SECOND_US
"""2025-11-03T00:00:00Z, a Monday: whole weeks after 2000-01-03."""
WEEK_S = 7 * 86_400


class Everybody:
    """Visibility for tests: all but named devices may be seen."""

    def __init__(self, *hidden: str) -> None:
        """Hide these."""
        self.hidden = set(hidden)

    def ready(self) -> bool:
        """Tell that it is known whose devices are."""
        return True

    def visible(self, _district: str, device: str, *, personal: bool) -> bool:
        """Tell whether a device may be seen."""
        return device not in self.hidden


async def _store(rig: "Rig", *readings: "Reading", states: Sequence[tuple[str, int, str]] = ()) -> None:
    async with rig.writing():
        await rig.publish(*readings, states=states)
        await rig.until_accepted(len(readings) + len(states))


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
    latest = ListLatestObservations(PostgresReader(rig.pool), Everybody("c"))

    found, following = await latest(Selection("noord"), size=10, after=None)

    assert [(each.series.device, each.series.observed_property, each.result) for each in found] == [
        ("a", "pm25", 5.0),
        ("a", "signal-state", "rG"),
        ("b", "pm25", 1.0),
    ]
    assert following is None


async def test_pages_of_latest_join_without_a_gap(rig: "Rig") -> None:
    """Pages of one series each give every series once."""
    await _store(rig, *((f"d{number}", "pm25", MONDAY_US, 1.0) for number in range(5)))
    latest = ListLatestObservations(PostgresReader(rig.pool), Everybody())
    seen, after = [], None
    while True:
        page, after = await latest(Selection("noord"), size=1, after=after)
        seen += [each.series.device for each in page]
        if after is None:
            break

    assert seen == [f"d{number}" for number in range(5)]


async def test_a_range_is_half_open_and_ordered(rig: "Rig") -> None:
    """The first moment is in, the last is out, and rows of a series come in order of time."""
    await _store(rig, *(("a", "pm25", MONDAY_US + number, float(number)) for number in (3, 1, 2, 0)))
    read = ReadObservations(PostgresReader(rig.pool), Everybody())

    pieces = [piece async for piece in read(Selection("noord"), MONDAY_US + 1, MONDAY_US + 3)]

    assert [(piece.series.device, piece.time_us.tolist(), list(piece.results)) for piece in pieces] == [
        ("a", [MONDAY_US + 1, MONDAY_US + 2], [1.0, 2.0])
    ]


async def test_a_consent_that_ends_hides_the_rest_of_a_range(rig: "Rig") -> None:
    """What may not be seen any more ends in the middle of a read."""
    await _store(rig, *(("a", "pm25", MONDAY_US + number, 1.0) for number in range(12_000)))
    everybody = Everybody()
    read = ReadObservations(PostgresReader(rig.pool), everybody)
    lengths = []
    async for piece in read(Selection("noord"), MONDAY_US, MONDAY_US + HOUR_US):
        lengths.append(len(piece.time_us))
        everybody.hidden.add("a")

    assert lengths == [10_000]


async def test_a_range_that_is_too_long_is_refused(rig: "Rig") -> None:
    """More than 366 days end with RANGE_TOO_LONG."""
    read = ReadObservations(PostgresReader(rig.pool), Everybody())

    with pytest.raises(ResourceExhausted, match="366 days"):
        await anext(read(Selection("noord"), 0, 367 * 24 * HOUR_US))


async def _buckets(rig: "Rig", fill: GapFill, *, hours: int = 4) -> list[Bucket]:
    aggregate = AggregateObservations(PostgresReader(rig.pool), Everybody())
    found = await aggregate(Selection("noord"), MONDAY_US, MONDAY_US + hours * HOUR_US, 3_600, fill)
    return list(found[0][1]) if found else []


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
    assert await _buckets(hourly, GapFill.OMIT) == [
        Bucket(MONDAY_US, 2, 2.0, 1.0, 3.0, 1.0, 3.0),
        Bucket(MONDAY_US + 3 * HOUR_US, 1, 8.0, 8.0, 8.0, 8.0, 8.0),
    ]


@pytest.mark.parametrize(
    ("fill", "means"),
    [
        (GapFill.EMPTY, [2.0, None, None, 8.0, None]),
        (GapFill.LAST, [2.0, 3.0, 3.0, 8.0, 8.0]),
        (GapFill.LINEAR, [2.0, 4.0, 6.0, 8.0, None]),
    ],
)
async def test_gaps_are_filled_as_asked(hourly: "Rig", fill: GapFill, means: list[float | None]) -> None:
    """Empty, the last value before, or the straight line between the neighbours' means; beyond the last one, no line."""
    buckets = await _buckets(hourly, fill, hours=5)

    assert [bucket.mean for bucket in buckets] == means
    assert [bucket.count for bucket in buckets] == [2, 0, 0, 1, 0]


async def test_weeks_begin_on_monday(hourly: "Rig") -> None:
    """A bucket of seven days has its edge on a Monday at midnight UTC."""
    aggregate = AggregateObservations(PostgresReader(hourly.pool), Everybody())
    start_us = MONDAY_US - 24 * HOUR_US

    ((_, buckets),) = await aggregate(Selection("noord"), start_us, MONDAY_US + HOUR_US, WEEK_S, GapFill.EMPTY)

    assert [(bucket.start_us, bucket.count) for bucket in buckets] == [
        (MONDAY_US - WEEK_S * SECOND_US, 0),
        (MONDAY_US, 2),
    ]


async def test_too_many_buckets_are_refused(hourly: "Rig") -> None:
    """A selection that would fill more than 100,000 buckets ends with RANGE_TOO_LONG."""
    aggregate = AggregateObservations(PostgresReader(hourly.pool), Everybody())

    with pytest.raises(InvalidArgument, match="100000"):
        await aggregate(Selection("noord"), MONDAY_US, MONDAY_US + 48 * HOUR_US, 1, GapFill.EMPTY)


async def test_retention_drops_whole_chunks_of_what_is_old(rig: "Rig") -> None:
    """A week after its day a reading of the class 7d is gone, and one of the class 2y is still there."""
    await _store(rig, ("a", "vehicle-count", MONDAY_US, 1.0), ("a", "pm25", MONDAY_US, 1.0))
    clock = FakeClock()

    dropped = await ForgetOldRows(PostgresReader(rig.pool), clock)()

    assert dropped == 1
    assert await rig.numbers() == [("a", "pm25", MONDAY_US, 1.0)]
