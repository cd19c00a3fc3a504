"""Readings on their way into a table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maasloop.timeseries.domain.series import Table


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one table, by series and then time; no two under the same key."""

    table: Table
    series: NDArray[np.int32]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    origin: NDArray[np.int32]
    """Which message of the lot each came in."""
    late: NDArray[np.bool_]
    """Older than the newest of their series when they came."""
    receipts_us: NDArray[np.int64]
    """By message of the lot: when it was received."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.series)

    @property
    def receipt_time_us(self) -> NDArray[np.int64]:
        """When each was received."""
        return self.receipts_us[self.origin]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Numbers":
        """Return some of them."""
        return Numbers(
            self.table,
            self.series[rows],
            self.time_us[rows],
            self.value[rows],
            self.origin[rows],
            self.late[rows],
            self.receipts_us,
        )


@dataclass(frozen=True, slots=True)
class Repeats:
    """Numbers whose key another one of the same lot has."""

    numbers: Numbers
    kept: NDArray[np.float64]
    """The value of that one, which is kept unless the key is taken already."""


@dataclass(frozen=True, slots=True)
class Other:
    """A state or a position on its way into its table."""

    table: Table
    series: int
    time_us: int
    receipt_time_us: int
    result: str | tuple[float, float]
    origin: int
    """Which message of the lot it came in."""
    late: bool
    """Older than the newest of its series when it came."""


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


@dataclass(frozen=True, slots=True)
class Conflict:
    """A reading whose key holds another value."""

    series: int
    time_us: int
    receipt_time_us: int
    result: float | str | tuple[float, float]
    origin: int
    """Which message of the lot it came in."""
