"""Bring a lot's numbers into the order of their tables: by series and then time.

One sort of one integer a row, where series and time fit into it, is several times cheaper than a sort by columns.
"""

import numpy as np
from numpy.typing import NDArray

from maasloop.timeseries.domain.series import TABLES

from .rows import Numbers

KEY_BITS = 63


def by_series(whole: Numbers, tables: NDArray[np.uint8]) -> list[Numbers]:
    """Return numbers in the order in which they came by table, each ordered by series and then time.

    Of two under one key the one that came first stays first. What is older than something of its series that came
    before is marked as late.
    """
    found = np.flatnonzero(np.bincount(tables, minlength=len(TABLES))).tolist()
    if len(found) == 1:
        return [_sorted(_of(whole, found[0], slice(None)))]
    return [_sorted(_of(whole, table, np.flatnonzero(tables == table))) for table in found]


def _of(whole: Numbers, table: int, rows: NDArray[np.intp] | slice) -> Numbers:
    return Numbers(
        TABLES[table],
        whole.series[rows],
        whole.time_us[rows],
        whole.value[rows],
        whole.origin[rows],
        whole.late[rows],
        whole.receipts_us,
    )


def _sorted(numbers: Numbers) -> Numbers:
    order = _order(numbers.series, numbers.time_us)
    if order is None:
        return numbers
    ordered = numbers.take(order)
    ordered.late[:] = _late(ordered.series, order)
    return ordered


def _order(series: NDArray[np.int32], time_us: NDArray[np.int64]) -> NDArray[np.intp] | None:
    """Return the order, or nothing where the rows have it already."""
    if len(series) == 1:
        return None
    first_series, first_us = int(series.min()), int(time_us.min())
    time_bits = (int(time_us.max()) - first_us).bit_length()
    if (int(series.max()) - first_series).bit_length() + time_bits > KEY_BITS:
        return np.lexsort((time_us, series))
    key = (series.astype(np.int64) - first_series) << time_bits
    key |= time_us - first_us
    order = np.argsort(key)
    ordered = key[order]
    if bool((ordered[1:] == ordered[:-1]).any()):
        # The quick sort mixes equal keys.
        order = np.argsort(key, kind="stable")
    return order


def _late(series: NDArray[np.int32], order: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell which rows, ordered by series and time, came after one that is newer; ``order`` is when they came."""
    same = series[1:] == series[:-1]
    late = np.zeros(len(series), np.bool_)
    if not bool((same & (order[1:] < order[:-1])).any()):
        return late
    # The earliest arrival of all that is newer, by series: one running minimum from the end, in which a series of
    # a lower number always has lower figures.
    segment = np.concatenate((np.zeros(1, np.int64), np.cumsum(~same)))
    arrival = order + segment * len(order)
    earliest = np.minimum.accumulate(arrival[::-1])[::-1]
    late[:-1] = same & (earliest[1:] < arrival[:-1])
    return late
