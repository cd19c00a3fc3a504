"""What the writer needs of the world, and what it stores at once."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maasloop.timeseries.domain.custody import ProducerCount, Terms
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.domain.series import Table

from .columns import Columns


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a custody stream, and what it counts."""

    sequence: int
    district: str
    terms: Terms
    """What is known without looking at rows: ``accepted`` and everything but stored, duplicate and conflict."""
    producer: str = ""
    producer_total: int = 0
    columns: Columns | None = None
    personal: bool = False
    receipt_time_us: int = 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one table, by series and then time; no two under the same key."""

    table: Table
    series: NDArray[np.int32]
    time_us: NDArray[np.int64]
    receipt_time_us: NDArray[np.int64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.series)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Numbers":
        """Return some of them."""
        return Numbers(self.table, self.series[rows], self.time_us[rows], self.receipt_time_us[rows], self.value[rows])


@dataclass(frozen=True, slots=True)
class Other:
    """A state or a position on its way into its table."""

    table: Table
    series: int
    time_us: int
    receipt_time_us: int
    result: str | tuple[float, float]


@dataclass(frozen=True, slots=True)
class Existing:
    """Rows that are stored already under the key of a new one, by the place of the new one."""

    places: NDArray[np.intp]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Series of a message's rows."""

    numbers: NDArray[np.int32]
    tables: NDArray[np.uint8]
    """Position in ``TABLES`` of each number's table."""
    others: Sequence[Other]


class SeriesIndex(Protocol):
    """Numbers of series, and the newest time that is stored in each."""

    async def resolve(self, message: Message) -> "Resolved":
        """Return the series of a message's rows, made where they are new.

        Raises ``Unavailable`` while the registry's facts about a property have not arrived.
        """
        ...

    def newest_us(self, series: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the newest event time of each series, taken rows included."""
        ...

    def advance(self, series: NDArray[np.int32], time_us: NDArray[np.int64]) -> NDArray[np.int32]:
        """Take over the newest time of each (distinct) series; return those whose hint is worth renewing."""
        ...

    def district(self, series: int) -> str:
        """Return the district of a series."""
        ...

    def personal(self, series: int) -> bool:
        """Tell whether a series is personal."""
        ...

    def name(self, series: int) -> tuple[str, str]:
        """Return device and observed property of a series."""
        ...

    def forget(self) -> None:
        """Read everything anew: a transaction failed."""
        ...


@dataclass(frozen=True, slots=True)
class Conflict:
    """A reading whose key holds another value."""

    series: int
    time_us: int
    receipt_time_us: int
    result: float | str | tuple[float, float]


@dataclass(slots=True)
class Lot:
    """What one transaction stores."""

    life: Life
    messages: Sequence[Message]
    fresh: list[Numbers] = field(default_factory=list)
    """Later than everything stored in their series: nothing can be under their key."""
    late: list[Numbers] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    hints: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """Series whose newest time is to be renewed in the table."""
    hint_times_us: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    terms: dict[str, Terms] = field(default_factory=dict)
    """By district, what is known before rows are stored."""
    conflicts: list[Conflict] = field(default_factory=list)
    """Readings whose key another reading of the same lot took with another value."""
    producers: Mapping[str, ProducerCount] = field(default_factory=dict)
    positions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By district: the position it has, and the one it gets."""


class RowTransaction(Protocol):
    """The transaction of one lot."""

    async def copy(self, numbers: Numbers) -> None:
        """Copy rows that are new; raises ``KeyTaken`` where one is not."""
        ...

    async def add(self, numbers: Numbers) -> Existing:
        """Store those rows whose key is free, and return what lies under the keys of the others."""
        ...

    async def add_others(self, others: Sequence[Other]) -> Mapping[int, str | tuple[float, float]]:
        """Store states and positions of one table; return what lies under taken keys, by place."""
        ...

    async def settle(self, lot: Lot, terms: Mapping[str, Terms], conflicts: Sequence[Conflict]) -> None:
        """Advance positions, add to the terms by district, and let conflicts leave as facts; raises ``PositionMoved``."""
        ...


class KeyTaken(Exception):
    """A row that was taken for new is stored already."""


class PositionMoved(Exception):
    """Another writer stored messages of this stream."""


class RowStore(Protocol):
    """Where rows and custody lie."""

    def transaction(self) -> AbstractAsyncContextManager[RowTransaction]:
        """Begin a transaction that commits at the end of the block."""
        ...

    async def positions(self, stream: str, created: str) -> tuple[int, Mapping[str, int]]:
        """Return the epoch of a stream's life and the position of each district in it."""
        ...

    async def producers(self, stream: str, names: Sequence[str]) -> Mapping[str, ProducerCount]:
        """Return what was seen of producers."""
        ...
