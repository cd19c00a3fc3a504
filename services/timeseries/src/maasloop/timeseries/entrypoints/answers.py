"""Answers that hold thousands of messages, as bytes of the wire: buckets and newest observations."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from maasloop.core.ids import DeviceName
from maasloop.timeseries.ports.reading import Buckets, LatestPage, SeriesRow

from . import wire

ROWS_A_MESSAGE_MAX = 10_000
"""Rows of one ReadAggregatesResponse."""


def series_name(district: str, series: SeriesRow) -> bytes:
    """Return the fields `device` and `observed_property` of a series, or of many devices together."""
    if not series.device:
        return _property_field(series.observed_property)
    return _named(district, series.device, series.observed_property)


def series_buckets(district: str, buckets: Buckets) -> bytes:
    """Return the field `series` of AggregateObservationsResponse: buckets by series, those without any left out."""
    if not len(buckets):
        return b""
    figures = ((3, buckets.mean), (4, buckets.minimum), (5, buckets.maximum), (6, buckets.first), (7, buckets.last))
    table = wire.messages(
        3,
        [
            wire.timestamps(1, buckets.start_us),
            wire.varints(2, buckets.count),
            *(wire.doubles(field, values, ~np.isnan(values)) for field, values in figures),
        ],
    )
    content, ends = wire.serialized(table), np.cumsum(wire.lengths_of(table))
    firsts = np.flatnonzero(np.diff(buckets.series_index, prepend=-1))
    lasts = np.append(firsts[1:], len(buckets)) - 1
    parts, start = [], 0
    for place, end in zip(buckets.series_index[firsts].tolist(), ends[lasts].tolist(), strict=True):
        parts.append(wire.delimited(1, series_name(district, buckets.series[place]) + content[start:end]))
        start = end
    return b"".join(parts)


def aggregate_columns(district: str, buckets: Buckets) -> Iterator[bytes]:
    """Yield ReadAggregatesResponses."""
    for start in range(0, len(buckets), ROWS_A_MESSAGE_MAX):
        rows = slice(start, start + ROWS_A_MESSAGE_MAX)
        index = buckets.series_index[rows]
        first, last = int(index[0]), int(index[-1])
        columns: list[tuple[int, NDArray[np.generic]]] = [
            (2, (index - first).astype("<u4")),
            (3, buckets.start_us[rows].astype("<i8", copy=False)),
            (4, buckets.count[rows].astype("<i8", copy=False)),
            (5, buckets.mean[rows]),
            (6, buckets.minimum[rows]),
            (7, buckets.maximum[rows]),
            (8, buckets.first[rows]),
            (9, buckets.last[rows]),
        ]
        names = [wire.delimited(1, series_name(district, each)) for each in buckets.series[first : last + 1]]
        yield b"".join([*names, *(wire.delimited(field, column.tobytes()) for field, column in columns)])


def observations(district: str, page: LatestPage, shown: NDArray[np.intp]) -> bytes:
    """Return the field `observations` of ListLatestObservationsResponse."""
    if not len(shown):
        return b""
    if len(shown) < len(page):
        page = page.take(shown)
    table = wire.messages(
        1,
        [
            wire.texts(1, f"districts/{district}/devices/", page.devices),
            wire.texts(2, "observedProperties/", page.observed_properties),
            wire.timestamps(3, page.time_us),
            wire.timestamps(4, page.receipt_time_us),
            wire.doubles(5, page.value, ~np.isnan(page.value)),
            *_states(page),
            *_places(page),
        ],
    )
    return wire.serialized(table)


def _states(page: LatestPage) -> list[wire.Table]:
    if not page.states:
        return []
    there = np.array([state is not None for state in page.states])
    return [wire.texts(6, "", [state or "" for state in page.states], there)]


def _places(page: LatestPage) -> list[wire.Table]:
    if not len(page.longitude):
        return []
    there = ~np.isnan(page.longitude)
    return [wire.messages(7, [wire.doubles(1, page.longitude, there), wire.doubles(2, page.latitude, there)], there)]


def _named(district: str, device: str, observed_property: str) -> bytes:
    return wire.delimited(1, str(DeviceName(district, device)).encode()) + _property_field(observed_property)


def _property_field(observed_property: str) -> bytes:
    return wire.delimited(2, f"observedProperties/{observed_property}".encode())
