"""What readers need of the world, and the shape of what they find."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maasloop.core.domains import Retention
from maasloop.timeseries.domain.aggregating import Grid, Piece
from maasloop.timeseries.domain.series import Table

from .columns import Columns


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series of a district are meant; empty = all."""

    district: str
    devices: Sequence[str] = ()
    observed_properties: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series as readers see it."""

    id: int
    device: str
    observed_property: str
    table: Table
    personal: bool
    stored: int = 0
    """Rows ever written: more there cannot be."""
    district: str = ""


@dataclass(frozen=True, slots=True)
class Newest:
    """An observation of a series."""

    series: SeriesRow
    time_us: int
    receipt_time_us: int
    result: float | str | tuple[float, float]


@dataclass(frozen=True, slots=True)
class LatestPage:
    """Newest observations as columns, a row a series, ordered by device, observed property and id."""

    devices: Sequence[str]
    observed_properties: Sequence[str]
    ids: NDArray[np.int64]
    personal: NDArray[np.bool_]
    time_us: NDArray[np.int64]
    receipt_time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    """NaN where the result is no number."""
    states: Sequence[str | None]
    """Empty where no row has one."""
    longitude: NDArray[np.float64]
    """Empty where no row has a place; NaN where the result is no place."""
    latitude: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self.devices)

    def take(self, places: NDArray[np.intp]) -> "LatestPage":
        """Return some rows."""
        chosen = places.tolist()
        return LatestPage(
            devices=[self.devices[place] for place in chosen],
            observed_properties=[self.observed_properties[place] for place in chosen],
            ids=self.ids[places],
            personal=self.personal[places],
            time_us=self.time_us[places],
            receipt_time_us=self.receipt_time_us[places],
            value=self.value[places],
            states=[self.states[place] for place in chosen] if self.states else (),
            longitude=self.longitude[places] if len(self.longitude) else self.longitude,
            latitude=self.latitude[places] if len(self.latitude) else self.latitude,
        )


@dataclass(frozen=True, slots=True)
class Range:
    """Observations of one series in order of time."""

    series: SeriesRow
    time_us: NDArray[np.int64]
    results: NDArray[np.float64] | Sequence[str] | Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Buckets:
    """Figures of buckets as columns, ordered by series and then time."""

    series: Sequence[SeriesRow]
    series_index: NDArray[np.int64]
    """Position in ``series``, ascending."""
    start_us: NDArray[np.int64]
    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    """NaN where there is no reading and no filling, here and below."""
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of buckets."""
        return len(self.start_us)


class GapFill(StrEnum):
    """What stands for a bucket without readings."""

    OMIT = "omit"
    EMPTY = "empty"
    LAST = "last"
    LINEAR = "linear"


class ObservationReader(Protocol):
    """Bounded reads of rows."""

    async def series(self, selection: Selection, *, after: tuple[str, str, int] | None, size: int) -> list[SeriesRow]:
        """Return series ordered by device, observed property and id, after a position."""
        ...

    async def range(self, series: SeriesRow, start_us: int, end_us: int, size: int) -> Range:
        """Return the first ``size`` observations of [start, end)."""
        ...


class LatestReader(Protocol):
    """Newest observations, from where they are kept."""

    async def latest(self, selection: Selection, *, after: tuple[str, str, int] | None, size: int) -> LatestPage:
        """Return the newest observation of each of ``size`` series after a position."""
        ...


class AggregateReader(Protocol):
    """Figures of numbers, and what they would cost."""

    async def counts(self, series: Sequence[SeriesRow], start_us: int, end_us: int) -> NDArray[np.int64]:
        """Return how many numbers of each series lie in the whole hours that a range touches."""
        ...

    async def buckets(
        self, series: Sequence[SeriesRow], grid: Grid, parts: Mapping[Retention, Sequence[Piece]], fill: GapFill
    ) -> Buckets:
        """Return the buckets of series of numbers, read from the parts of their class."""
        ...


class Visibility(Protocol):
    """Who may be seen."""

    def ready(self) -> bool:
        """Tell whether it is known whose devices are."""
        ...

    def of_person(self, district: str, device: str) -> bool:
        """Tell whether a device belongs to a person."""
        ...

    def visible(self, district: str, device: str, *, personal: bool) -> bool:
        """Tell whether readings of a device may be shown now."""
        ...


class PageVisibility(Protocol):
    """Who of a page may be seen."""

    def ready(self) -> bool:
        """Tell whether it is known whose devices are."""
        ...

    def shown(self, district: str, devices: Sequence[str], personal: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the places of those whose readings may be shown now."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What a watch passes on: columns of one message, or nothing but a sign of life."""

    columns: Columns | None
    personal: bool
    token: Mapping[str, int]
    """By stream, the sequence after which a watch resumes."""


class Tail(Protocol):
    """Messages as they are stored."""

    def follow(
        self, district: str, after: Mapping[str, int] | None
    ) -> AbstractAsyncContextManager[AsyncIterator[Seen]]:
        """Yield what is stored from now on, or after a token; raises ``FailedPrecondition`` where that is too old."""
        ...
