"""The observations of a range, series by series."""

from collections.abc import AsyncIterator

from maasloop.core.errors import InvalidArgument, Unavailable
from maasloop.core.reasons import Reason
from maasloop.timeseries.domain.series import Kind
from maasloop.timeseries.ports.reading import (
    AggregateReader,
    ObservationReader,
    Range,
    Selection,
    SeriesRow,
    Visibility,
)

SERIES_MAX = 10_000
SPAN_MAX_US = 366 * 86_400 * 1_000_000
OBSERVATIONS_MAX = 100_000_000
"""Most observations of one read: it streams for minutes."""
ROWS_A_READ_MAX = 10_000


class ReadObservations:
    """Reads in pieces, so that neither a transaction nor memory grows with the range."""

    def __init__(self, reader: ObservationReader, aggregates: AggregateReader, visibility: Visibility) -> None:
        """Read what may be seen; ``aggregates`` tell how much it is."""
        self._reader = reader
        self._aggregates = aggregates
        self._visibility = visibility

    async def __call__(self, selection: Selection, start_us: int, end_us: int) -> AsyncIterator[Range]:
        """Yield pieces of at most ``ROWS_A_READ_MAX`` rows, each of one series, in order of time within a series."""
        if end_us < start_us:
            raise InvalidArgument(Reason.REQUEST_INVALID, "end_time lies before start_time", {"field": "end_time"})
        if end_us - start_us > SPAN_MAX_US:
            metadata = {"limit": "366 d", "hint": "one year after the other"}
            raise InvalidArgument(Reason.RANGE_TOO_LONG, "a range spans at most 366 days", metadata)
        if not self._visibility.ready():
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, "the registry's facts have not arrived")
        found = await self._reader.series(selection, after=None, size=SERIES_MAX + 1)
        if len(found) > SERIES_MAX:
            message = f"the selection holds more than {SERIES_MAX} series"
            metadata = {"limit": str(SERIES_MAX), "hint": "name devices or observed properties"}
            raise InvalidArgument(Reason.RANGE_TOO_LONG, message, metadata)
        await self._require_readable(found, start_us, end_us)
        for series in found:
            at_us = start_us
            # Asked for every piece: a consent that ends hides the rest.
            while self._visibility.visible(selection.district, series.device, personal=series.personal):
                piece = await self._reader.range(series, at_us, end_us, ROWS_A_READ_MAX)
                if len(piece.time_us):
                    yield piece
                if len(piece.time_us) < ROWS_A_READ_MAX:
                    break
                at_us = int(piece.time_us[-1]) + 1

    async def _require_readable(self, found: list[SeriesRow], start_us: int, end_us: int) -> None:
        """Refuse what is too much; words and places have no rollups and count as all that was ever stored."""
        if sum(series.stored for series in found) <= OBSERVATIONS_MAX:
            return
        numbers = [series for series in found if series.table.kind is Kind.NUMBERS]
        counts = await self._aggregates.counts(numbers, start_us, end_us)
        others = sum(series.stored for series in found if series.table.kind is not Kind.NUMBERS)
        estimate = int(counts.sum()) + others
        if estimate > OBSERVATIONS_MAX:
            hint = "a shorter range, fewer series, or ReadAggregates"
            message = f"about {estimate} observations, more than {OBSERVATIONS_MAX}: ask for {hint}"
            metadata = {"limit": str(OBSERVATIONS_MAX), "estimate": str(estimate), "hint": hint}
            raise InvalidArgument(Reason.RANGE_TOO_LONG, message, metadata)
