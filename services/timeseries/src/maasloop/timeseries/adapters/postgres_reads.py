"""Bounded reads of rows and of the custody counters."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from psycopg import IsolationLevel
from psycopg import sql as composed

from maasloop.core.clock import from_us, to_us
from maasloop.core.domains import Retention
from maasloop.postgres.pool import Pool
from maasloop.timeseries.domain.custody import Terms
from maasloop.timeseries.domain.series import Kind, Table
from maasloop.timeseries.ports.reading import Range, Selection, SeriesRow

from . import sql_reads as sql
from .postgres_reading import chosen_by, column_us, prepared_for, reading

CUSTODY = ("OBSERVATIONS", "PERSONAL", "QUARANTINE")
"""Streams whose readings are in the balance."""
_RESULTS = {Kind.NUMBERS: ("value",), Kind.STATES: ("state",), Kind.POSITIONS: ("longitude", "latitude")}


def _of(statement: str, table: Table) -> composed.Composed:
    name = composed.Identifier(table.name)
    result = composed.SQL(", ").join(map(composed.Identifier, _RESULTS[table.kind]))
    return composed.SQL(statement).format(table=name, result=result)


class PostgresReader:
    """Reads for queries; every statement has the pool's time-out."""

    def __init__(self, pool: Pool) -> None:
        """Take connections from this pool."""
        self._pool = pool

    async def series(self, selection: Selection, *, after: tuple[str, str, int] | None, size: int) -> list[SeriesRow]:
        """Return series ordered by device, observed property and id, after a position."""
        statement, arguments = chosen_by(sql.SERIES, selection, after=after, size=size)
        async with reading(self._pool) as connection:
            cursor = await connection.execute(statement, arguments, prepare=prepared_for(selection))
            rows: list[Any] = await cursor.fetchall()
        return [
            SeriesRow(
                row[0], row[1], row[2], Table(Kind(row[3]), Retention(row[4])), row[5], row[6], selection.district
            )
            for row in rows
        ]

    async def range(self, series: SeriesRow, start_us: int, end_us: int, size: int) -> Range:
        """Return the first observations of [start, end)."""
        arguments = (series.id, from_us(start_us), from_us(end_us), size)
        numbers = series.table.kind is Kind.NUMBERS
        statement = _of(sql.RANGE_NUMBERS if numbers else sql.RANGE_OTHERS, series.table)
        async with reading(self._pool) as connection:
            rows: list[Any] = await (await connection.execute(statement, arguments, binary=True)).fetchall()
        if numbers:
            times, values = rows[0]
            return Range(series, column_us(times or b""), np.frombuffer(values or b"", ">f8").astype(np.float64))
        results = [row[1] if series.table.kind is Kind.STATES else (row[1], row[2]) for row in rows]
        return Range(series, np.array([to_us(row[0]) for row in rows], np.int64), results)

    async def terms(self, district: str) -> tuple[Terms, int, Mapping[str, int]]:
        """Return the terms, the readings lost, and how far each stream has been stored, all of the same moment."""
        async with reading(self._pool) as connection:
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

    async def drop_chunks(self, table: str, older_than_us: int) -> int:
        """Drop the chunks of a table that lie wholly before a time, and return how many."""
        statement = composed.SQL(sql.DROP_CHUNKS).format(table=composed.Literal(f'"{table}"'))
        async with reading(self._pool) as connection:
            return len(await (await connection.execute(statement, (from_us(older_than_us),))).fetchall())
