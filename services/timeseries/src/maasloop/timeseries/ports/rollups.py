"""What a lot's numbers come to: figures of minutes and hours, and the newest of each series, reduced without a loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rows import Numbers

MINUTE_US = 60 * 1_000_000
HOUR_US = 60 * MINUTE_US
_MINUTE_BITS = 32
_MINUTE_SHIFT = 1 << 31
"""Series and minute in one number: minutes before 1970 are negative."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of buckets of one width, by series and then time; no two of the same bucket."""

    series: NDArray[np.int32]
    time_us: NDArray[np.int64]
    """Left edges. Minutes and hours counted from 1970 are those counted from 2000-01-03."""
    first_time_us: NDArray[np.int64]
    last_time_us: NDArray[np.int64]
    count: NDArray[np.int64]
    total: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.series)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Figures":
        """Return some of them."""
        return Figures(
            self.series[rows],
            self.time_us[rows],
            self.first_time_us[rows],
            self.last_time_us[rows],
            self.count[rows],
            self.total[rows],
            self.minimum[rows],
            self.maximum[rows],
            self.first[rows],
            self.last[rows],
        )

    def wider(self, width_us: int) -> "Figures":
        """Return the figures of wider buckets."""
        edges, starts, ends = _buckets(self.series, self.time_us, width_us)
        return Figures(
            self.series[starts],
            edges,
            self.first_time_us[starts],
            self.last_time_us[ends],
            np.add.reduceat(self.count, starts),
            _sums(self.total, starts),
            np.minimum.reduceat(self.minimum, starts),
            np.maximum.reduceat(self.maximum, starts),
            self.first[starts],
            self.last[ends],
        )


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest of a lot's numbers by series, and how many became rows."""

    series: NDArray[np.int32]
    time_us: NDArray[np.int64]
    receipt_time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    stored: NDArray[np.int64]
    late: NDArray[np.int64]


def minutes(numbers: Numbers) -> Figures:
    """Return the figures of the minutes of (some) numbers."""
    edges, starts, ends = _buckets(numbers.series, numbers.time_us, MINUTE_US)
    return Figures(
        numbers.series[starts],
        edges,
        numbers.time_us[starts],
        numbers.time_us[ends],
        ends - starts + 1,
        _sums(numbers.value, starts),
        np.minimum.reduceat(numbers.value, starts),
        np.maximum.reduceat(numbers.value, starts),
        numbers.value[starts],
        numbers.value[ends],
    )


def joined(parts: Sequence[Figures]) -> Figures:
    """Return the figures of (some) figures of minutes that share no reading."""
    if len(parts) == 1:
        return parts[0]
    series, time_us = _column(parts, "series"), _column(parts, "time_us")
    order = np.argsort(series.astype(np.int64) << _MINUTE_BITS | (time_us // MINUTE_US + _MINUTE_SHIFT))
    series, time_us = series[order], time_us[order]
    starts = _starts((series[1:] != series[:-1]) | (time_us[1:] != time_us[:-1]))
    lengths = _ends(starts, len(series)) + 1 - starts
    first_us, last_us = _column(parts, "first_time_us")[order], _column(parts, "last_time_us")[order]
    first_time_us, last_time_us = np.minimum.reduceat(first_us, starts), np.maximum.reduceat(last_us, starts)
    return Figures(
        series[starts],
        time_us[starts],
        first_time_us,
        last_time_us,
        np.add.reduceat(_column(parts, "count")[order], starts),
        _sums(_column(parts, "total")[order], starts),
        np.minimum.reduceat(_column(parts, "minimum")[order], starts),
        np.maximum.reduceat(_column(parts, "maximum")[order], starts),
        # They share no reading, so that one of each run is the first, and one the last.
        _column(parts, "first")[order][first_us == np.repeat(first_time_us, lengths)],
        _column(parts, "last")[order][last_us == np.repeat(last_time_us, lengths)],
    )


def latest(numbers: Numbers) -> Latest:
    """Return the newest of each series of (some) numbers."""
    starts = _starts(numbers.series[1:] != numbers.series[:-1])
    ends = _ends(starts, len(numbers))
    newest = numbers.take(ends)
    late = np.add.reduceat(numbers.late, starts, dtype=np.int64)
    return Latest(newest.series, newest.time_us, newest.receipt_time_us, newest.value, ends - starts + 1, late)


def _buckets(
    series: NDArray[np.int32], time_us: NDArray[np.int64], width_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return left edges of the buckets, and where each starts and ends."""
    edges = time_us - time_us % width_us
    starts = _starts((series[1:] != series[:-1]) | (edges[1:] != edges[:-1]))
    return edges[starts], starts, _ends(starts, len(series))


def _column(parts: Sequence[Figures], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(part, name) for part in parts])


def _starts(changes: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.concatenate((np.zeros(1, np.int64), np.flatnonzero(changes) + 1))


def _ends(starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    return np.append(starts[1:], length) - 1


def _sums(values: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.add.reduceat(values, starts)
