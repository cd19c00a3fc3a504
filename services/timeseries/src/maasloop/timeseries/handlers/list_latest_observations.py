"""The newest observation of each series, by pages of series."""

import numpy as np
from numpy.typing import NDArray

from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason
from maasloop.timeseries.ports.reading import LatestPage, LatestReader, PageVisibility, Selection

type Position = tuple[str, str, int]


class ListLatestObservations:
    """Series without rows and series that may not be shown are left out."""

    def __init__(self, reader: LatestReader, visibility: PageVisibility) -> None:
        """Read what may be seen."""
        self._reader = reader
        self._visibility = visibility

    async def __call__(
        self, selection: Selection, *, size: int, after: Position | None
    ) -> tuple[LatestPage, NDArray[np.intp], Position | None]:
        """Return a page, which of its rows may be shown, and after which the next page begins, none at the end."""
        if not self._visibility.ready():
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, "the registry's facts have not arrived")
        page = await self._reader.latest(selection, after=after, size=size + 1)
        shown = self._visibility.shown(selection.district, page.devices[:size], page.personal[:size])
        if len(page) <= size:
            return page, shown, None
        last = size - 1
        return page, shown, (page.devices[last], page.observed_properties[last], int(page.ids[last]))
