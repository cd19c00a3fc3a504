"""Figures of time buckets, in pieces of bounded size."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maasloop.core.clock import Clock
from maasloop.core.domains import Retention
from maasloop.core.errors import InvalidArgument, Unavailable
from maasloop.core.reasons import Reason
from maasloop.timeseries.domain.aggregating import (
    HOUR_US,
    MINUTE_COST,
    SECOND_US,
    Grid,
    Piece,
    partials_most,
    pieces,
    rows_kept_from_us,
    wider,
)
from maasloop.timeseries.domain.series import Kind
from maasloop.timeseries.ports.reading import (
    AggregateReader,
    Buckets,
    GapFill,
    ObservationReader,
    Selection,
    SeriesRow,
    Visibility,
)
from maasloop.timeseries.ports.together import Together

SERIES_MAX = 10_000
SERIES_TOGETHER_MAX = 100_000
BUCKETS_TOGETHER_MAX = 500_000
WIDTH_MAX_S = 366 * 86_400
SPAN_MAX_US = 3_660 * 86_400 * SECOND_US
READ_MAX = 20_000_000
"""Most rows, minutes or hours that one request reads."""
READ_A_SERIES_MAX = 1_000_000
"""The same of one series: they are in memory together."""
READ_AT_ONCE = 50_000
"""About what is read and held at a time."""
ASK_COUNTS_ABOVE = 20_000
"""Below this many minutes or rows, asking how many there are costs as much as reading them."""

type _Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is read of which series, and how much that is at most."""

    series: list[SeriesRow]
    reads: _Counts
    parts: Mapping[Retention, Sequence[Piece]]


class AggregateObservations:
    """Buckets are counted from Monday 2000-01-03T00:00:00Z and half-open."""

    def __init__(
        self, reader: ObservationReader, aggregates: AggregateReader, visibility: Visibility, clock: Clock
    ) -> None:
        """Read what may be seen."""
        self._reader = reader
        self._aggregates = aggregates
        self._visibility = visibility
        self._clock = clock

    async def __call__(
        self, selection: Selection, start_us: int, end_us: int, width_s: int, fill: GapFill, *, buckets_max: int
    ) -> AsyncIterator[Buckets]:
        """Yield the buckets of some series after the other, in order; refused before reading where it is too much."""
        grid = _grid(start_us, end_us, width_s)
        numbers = [each for each in await self._numbers(selection, SERIES_MAX) if self._shown(selection, each)]
        if fill is not GapFill.OMIT:
            _require(len(numbers) * grid.buckets, buckets_max, grid, len(numbers))
        plan = await self._plan(numbers, grid, fill, buckets_max)
        for some in _lots(plan, grid, fill):
            # Asked again: a consent may have ended while the caller took the buckets before.
            series = [plan.series[place] for place in some if self._shown(selection, plan.series[place])]
            yield await self._aggregates.buckets(series, grid, plan.parts, fill)

    async def together(
        self, selection: Selection, start_us: int, end_us: int, width_s: int, fill: GapFill, *, buckets_max: int
    ) -> AsyncIterator[Buckets]:
        """Yield the buckets of all series by observed property, readings of persons left out; same as above else."""
        if fill not in {GapFill.OMIT, GapFill.EMPTY}:
            message = "gaps of many devices together stay out or are empty"
            raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "gap_fill"})
        grid = _grid(start_us, end_us, width_s)
        numbers = [each for each in await self._numbers(selection, SERIES_TOGETHER_MAX) if self._open(selection, each)]
        groups = len({each.observed_property for each in numbers})
        _require(groups * grid.buckets, min(buckets_max, BUCKETS_TOGETHER_MAX), grid, groups, "observed properties")
        plan = await self._plan(numbers, grid, GapFill.OMIT, None)
        figures = Together(numbers, grid)
        for some in _lots(plan, grid, GapFill.OMIT):
            series = [plan.series[place] for place in some if self._open(selection, plan.series[place])]
            figures.add(await self._aggregates.buckets(series, grid, plan.parts, GapFill.OMIT))
        yield figures.buckets(fill)

    async def _numbers(self, selection: Selection, series_max: int) -> list[SeriesRow]:
        if not self._visibility.ready():
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, "the registry's facts have not arrived")
        found = await self._reader.series(selection, after=None, size=series_max + 1)
        if len(found) > series_max:
            message = f"more than {series_max} series: ask for fewer"
            metadata = {"limit": str(series_max), "hint": "name devices or observed properties"}
            raise InvalidArgument(Reason.RANGE_TOO_LONG, message, metadata)
        return [each for each in found if each.table.kind is Kind.NUMBERS]

    async def _plan(self, numbers: list[SeriesRow], grid: Grid, fill: GapFill, buckets_max: int | None) -> _Plan:
        """Say what to read; ``buckets_max`` bounds the buckets of series, where they are handed out."""
        stored = np.array([each.stored for each in numbers], np.int64)
        most = partials_most(grid)
        reads = stored if most is None else np.minimum(stored, most)
        sparse = False
        finer_than_hours = bool(grid.width_us % HOUR_US)
        buckets = int(np.minimum(reads, grid.buckets).sum())
        too_much = (buckets_max is not None and buckets > buckets_max) or reads.sum() > READ_MAX
        if too_much or (finer_than_hours and reads.sum() > ASK_COUNTS_ABOVE):
            counts = np.minimum(stored, await self._counted(numbers, grid))
            reads = counts if most is None else np.minimum(counts, most)
            sparse = bool(most is not None and finer_than_hours and counts.sum() <= reads.sum() * MINUTE_COST)
            if sparse:
                reads = counts
        if fill is GapFill.OMIT and buckets_max is not None:
            _require(int(np.minimum(reads, grid.buckets).sum()), buckets_max, grid, len(numbers))
        _require_readable(reads)
        now_us = self._clock.now_us()
        parts = {
            retention: pieces(grid, rows_kept_from_us(retention, now_us), sparse=sparse)
            for retention in {each.table.retention for each in numbers}
        }
        return _Plan(numbers, reads, parts)

    async def _counted(self, numbers: list[SeriesRow], grid: Grid) -> _Counts:
        hours = (grid.end_us - grid.start_us) // HOUR_US + 2
        if len(numbers) * hours > READ_MAX:
            _too_much(len(numbers) * hours)
        return await self._aggregates.counts(numbers, grid.start_us, grid.end_us)

    def _open(self, selection: Selection, series: SeriesRow) -> bool:
        """Tell whether a series is nobody's, so that it may be in figures that nobody can be left out of later."""
        return not series.personal and not self._visibility.of_person(selection.district, series.device)

    def _shown(self, selection: Selection, series: SeriesRow) -> bool:
        return self._visibility.visible(selection.district, series.device, personal=series.personal)


