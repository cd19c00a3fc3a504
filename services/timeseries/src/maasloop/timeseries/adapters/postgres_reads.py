"""Bounded reads of rows and of the custody counters."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import IsolationLevel
from psycopg import sql as composed

from maasloop.core.clock import from_us, to_us
from maasloop.core.domains import Retention
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool
from maasloop.timeseries.domain.custody import Terms
from maasloop.timeseries.domain.series import Kind, Table
from maasloop.timeseries.ports.reading import Bucket, GapFill, Newest, Range, Selection, SeriesRow

from . import sql_reads as sql

_EPOCH_SHIFT_US = 946_684_800_000_000
"""Microseconds from 1970 to 2000, PostgreSQL's epoch."""
CUSTODY = ("OBSERVATIONS", "PERSONAL", "QUARANTINE")
"""Streams whose readings are in the balance."""
_RESULTS = {Kind.NUMBERS: ("value",), Kind.STATES: ("state",), Kind.POSITIONS: ("longitude", "latitude")}
_BUCKETS = {
    GapFill.OMIT: sql.BUCKETS,
    GapFill.EMPTY: sql.BUCKETS_EMPTY,
    GapFill.LAST: sql.BUCKETS_LAST,
    GapFill.LINEAR: sql.BUCKETS_LINEAR,
}


def _of(statement: str, table: Table) -> composed.Composed:
    name = composed.Identifier(table.name)
    result = composed.SQL(", ").join(map(composed.Identifier, _RESULTS[table.kind]))
    figures = composed.SQL(sql.FIGURES).format(table=name)
    edges = composed.SQL(sql.EDGES).format(figures=figures)
    return composed.SQL(statement).format(table=name, result=result, figures=figures, edges=edges)


class PostgresReader:
    """Reads for queries; every statement has the pool's time-out."""

    def __init__(self, pool: Pool) -> None:
        """Take connections from this pool."""
        self._pool = pool

    async def series(self, selection: Selection, *, after: tuple[str, str, int] | None, size: int) -> list[SeriesRow]:
        """Return series ordered by device, observed property and id, after a position."""
        device, observed_property, number = after or (None, None, None)
        arguments = {
            "district": selection.district,
            "devices": list(selection.devices),
            "properties": list(selection.observed_properties),
            "after_device": device,
            "after_property": observed_property,
            "after_id": number,
            "size": size,
        }
        async with self._connection() as connection:
            rows: list[Any] = await (await connection.execute(sql.SERIES, arguments)).fetchall()
        return [SeriesRow(row[0], row[1], row[2], Table(Kind(row[3]), Retention(row[4])), row[5]) for row in rows]

    async def newest(self, series: Sequence[SeriesRow]) -> list[Newest]:
        """Return the newest observation of each series that has one."""
        newest = []
        async with self._connection() as connection:
            for table, members in _by_table(series).items():
                cursor = await connection.execute(
                    _of(sql.NEWEST, table), ([member.id for member in members],), binary=True
                )
                rows: list[Any] = await cursor.fetchall()
                newest += [
                    Newest(members[row[0] - 1], to_us(row[1]), to_us(row[2]), row[3] if len(row) == 4 else row[3:])  # noqa: PLR2004 - one result or two
                    for row in rows
                ]
        return newest

    async def range(self, series: SeriesRow, start_us: int, end_us: int, size: int) -> Range:
        """Return the first observations of [start, end)."""
        arguments = (series.id, from_us(start_us), from_us(end_us), size)
        numbers = series.table.kind is Kind.NUMBERS
        statement = _of(sql.RANGE_NUMBERS if numbers else sql.RANGE_OTHERS, series.table)
        async with self._connection() as connection:
            rows: list[Any] = await (await connection.execute(statement, arguments, binary=True)).fetchall()
        if numbers:
            times, values = rows[0]
            return Range(series, _times_us(times or b""), np.frombuffer(values or b"", ">f8").astype(np.float64))
        results = [row[1] if series.table.kind is Kind.STATES else (row[1], row[2]) for row in rows]
        return Range(series, np.array([to_us(row[0]) for row in rows], np.int64), results)

    async def buckets(
        self, series: Sequence[SeriesRow], start_us: int, end_us: int, width_s: int, fill: GapFill, limit: int
    ) -> Mapping[int, Sequence[Bucket]]:
        """Return buckets by series id."""
        found: defaultdict[int, list[Bucket]] = defaultdict(list)
        count = 0
        async with self._connection() as connection:
            for table, members in _by_table(series).items():
                arguments = {
                    "ids": [member.id for member in members],
                    "start": from_us(start_us),
                    "end": from_us(end_us),
                    "width": timedelta(seconds=width_s),
                    "limit": limit - count + 1,
                }
                cursor = await connection.execute(_of(_BUCKETS[fill], table), arguments, binary=True)
                rows: list[Any] = await cursor.fetchall()
                count += len(rows)
                if count > limit:
                    message = f"more than {limit} buckets: ask for less"
                    raise InvalidArgument(Reason.RANGE_TOO_LONG, message, {"limit": str(limit)})
                for number, edge, *figures in rows:
                    found[number].append(Bucket(to_us(edge), *figures))
        return found

    async def terms(self, district: str) -> tuple[Terms, int, Mapping[str, int]]:
        """Return the terms, the readings lost, and how far each stream has been stored, all of the same moment."""
        async with self._connection() as connection:
            await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            try:
                async with connection.transaction():
                    arguments = {"district": district}
                    terms: Any = await (await connection.execute(sql.TERMS, arguments)).fetchone()
                    lost: Any = await (await connection.execute(sql.LOST, arguments)).fetchone()
                    upto: list[Any] = await (await connection.execute(sql.STORED_UPTO)).fetchall()
            finally:
                await connection.set_isolation_level(None)
        return Terms(*terms), int(lost[0]), {**dict.fromkeys(CUSTODY, 0), **{row[0]: row[1] for row in upto}}

    async def drop_chunks(self, table: Table, older_than_us: int) -> int:
        """Drop the chunks of a table that lie wholly before a time, and return how many."""
        statement = composed.SQL(sql.DROP_CHUNKS).format(table=composed.Literal(f'"{table.name}"'))
        async with self._connection() as connection:
            return len(await (await connection.execute(statement, (from_us(older_than_us),))).fetchall())

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with translated():
            async with self._pool.connection() as connection:
                yield connection


def _by_table(series: Sequence[SeriesRow]) -> dict[Table, list[SeriesRow]]:
    tables: defaultdict[Table, list[SeriesRow]] = defaultdict(list)
    for each in series:
        tables[each.table].append(each)
    return tables


def _times_us(sent: bytes) -> NDArray[np.int64]:
    return np.frombuffer(sent, ">i8").astype(np.int64) + _EPOCH_SHIFT_US
