"""The newest observation of each series, by pages of series."""

from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason
from maasloop.timeseries.ports.reading import Newest, ObservationReader, Selection, SeriesRow, Visibility

type Position = tuple[str, str, int]


class ListLatestObservations:
    """Series without rows and series that may not be shown are left out."""

    def __init__(self, reader: ObservationReader, visibility: Visibility) -> None:
        """Read what may be seen."""
        self._reader = reader
        self._visibility = visibility

    async def __call__(
        self, selection: Selection, *, size: int, after: Position | None
    ) -> tuple[list[Newest], Position | None]:
        """Return a page and the position after which the next begins, none at the end."""
        if not self._visibility.ready():
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, "the registry's facts have not arrived")
        found = await self._reader.series(selection, after=after, size=size + 1)
        page = found[:size]
        shown = [series for series in page if self._shown(selection.district, series)]
        newest = await self._reader.newest(shown)
        newest.sort(key=lambda each: (each.series.device, each.series.observed_property, each.series.id))
        return newest, _position(page[-1]) if len(found) > size else None

    def _shown(self, district: str, series: SeriesRow) -> bool:
        return self._visibility.visible(district, series.device, personal=series.personal)


def _position(series: SeriesRow) -> Position:
    return series.device, series.observed_property, series.id
