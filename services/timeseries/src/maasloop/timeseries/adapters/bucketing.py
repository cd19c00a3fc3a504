"""Figures of buckets out of partial ones, for many series at once, without a loop over rows or buckets.

A partial figure is a row (count 1) or a minute or hour of a rollup. Partials come ordered by series and then time; those
of one bucket stand together, so that a bucket is a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maasloop.timeseries.domain.aggregating import Grid
from maasloop.timeseries.ports.reading import Buckets, GapFill, SeriesRow

type Floats = NDArray[np.float64]
type Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Partials:
    """Partial figures as columns; ``place`` is the position of the series."""

    place: Integers
    time_us: Integers
    count: Integers
    total: Floats
    minimum: Floats
    maximum: Floats
    first: Floats
    last: Floats


def joined(parts: Sequence[Partials]) -> Partials:
    """Join parts that follow each other in time, ordered by series and then time."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        none, nothing = np.empty(0, np.int64), np.empty(0)
        return Partials(none, none, none, nothing, nothing, nothing, nothing, nothing)
    place = np.concatenate([part.place for part in parts])
    # Each part is in order of time and the parts follow each other, so that a stable sort by series is enough.
    order = np.argsort(place, kind="stable")
    return Partials(
        place[order],
        np.concatenate([part.time_us for part in parts])[order],
        np.concatenate([part.count for part in parts])[order],
        np.concatenate([part.total for part in parts])[order],
        np.concatenate([part.minimum for part in parts])[order],
        np.concatenate([part.maximum for part in parts])[order],
        np.concatenate([part.first for part in parts])[order],
        np.concatenate([part.last for part in parts])[order],
    )


def buckets(series: Sequence[SeriesRow], partials: Partials, grid: Grid, fill: GapFill) -> Buckets:
    """Reduce partials to buckets and fill the gaps."""
    number = (partials.time_us - grid.first_edge_us) // grid.width_us
    found = _reduced(series, partials, partials.place * grid.buckets + number, grid)
    if fill is GapFill.OMIT or not series:
        return found
    return _filled(_whole(found, grid), grid, fill)


def _reduced(series: Sequence[SeriesRow], partials: Partials, key: Integers, grid: Grid) -> Buckets:
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    if len(starts) == len(key):
        count, total = partials.count, partials.total
        minimum, maximum, first, last = partials.minimum, partials.maximum, partials.first, partials.last
    else:
        count, total = np.add.reduceat(partials.count, starts), np.add.reduceat(partials.total, starts)
        minimum = np.minimum.reduceat(partials.minimum, starts)
        maximum = np.maximum.reduceat(partials.maximum, starts)
        first, last = partials.first[starts], partials.last[np.append(starts[1:], len(key)) - 1]
        key = key[starts]
    place, number = np.divmod(key, max(grid.buckets, 1))
    edges_us = grid.first_edge_us + number * grid.width_us
    return Buckets(series, place, edges_us, count, total / count, minimum, maximum, first, last)


def _whole(found: Buckets, grid: Grid) -> Buckets:
    """Return every bucket of every series; those without readings have count 0 and NaN."""
    size = len(found.series) * grid.buckets
    at = found.series_index * grid.buckets + (found.start_us - grid.first_edge_us) // grid.width_us
    place, number = np.divmod(np.arange(size), grid.buckets)
    count = np.zeros(size, np.int64)
    count[at] = found.count
    columns = []
    for figures in (found.mean, found.minimum, found.maximum, found.first, found.last):
        column = np.full(size, np.nan)
        column[at] = figures
        columns.append(column)
    return Buckets(found.series, place, grid.first_edge_us + number * grid.width_us, count, *columns)


def _filled(whole: Buckets, grid: Grid, fill: GapFill) -> Buckets:
    if fill is GapFill.EMPTY or not len(whole):
        return whole
    shape = (len(whole.series), grid.buckets)
    here = (whole.count > 0).reshape(shape)
    own = np.broadcast_to(np.arange(grid.buckets), shape)
    before = np.maximum.accumulate(np.where(here, own, -1), axis=1)
    if fill is GapFill.LAST:
        row = np.arange(shape[0])[:, None] * grid.buckets
        value = np.where(before >= 0, whole.last[row + np.maximum(before, 0)], np.nan).ravel()
        empty = ~here.ravel()
        columns = [
            np.where(empty, value, column)
            for column in (whole.mean, whole.minimum, whole.maximum, whole.first, whole.last)
        ]
        return Buckets(whole.series, whole.series_index, whole.start_us, whole.count, *columns)
    mean = _lines(whole.mean.reshape(shape), here, before, own).ravel()
    return Buckets(
        whole.series, whole.series_index, whole.start_us, whole.count, mean,
        whole.minimum, whole.maximum, whole.first, whole.last,
    )  # fmt: skip


def _lines(mean: Floats, here: NDArray[np.bool_], before: Integers, own: Integers) -> Floats:
    """Return means with straight lines between neighbours; before the first and after the last stays NaN."""
    width = mean.shape[1]
    after = np.minimum.accumulate(np.where(here, own, width)[:, ::-1], axis=1)[:, ::-1]
    between = (before >= 0) & (after < width) & ~here
    row, column = np.nonzero(between)
    left, right = before[between], after[between]
    from_mean, to_mean = mean[row, left], mean[row, right]
    filled = mean.copy()
    filled[between] = from_mean + (to_mean - from_mean) * ((column - left) / (right - left))
    return filled
