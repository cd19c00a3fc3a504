"""What readers need of the world, and the shape of what they find."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maasloop.timeseries.domain.custody import Terms
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


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest observation of a series."""

    series: SeriesRow
    time_us: int
    receipt_time_us: int
    result: float | str | tuple[float, float]


@dataclass(frozen=True, slots=True)
class Range:
    """Observations of one series in order of time."""

    series: SeriesRow
    time_us: NDArray[np.int64]
    results: NDArray[np.float64] | Sequence[str] | Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bucket:
    """Figures of one bucket; none where there is no reading and no filling."""

    start_us: int
    count: int
    mean: float | None
    minimum: float | None
    maximum: float | None
    first: float | None
    last: float | None


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

    async def newest(self, series: Sequence[SeriesRow]) -> list[Newest]:
        """Return the newest observation of each series that has one."""
        ...

    async def range(self, series: SeriesRow, start_us: int, end_us: int, size: int) -> Range:
        """Return the first ``size`` observations of [start, end)."""
        ...

    async def buckets(
        self, series: Sequence[SeriesRow], start_us: int, end_us: int, width_s: int, fill: GapFill, limit: int
    ) -> Mapping[int, Sequence[Bucket]]:
        """Return buckets by series id; raises ``InvalidArgument`` (RANGE_TOO_LONG) beyond ``limit``."""
        ...


class Visibility(Protocol):
    """Who may be seen."""

    def ready(self) -> bool:
        """Tell whether it is known whose devices are."""
        ...

    def visible(self, district: str, device: str, *, personal: bool) -> bool:
        """Tell whether readings of a device may be shown now."""
        ...


class CustodyReader(Protocol):
    """The custody counters."""

    async def terms(self, district: str) -> tuple[Terms, int, Mapping[str, int]]:
        """Return the terms of a district (empty = all), the readings lost, and how far each stream has been stored."""
        ...


class ReadingCounter(Protocol):
    """Counts readings that lie in a stream."""

    async def readings_after(self, stream: str, sequence: int, district: str) -> int:
        """Return the readings in a stream's messages after a sequence; empty district = all."""
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
