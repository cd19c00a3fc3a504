"""Answers that hold thousands of messages, as bytes of the wire: buckets and newest observations."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from maasloop.core.ids import ID_LENGTH_MAX, DeviceName
from maasloop.timeseries.ports.reading import Buckets, LatestPage, SeriesRow

from . import wire

ROWS_A_MESSAGE_MAX = 10_000
"""Rows of one ReadAggregatesResponse."""

_NAME = _OBSERVATION = wire.tag(1, wire.LENGTH)
_SHORT = [wire.varint(length) for length in range(1_024)]
"""Lengths of names and observations: ids have 63 characters at most, states 256 bytes."""
_OBSERVATIONS = [_OBSERVATION + length for length in _SHORT]


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


def observations(district: str, page: LatestPage, shown: Sequence[int]) -> bytes:
    """Return the field `observations` of ListLatestObservationsResponse."""
    if not shown:
        return b""
    rows = np.array(shown)
    value = page.value[rows]
    results = wire.one_by_one(
        wire.one_below_the_other(
            [
                wire.timestamps(3, page.time_us[rows]),
                wire.timestamps(4, page.receipt_time_us[rows]),
                wire.doubles(5, value, ~np.isnan(value)),
                *_places(page, rows),
            ]
        )
    )
    before = f"districts/{district}/devices/".encode()
    names = [_NAME + _SHORT[len(before) + length] + before for length in range(ID_LENGTH_MAX + 1)]
    properties = {each: _property_field(each) for each in set(page.observed_properties)}
    devices = [device.encode() for device in page.devices]
    contents = [
        names[len(devices[place])] + devices[place] + properties[page.observed_properties[place]] + result
        for place, result in zip(shown, results, strict=True)
    ]
    if page.states:
        contents = [
            content if (state := page.states[place]) is None else content + wire.delimited(6, state.encode())
            for place, content in zip(shown, contents, strict=True)
        ]
    return b"".join([_OBSERVATIONS[len(content)] + content for content in contents])


def _places(page: LatestPage, rows: NDArray[np.intp]) -> list[wire.Table]:
    if not len(page.longitude):
        return []
    longitude, latitude = page.longitude[rows], page.latitude[rows]
    there = ~np.isnan(longitude)
    return [wire.messages(7, [wire.doubles(1, longitude, there), wire.doubles(2, latitude, there)], there)]


def _named(district: str, device: str, observed_property: str) -> bytes:
    return wire.delimited(1, str(DeviceName(district, device)).encode()) + _property_field(observed_property)


def _property_field(observed_property: str) -> bytes:
    return wire.delimited(2, f"observedProperties/{observed_property}".encode())
