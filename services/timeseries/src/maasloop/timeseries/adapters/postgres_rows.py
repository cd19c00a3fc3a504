"""Rows and custody in PostgreSQL: the transaction of one lot, on a connection that this writer alone uses."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from psycopg import AsyncCursor, errors
from psycopg import sql as composed

from maasloop.core.clock import from_us
from maasloop.postgres.copy import copy_in, times
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool, connect
from maasloop.runtime.outbox import OutboxRow, append
from maasloop.timeseries.domain.custody import ProducerCount, Terms
from maasloop.timeseries.domain.series import Kind, Table
from maasloop.timeseries.ports.writing import Conflict, Existing, KeyTaken, Lot, Numbers, Other, PositionMoved

from . import sql

type Facts = Callable[[Lot, Sequence[Conflict]], Sequence[OutboxRow]]
"""Makes the facts that tell of conflicts."""

_NUMBER_COLUMNS = ("time", "receipt_time", "value", "series")
_TERMS = (
    "accepted",
    "stored",
    "duplicate",
    "conflict",
    "quarantined",
    "refused_consent",
    "shed",
    "dead_lettered",
)


def _of(statement: str, table: Table) -> composed.Composed:
    return composed.SQL(statement).format(table=composed.Identifier(table.name))


class PostgresRowTransaction:
    """The transaction of one lot."""

    def __init__(self, cursor: AsyncCursor[Any], facts: Facts) -> None:
        """Work with this cursor."""
        self._cursor = cursor
        self._facts = facts

    async def copy(self, numbers: Numbers) -> None:
        """Copy rows that are new."""
        try:
            await copy_in(self._cursor, numbers.table.name, _NUMBER_COLUMNS, _columns(numbers))
        except errors.UniqueViolation as error:
            raise KeyTaken(numbers.table.name) from error

    async def add(self, numbers: Numbers) -> Existing:
        """Store those rows whose key is free, and return what lies under the keys of the others."""
        places = np.arange(len(numbers), dtype=np.int32)
        await self._cursor.execute("TRUNCATE staging")
        await copy_in(self._cursor, "staging", ("place", *_NUMBER_COLUMNS), [places, *_columns(numbers)])
        span = (from_us(int(numbers.time_us.min())), from_us(int(numbers.time_us.max())))
        await self._cursor.execute(_of(sql.EXISTING, numbers.table), span)
        found = await self._cursor.fetchall()
        await self._cursor.execute(_of(sql.ADD, numbers.table))
        if self._cursor.rowcount != len(numbers) - len(found):
            raise KeyTaken(numbers.table.name)
        return Existing(np.array([row[0] for row in found], np.intp), np.array([row[1] for row in found], np.float64))

    async def add_others(self, others: Sequence[Other]) -> Mapping[int, str | tuple[float, float]]:
        """Store states or positions of one table; the first of those under one key stays."""
        table = others[0].table
        states = table.kind is Kind.STATES
        span = (
            from_us(min(other.time_us for other in others)),
            from_us(max(other.time_us for other in others)),
        )
        keys = ([other.series for other in others], [from_us(other.time_us) for other in others])
        await self._cursor.execute(
            _of(sql.EXISTING_STATES if states else sql.EXISTING_POSITIONS, table), (*keys, *span)
        )
        stored = {int(row[0]) - 1: row[1] if states else (row[1], row[2]) for row in await self._cursor.fetchall()}
        first: dict[tuple[int, int], int] = {}
        for place, other in enumerate(others):
            if place not in stored:
                earlier = first.setdefault((other.series, other.time_us), place)
                if earlier != place:
                    stored[place] = others[earlier].result
        new = [others[place] for place in first.values()]
        if new:
            await self._insert(table, new)
        return stored

    async def _insert(self, table: Table, new: Sequence[Other]) -> None:
        columns: list[list[Any]] = [
            [other.series for other in new],
            [from_us(other.time_us) for other in new],
            [from_us(other.receipt_time_us) for other in new],
        ]
        if table.kind is Kind.STATES:
            columns.append([other.result for other in new])
        else:
            columns += [[other.result[axis] for other in new] for axis in (0, 1)]
        statement = sql.ADD_STATES if table.kind is Kind.STATES else sql.ADD_POSITIONS
        try:
            await self._cursor.execute(_of(statement, table), columns)
        except errors.UniqueViolation as error:
            raise KeyTaken(table.name) from error

    async def settle(self, lot: Lot, terms: Mapping[str, Terms], conflicts: Sequence[Conflict]) -> None:
        """Advance positions, add to the terms, and let conflicts leave as facts."""
        if len(lot.hints):
            columns = [lot.hints, times(lot.hint_times_us)]
            await copy_in(self._cursor, "staging_newest", ("series", "event_time"), columns)
            await self._cursor.execute(sql.RENEW_NEWEST)
        if conflicts:
            await append(self._cursor, self._facts(lot, conflicts))
        await self._cursor.execute(
            sql.SETTLE,
            {
                "stream": lot.life.stream,
                "created": lot.life.created,
                "epoch": lot.life.epoch,
                "districts": list(lot.positions),
                "expected": [expected for expected, _ in lot.positions.values()],
                "sequences": [sequence for _, sequence in lot.positions.values()],
                "term_districts": list(terms),
                **{name: [getattr(each, name) for each in terms.values()] for name in _TERMS},
                "producers": list(lot.producers),
                "seen": [count.seen for count in lot.producers.values()],
                "lost": [count.lost for count in lot.producers.values()],
            },
        )
        row = await self._cursor.fetchone()
        if row is None or row[0] != len(lot.positions):
            raise PositionMoved(lot.life.stream)


def _columns(numbers: Numbers) -> list[Any]:
    return [times(numbers.time_us), times(numbers.receipt_time_us), numbers.value, numbers.series]


class PostgresRowStore:
    """Rows and custody, over one connection that is opened again when it is lost."""

    def __init__(
        self,
        dsn: str,
        pool: Pool,
        facts: Facts,
        *,
        name: str,
        before_commit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """``before_commit`` is for tests that end the process between the rows and their commit."""
        self._dsn = dsn
        self._pool = pool
        self._facts = facts
        self._name = name
        self._before_commit = before_commit
        self._connection: Connection | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresRowTransaction]:
        """Begin a transaction that commits at the end of the block."""
        connection = await self._open()
        try:
            with translated():
                async with connection.transaction(), connection.cursor() as cursor:
                    yield PostgresRowTransaction(cursor, self._facts)
                    if self._before_commit is not None:
                        await self._before_commit()
        except BaseException:
            if connection.closed or connection.broken:
                self._connection = None
            raise

    async def positions(self, stream: str, created: str) -> tuple[int, Mapping[str, int]]:
        """Return the epoch of a stream's life and the position of each district in it."""
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(sql.POSITIONS, {"stream": stream, "created": created})
                rows: list[Any] = await cursor.fetchall()
        return (rows[0][0] if rows else 0), {row[1]: row[2] for row in rows}

    async def producers(self, stream: str, names: Sequence[str]) -> Mapping[str, ProducerCount]:
        """Return what was seen of producers."""
        with translated():
            async with self._pool.connection() as connection:
                rows: list[Any] = await (await connection.execute(sql.PRODUCERS, (stream, list(names)))).fetchall()
        return {row[0]: ProducerCount(row[1], row[2]) for row in rows}

    async def close(self) -> None:
        """Close the writer's connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _open(self) -> Connection:
        if self._connection is None:
            connection = await connect(self._dsn, name=self._name)
            await connection.set_autocommit(True)
            for statement in sql.STAGING.split(";"):
                await connection.execute(statement.encode())
            self._connection = connection
        return self._connection
