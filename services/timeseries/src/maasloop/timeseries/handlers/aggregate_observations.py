"""Figures of time buckets."""

from collections.abc import Sequence

from maasloop.core.errors import InvalidArgument, Unavailable
from maasloop.core.reasons import Reason
from maasloop.timeseries.domain.series import Kind
from maasloop.timeseries.ports.reading import Bucket, GapFill, ObservationReader, Selection, SeriesRow, Visibility

BUCKETS_MAX = 100_000
SERIES_MAX = 10_000
WIDTH_MAX_S = 366 * 86_400
SPAN_MAX_US = 3_660 * 86_400 * 1_000_000


class AggregateObservations:
    """Buckets are counted from Monday 2000-01-03T00:00:00Z and half-open."""

    def __init__(self, reader: ObservationReader, visibility: Visibility) -> None:
        """Read what may be seen."""
        self._reader = reader
        self._visibility = visibility

    async def __call__(
        self, selection: Selection, start_us: int, end_us: int, width_s: int, fill: GapFill
    ) -> list[tuple[SeriesRow, Sequence[Bucket]]]:
        """Return the buckets of each series that has some."""
        if not 1 <= width_s <= WIDTH_MAX_S:
            raise InvalidArgument(Reason.REQUEST_INVALID, "bucket must be 1 s to 366 days", {"field": "bucket"})
        if not start_us <= end_us <= start_us + SPAN_MAX_US:
            message = "end_time must lie between start_time and ten years later"
            raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "end_time"})
        if not self._visibility.ready():
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, "the registry's facts have not arrived")
        found = await self._reader.series(selection, after=None, size=SERIES_MAX + 1)
        numbers = [
            series
            for series in found
            if series.table.kind is Kind.NUMBERS
            and self._visibility.visible(selection.district, series.device, personal=series.personal)
        ]
        filled = 0 if fill is GapFill.OMIT else len(numbers) * ((end_us - start_us) // (width_s * 1_000_000) + 1)
        if len(found) > SERIES_MAX or filled > BUCKETS_MAX:
            message = f"more than {BUCKETS_MAX} buckets or {SERIES_MAX} series: ask for less"
            raise InvalidArgument(Reason.RANGE_TOO_LONG, message, {"limit": str(BUCKETS_MAX)})
        buckets = await self._reader.buckets(numbers, start_us, end_us, width_s, fill, BUCKETS_MAX)
        return [(series, buckets[series.id]) for series in numbers if buckets.get(series.id)]