def _grid(start_us: int, end_us: int, width_s: int) -> Grid:
    if not 1 <= width_s <= WIDTH_MAX_S:
        raise InvalidArgument(Reason.REQUEST_INVALID, "bucket must be 1 s to 366 days", {"field": "bucket"})
    if not start_us <= end_us <= start_us + SPAN_MAX_US:
        message = "end_time must lie between start_time and ten years later"
        raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "end_time"})
    return Grid(start_us, end_us, width_s * SECOND_US)


def _lots(plan: _Plan, grid: Grid, fill: GapFill) -> list[range]:
    """Return consecutive series whose reads and buckets fit into memory together."""
    sizes = plan.reads if fill is GapFill.OMIT else np.maximum(plan.reads, grid.buckets)
    lots, first, size = [], 0, 0
    for place, more in enumerate(sizes.tolist()):
        if size and size + more > READ_AT_ONCE:
            lots.append(range(first, place))
            first, size = place, 0
        # Not nothing: a series without a row costs a look, too.
        size += max(more, 20)
    if plan.series:
        lots.append(range(first, len(plan.series)))
    return lots


def _require(buckets: int, buckets_max: int, grid: Grid, series: int, of: str = "series") -> None:
    if buckets <= buckets_max:
        return
    width_s = wider(grid, series, buckets_max)
    fits = series * buckets_max // buckets
    fewer = f"at most {fits} {of}" if fits else "a shorter range"
    hint = f"a bucket of {width_s} s, or {fewer}" if width_s else fewer
    message = f"about {buckets} buckets, more than {buckets_max}: ask for {hint}"
    raise InvalidArgument(
        Reason.RANGE_TOO_LONG, message, {"limit": str(buckets_max), "estimate": str(buckets), "hint": hint}
    )


def _require_readable(reads: _Counts) -> None:
    if int(reads.max(initial=0)) > READ_A_SERIES_MAX:
        hint = "a bucket of a multiple of 60 s or 3600 s, or a shorter range"
        message = (
            f"a series has about {int(reads.max())} readings to look at, more than {READ_A_SERIES_MAX}: ask for {hint}"
        )
        metadata = {"limit": str(READ_A_SERIES_MAX), "estimate": str(int(reads.max())), "hint": hint}
        raise InvalidArgument(Reason.RANGE_TOO_LONG, message, metadata)
    if int(reads.sum()) > READ_MAX:
        _too_much(int(reads.sum()))


def _too_much(reads: int) -> None:
    hint = "a wider bucket, a shorter range or fewer series"
    message = f"about {reads} readings or minutes to look at, more than {READ_MAX}: ask for {hint}"
    raise InvalidArgument(
        Reason.RANGE_TOO_LONG, message, {"limit": str(READ_MAX), "estimate": str(reads), "hint": hint}
    )
