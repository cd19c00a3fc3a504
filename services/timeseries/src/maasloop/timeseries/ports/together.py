"""Figures of many series as those of one: by observed property, while buckets of series come lot by lot."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maasloop.timeseries.domain.aggregating import Grid

from .reading import Buckets, GapFill, SeriesRow

type _Floats = NDArray[np.float64]


class Together:
    """Sums of buckets; each reading weighs the same, whoever sent it."""

    def __init__(self, series: Sequence[SeriesRow], grid: Grid) -> None:
        """Begin without a reading of these series."""
        found = {each.observed_property: each for each in series}
        self._rows = [replace(found[name], id=0, device="", stored=0) for name in sorted(found)]
        self._place = {row.observed_property: place for place, row in enumerate(self._rows)}
        self._grid = grid
        size = len(self._rows) * grid.buckets
        self._count, self._total = np.zeros(size, np.int64), np.zeros(size)
        self._minimum, self._maximum = np.full(size, np.inf), np.full(size, -np.inf)

    @property
    def size(self) -> int:
        """Number of buckets."""
        return len(self._count)

    def add(self, found: Buckets) -> None:
        """Add the buckets of some series, none of them empty."""
        places = np.array([self._place[each.observed_property] for each in found.series], np.int64)
        number = (found.start_us - self._grid.first_edge_us) // self._grid.width_us
        at = places[found.series_index] * self._grid.buckets + number
        np.add.at(self._count, at, found.count)
        np.add.at(self._total, at, found.mean * found.count)
        np.minimum.at(self._minimum, at, found.minimum)
        np.maximum.at(self._maximum, at, found.maximum)

    def buckets(self, fill: GapFill) -> Buckets:
        """Return the figures; which reading was the first or last of many series is not told."""
        chosen = np.arange(self.size) if fill is GapFill.EMPTY else np.flatnonzero(self._count)
        count = self._count[chosen]
        empty = count == 0
        place, number = np.divmod(chosen, max(self._grid.buckets, 1))
        unknown = np.full(len(chosen), np.nan)
        return Buckets(
            self._rows,
            place,
            self._grid.first_edge_us + number * self._grid.width_us,
            count,
            _known(self._total[chosen] / np.maximum(count, 1), empty),
            _known(self._minimum[chosen], empty),
            _known(self._maximum[chosen], empty),
            unknown,
            unknown,
        )


def _known(figures: _Floats, empty: NDArray[np.bool_]) -> _Floats:
    return np.where(empty, np.nan, figures)
