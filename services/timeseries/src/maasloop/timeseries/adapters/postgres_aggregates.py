"""Newest observations and figures of numbers, read as whole columns."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maasloop.core.clock import from_us
from maasloop.core.domains import Retention
from maasloop.postgres.pool import Connection, Pool
from maasloop.timeseries.domain.aggregating import HOUR_US, Grid, Piece, Source, before_window
from maasloop.timeseries.ports.reading import Buckets, GapFill, LatestPage, Selection, SeriesRow

from . import sql_aggregates as sql
from .bucketing import Partials, buckets, joined
from .postgres_reading import chosen_by, column_us, of_table, prepared_for, reading
from .postgres_windows import open_from_us

type _Members = list[tuple[int, int]]
"""Id and position of series of one class."""


class PostgresAggregates:
    """Every statement has the pool's time-out and leaves as a few arrays of bytes."""

    def __init__(self, pool: Pool) -> None:
        """Take connections from this pool."""
        self._pool = pool

    async def latest(self, selection: Selection, *, after: tuple[str, str, int] | None, size: int) -> LatestPage:
        """Return the newest observation of each of ``size`` series after a position."""
        statement, arguments = chosen_by(sql.LATEST, selection, after=after, size=size)
        async with reading(self._pool) as connection:
            cursor = await connection.execute(statement, arguments, binary=True, prepare=prepared_for(selection))
            row: Any = await cursor.fetchone()
        return _page(row)

    async def counts(self, series: Sequence[SeriesRow], start_us: int, end_us: int) -> NDArray[np.int64]:
        """Return how many numbers of each series lie in the whole hours that a range touches."""
        found = np.zeros(len(series), np.int64)
        first_us, last_us = start_us - start_us % HOUR_US, end_us + -end_us % HOUR_US
        async with reading(self._pool) as connection:
            for retention, members, open_us in await _by_class(connection, series):
                for piece in _whole([Piece(Source.HOURS, first_us, last_us)], open_us):
                    counting = sql.COUNTS_OF_ROWS if piece.source is Source.ROWS else sql.COUNTS
                    statement = of_table(counting, f"{piece.source}_{retention}")
                    arguments = _arguments(members, piece.start_us, piece.end_us)
                    rows: list[Any] = await (await connection.execute(statement, arguments, binary=True)).fetchall()
                    for place, count in rows:
                        found[members[place - 1][1]] += count
        return found

    async def buckets(
        self, series: Sequence[SeriesRow], grid: Grid, parts: Mapping[Retention, Sequence[Piece]], fill: GapFill
    ) -> Buckets:
        """Return the buckets of series of numbers, read from the parts of their class."""
        partials = []
        async with reading(self._pool) as connection:
            for retention, members, open_us in await _by_class(connection, series):
                for piece in _whole(parts[retention], open_us):
                    partials += await _partials(connection, retention, members, piece)
        return buckets(series, joined(partials), grid, fill)


def _whole(parts: Sequence[Piece], from_us: int | None) -> Sequence[Piece]:
    return parts if from_us is None else before_window(parts, from_us)


async def _partials(connection: Connection, retention: Retention, members: _Members, piece: Piece) -> list[Partials]:
    statement = of_table(sql.ROWS if piece.source is Source.ROWS else sql.ROLLED_UP, f"{piece.source}_{retention}")
    arguments = _arguments(members, piece.start_us, piece.end_us)
    rows: list[Any] = await (await connection.execute(statement, arguments, binary=True)).fetchall()
    if not rows:
        return []
    places, *columns = zip(*rows, strict=True)
    positions = np.array([members[place - 1][1] for place in places], np.int64)
    place = np.repeat(positions, [len(times) // 8 for times in columns[0]])
    time_us = column_us(b"".join(columns[0]))
    if piece.source is Source.ROWS:
        value = _floats(columns[1])
        return [Partials(place, time_us, np.ones(len(value), np.int64), value, value, value, value, value)]
    count = np.frombuffer(b"".join(columns[1]), ">i8").astype(np.int64)
    total, minimum, maximum, first, last = map(_floats, columns[2:])
    return [Partials(place, time_us, count, total, minimum, maximum, first, last)]


def _page(row: Any) -> LatestPage:  # noqa: ANN401 - a row of bytes, text and null
    names, properties, ids, personal, times, receipts, values, states, longitudes, latitudes = row
    value = _floats([values or b""])
    others = np.flatnonzero(np.isnan(value))
    longitude, latitude = _floats([longitudes or b""]), _floats([latitudes or b""])
    somewhere = not np.isnan(longitude).all()
    return LatestPage(
        devices=names.split("\n") if names else [],
        observed_properties=properties.split("\n") if properties else [],
        ids=np.frombuffer(ids or b"", ">i8").astype(np.int64),
        personal=np.frombuffer((personal or "").encode(), np.uint8) == ord("p"),
        time_us=column_us(times or b""),
        receipt_time_us=column_us(receipts or b""),
        value=value,
        states=_spread(states, others, len(value)) if states and any(states) else (),
        longitude=_apart(longitude, others, len(value)) if somewhere else np.empty(0),
        latitude=_apart(latitude, others, len(value)) if somewhere else np.empty(0),
    )


def _spread(states: Sequence[str | None], places: NDArray[np.intp], size: int) -> list[str | None]:
    """Return the states of some rows as a column of all."""
    column: list[str | None] = [None] * size
    for place, state in zip(places.tolist(), states, strict=True):
        column[place] = state
    return column


def _apart(values: NDArray[np.float64], places: NDArray[np.intp], size: int) -> NDArray[np.float64]:
    """Return the values of some rows as a column of all."""
    column = np.full(size, np.nan)
    column[places] = values
    return column


async def _by_class(
    connection: Connection, series: Sequence[SeriesRow]
) -> list[tuple[Retention, _Members, int | None]]:
    """Return series by district and class, with where the window of each begins."""
    classes: defaultdict[tuple[str, Retention], _Members] = defaultdict(list)
    for place, each in enumerate(series):
        classes[each.district, each.table.retention].append((each.id, place))
    windows = {district: await open_from_us(connection, district) for district, _ in classes}
    return [
        (retention, members, windows[district].get(retention)) for (district, retention), members in classes.items()
    ]


def _arguments(members: _Members, start_us: int, end_us: int) -> dict[str, Any]:
    return {"ids": [number for number, _ in members], "start": from_us(start_us), "end": from_us(end_us)}


def _floats(parts: Sequence[bytes]) -> NDArray[np.float64]:
    return np.frombuffer(b"".join(parts), ">f8").astype(np.float64)
