"""Rows and custody in PostgreSQL: transactions of lots, on connections that this writer alone uses."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, LiteralString

import numpy as np
from numpy.typing import NDArray
from psycopg import AsyncCursor, errors
from psycopg import sql as composed
from psycopg.pq import TransactionStatus

from maasloop.core.clock import from_us
from maasloop.core.domains import Retention
from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason
from maasloop.postgres.arrays import Packed, packed, register_packed
from maasloop.postgres.copy import copy_in, times
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool, connect
from maasloop.runtime.outbox import OutboxRow, append
from maasloop.timeseries.domain.counting import PayloadCount
from maasloop.timeseries.domain.custody import DeviceTerms, ProducerCount, Terms
from maasloop.timeseries.domain.partitioning import WHOLE, Share
from maasloop.timeseries.domain.sequence import Life, Seam
from maasloop.timeseries.ports.rollups import HOUR_US, Figures, Latest
from maasloop.timeseries.ports.rows import Conflict, Existing, Numbers, Other
from maasloop.timeseries.ports.writing import Account, DeviceName, KeyTaken, Lot, PositionMoved, Stored

from . import sql, sql_partitions, sql_windows
from .postgres_chunks import PostgresChunks
from .postgres_fence import PostgresFence
from .postgres_others import add_others
from .postgres_windows import PostgresWindows

type Facts = Callable[[Lot, Sequence[Conflict]], Sequence[OutboxRow]]
"""Makes the facts that tell of conflicts."""

ROWS_A_STATEMENT = 20_000
"""Rows that are merged at once: a connection keeps the room of its longest statement, 12 MiB for 100,000 figures."""
_NUMBER_COLUMNS = ("time", "receipt_time", "value", "series")
_FIGURE_COLUMNS = (
    "series", "time", "first_time", "last_time", "count", "sum", "minimum", "maximum", "first", "last",
)  # fmt: skip
_TERMS = (
    "accepted",
    "stored",
    "duplicate",
    "conflict",
    "quarantined",
    "refused_consent",
    "shed",
    "dead_lettered",
    "late",
)


def _into(statement: str, target: composed.Identifier) -> composed.Composed:
    return composed.SQL(statement).format(table=target)


class PostgresRowTransaction:
    """The transaction of one lot."""

    def __init__(self, cursor: AsyncCursor[Any], chunks: PostgresChunks, facts: Facts, partition: int) -> None:
        """Work with this cursor, for a partition."""
        self._cursor = cursor
        self._partition = partition
        self._chunks = chunks
        self._facts = facts

    async def copy(self, numbers: Numbers) -> None:
        """Copy rows that are new."""
        for part in await self._chunks.parts(numbers.table.name, numbers.time_us):
            rows = numbers if part.rows is None else numbers.take(part.rows)
            columns = [times(rows.time_us), times(rows.receipt_time_us), rows.value, rows.series]
            try:
                await copy_in(self._cursor, part.target, _NUMBER_COLUMNS, columns)
            except errors.UniqueViolation as error:
                raise KeyTaken(numbers.table.name) from error

    async def add(self, numbers: Numbers) -> Existing:
        """Store those rows whose key is free, and return what lies under the keys of the others."""
        places, values = [], []
        for part in await self._chunks.parts(numbers.table.name, numbers.time_us):
            where = np.arange(len(numbers)) if part.rows is None else np.flatnonzero(part.rows)
            existing = await self._add_to(part.target, numbers.take(where))
            places.append(where[existing.places])
            values.append(existing.value)
        return Existing(np.concatenate(places), np.concatenate(values))

    async def _add_to(self, target: composed.Identifier, numbers: Numbers) -> Existing:
        keys = [packed(numbers.series), packed(times(numbers.time_us))]
        span = (from_us(int(numbers.time_us.min())), from_us(int(numbers.time_us.max())))
        await self._cursor.execute(_into(sql.EXISTING, target), [*keys, *span])
        row: Any = await self._cursor.fetchone()
        places = np.frombuffer(row[0] or b"", ">i8").astype(np.intp) - 1
        free = np.ones(len(numbers), np.bool_)
        free[places] = False
        if free.any():
            new = numbers.take(free)
            columns = [new.series, times(new.time_us), times(new.receipt_time_us), new.value]
            await self._cursor.execute(_into(sql.ADD, target), [packed(column) for column in columns])
            if self._cursor.rowcount != len(new):
                # Another transaction stored one of them between the two statements.
                raise KeyTaken(numbers.table.name)
        return Existing(places, np.frombuffer(row[1] or b"", ">f8").astype(np.float64))

    async def add_others(self, others: Sequence[Other]) -> Mapping[int, str | tuple[float, float]]:
        """Store states or positions of one table; the first of those under one key stays."""
        return await add_others(self._cursor, others)

    async def merge_at_once(self) -> None:
        """Say that what is stored is merged in this transaction."""
        await self._cursor.execute(sql_windows.SHARE, (self._partition,))

    async def roll_up(self, retention: Retention, minutes: Figures, *, merged_before: bool) -> None:
        """Add to the minutes of a class, and to its hours."""
        table = f"minutes_{retention}"
        if merged_before or not await self._copied(table, minutes):
            await self._merge_figures(table, minutes)
        await self._merge_figures(f"hours_{retention}", minutes.wider(HOUR_US))

    async def renew(self, latest: Latest) -> None:
        """Add to newest values."""
        await self._cursor.execute(sql.LATEST_ALONE, (self._partition,))
        left = len(latest.series)
        for statement in (sql.RENEW_LATEST, sql.BEGIN_LATEST):
            for piece in _pieces(_latest_columns(latest)) if left else ():
                await self._cursor.execute(statement, piece)
                left -= self._cursor.rowcount
        if left:
            raise KeyTaken("latest")

    async def move_windows(self, owner: int, edges: Mapping[Retention, int]) -> None:
        """Let windows begin elsewhere."""
        arguments = (list(edges), [from_us(edge_us) for edge_us in edges.values()], self._partition, owner)
        await self._cursor.execute(sql_windows.MOVE, arguments)
        if self._cursor.rowcount != len(edges):
            message = "rollup windows"
            raise PositionMoved(message)

    async def _copied(self, table: str, figures: Figures) -> bool:
        """Copy figures, which costs 40 % of merging them; false where another writer has merged one of these buckets."""
        try:
            async with self._cursor.connection.transaction():
                for part in await self._chunks.parts(table, figures.time_us):
                    rows = figures if part.rows is None else figures.take(part.rows)
                    await copy_in(self._cursor, part.target, _FIGURE_COLUMNS, _figure_columns(rows))
        except errors.UniqueViolation:
            return False
        return True

    async def _merge_figures(self, table: str, figures: Figures) -> None:
        for part in await self._chunks.parts(table, figures.time_us):
            rows = figures if part.rows is None else figures.take(part.rows)
            for piece in _pieces(_figure_columns(rows)):
                await self._cursor.execute(_into(sql.MERGE_FIGURES, part.target), piece)

    async def account(
        self, terms: Mapping[DeviceName, DeviceTerms], counting: Sequence[DeviceName]
    ) -> Mapping[DeviceName, PayloadCount]:
        """Add to accounts of devices, and lock and return the counts of those that count."""
        names = sorted(terms.keys() | set(counting))
        changes = [terms.get(name, DeviceTerms()) for name in names]
        arguments = [
            [name.district for name in names],
            [name.device for name in names],
            [each.duplicate for each in changes],
            [each.conflict for each in changes],
            [each.quarantined for each in changes],
        ]
        await self._cursor.execute(sql.ACCOUNT, arguments)
        rows: list[Any] = await self._cursor.fetchall()
        known = {DeviceName(row[0], row[1]): PayloadCount(row[2], row[3], int(row[4], 2)) for row in rows}
        return {name: known[name] for name in counting}

    async def count(self, counts: Mapping[DeviceName, PayloadCount]) -> None:
        """Store what was heard of devices that count."""
        arguments = [
            [name.district for name in counts],
            [name.device for name in counts],
            [each.last for each in counts.values()],
            [each.missing for each in counts.values()],
            [f"{each.heard:064b}" for each in counts.values()],
        ]
        await self._cursor.execute(sql.COUNT, arguments)

    async def settle(self, lot: Lot, terms: Mapping[Account, Terms], conflicts: Sequence[Conflict]) -> None:
        """Advance positions, add to the terms, and let conflicts leave as facts."""
        if conflicts:
            await append(self._cursor, self._facts(lot, conflicts))
        # In one order, because writers of other streams add to the same rows.
        accounts = sorted(terms)
        producers = sorted(lot.producers)
        await self._cursor.execute(
            sql.SETTLE,
            {
                "stream": lot.life.stream,
                "created": lot.life.created,
                "epoch": lot.life.epoch,
                "districts": list(lot.positions),
                "expected": [expected for expected, _ in lot.positions.values()],
                "sequences": [sequence for _, sequence in lot.positions.values()],
                "term_districts": [account.district for account in accounts],
                "term_doors": [account.door for account in accounts],
                **{name: [getattr(terms[account], name) for account in accounts] for name in _TERMS},
                "producers": producers,
                "seen": [lot.producers[producer].seen for producer in producers],
                "lost": [lot.producers[producer].lost for producer in producers],
                **self._floors(lot.floor),
            },
        )
        row = await self._cursor.fetchone()
        if row is None or row[0] != len(lot.positions):
            raise PositionMoved(lot.life.stream)

    def _floors(self, floor: int | None) -> dict[str, int | None]:
        return {"partition": self._partition, "floor": floor, "heard": 0 if self._partition else floor}


def _pieces(columns: Sequence[NDArray[Any]]) -> Iterator[list[Packed]]:
    """Return columns as arguments of one statement after another."""
    for start in range(0, len(columns[0]), ROWS_A_STATEMENT):
        yield [packed(column[start : start + ROWS_A_STATEMENT]) for column in columns]


def _figure_columns(figures: Figures) -> list[NDArray[Any]]:
    return [
        figures.series,
        times(figures.time_us),
        times(figures.first_time_us),
        times(figures.last_time_us),
        figures.count,
        figures.total,
        figures.minimum,
        figures.maximum,
        figures.first,
        figures.last,
    ]


def _latest_columns(latest: Latest) -> list[NDArray[Any]]:
    times_us = (times(latest.time_us), times(latest.receipt_time_us))
    return [latest.series, *times_us, latest.value, latest.stored, latest.late]


class PostgresRowStore:
    """Rows and custody, over two connections that are opened again when they are lost."""

    def __init__(
        self,
        dsn: str,
        pool: Pool,
        facts: Facts,
        *,
        name: str,
        share: Share = WHOLE,
        fence: PostgresFence | None = None,
        before_commit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Every transaction that writes requires the ``fence``; none is a sabotage for tests.

        ``before_commit`` is for tests that end the process between the rows and their commit.
        """
        self._share = share
        self._fence = fence
        self._dsn = dsn
        self._pool = pool
        self._facts = facts
        self._name = name
        self._before_commit = before_commit
        self._chunks = PostgresChunks(pool)
        self._windows = PostgresWindows(pool, share, fence)
        self._free: list[Connection] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresRowTransaction]:
        """Begin a transaction that commits at the end of the block; raises ``Fenced`` there.

        Raises ``Unavailable`` where a chunk was dropped that the writer knew.
        """
        connection = self._free.pop() if self._free else await self._open()
        try:
            with translated():
                async with connection.transaction(), connection.cursor() as cursor:
                    yield PostgresRowTransaction(cursor, self._chunks, self._facts, self._share.partition)
                    if self._before_commit is not None:
                        await self._before_commit()
                    if self._fence is not None:
                        await self._fence.require(cursor)
        except errors.UndefinedTable as error:
            # A chunk that was known has been dropped meanwhile: the next transaction asks for them, or makes it anew.
            self._chunks.forget()
            message = "a chunk is there no more"
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, message, {"neighbour": "database"}) from error
        except BaseException:
            self._chunks.forget()
            raise
        finally:
            if connection.info.transaction_status is TransactionStatus.IDLE:
                self._free.append(connection)
            else:
                await connection.close()

    async def take_over(self) -> tuple[int, Mapping[Retention, int | None]]:
        """Take the windows over: all rows are in rollups."""
        return await self._windows.take_over()

    async def stored(self, stream: str, created: str) -> Stored:
        """Return what is stored of the newest epoch of a stream's life."""
        with translated():
            async with self._pool.connection() as connection:
                arguments = {"stream": stream, "created": created}
                rows: list[Any] = await (await connection.execute(sql_partitions.STORED, arguments)).fetchall()
        return stored_by(self._share, rows)

    async def pass_over(self, life: Life, sequence: int) -> None:
        """Say that everything of the partition up to here is stored, where nothing of it came; raises ``Fenced``."""
        heard = 0 if self._share.partition else sequence
        told = {"partition": self._share.partition, "sequence": sequence, "heard": heard}
        await self._execute(sql_partitions.FLOOR_RAISE, asdict(life) | told)

    async def inherited(self, life: Life) -> Sequence[tuple[Share, Seam]]:
        """Return what lanes of partitions stored that were divided otherwise."""
        with translated():
            async with self._pool.connection() as connection:
                found = await connection.execute(sql_partitions.SEAMS_INHERITED, asdict(life))
                rows: list[Any] = await found.fetchall()
        return [(Share(row[0], row[1]), Seam(row[2], row[3])) for row in rows]

    async def seam(self, lane: Life) -> Seam | None:
        """Return what a lane stored, nothing where it does not exist."""
        with translated():
            async with self._pool.connection() as connection:
                row: Any = await (await connection.execute(sql.SEAM, asdict(lane))).fetchone()
        return None if row is None or row[0] is None else Seam(row[0], row[1])

    async def open_seam(self, lane: Life, after: int) -> None:
        """Let a lane begin after a message."""
        await self._execute(sql.SEAM_OPEN, asdict(lane) | {"after": after})

    async def close_seam(self, lane: Life) -> None:
        """Forget a lane, whose messages the other lane has passed."""
        await self._execute(sql.SEAM_CLOSE, asdict(lane))

    async def producers(self, stream: str, names: Sequence[str]) -> Mapping[str, ProducerCount]:
        """Return what was seen of producers."""
        with translated():
            async with self._pool.connection() as connection:
                rows: list[Any] = await (await connection.execute(sql.PRODUCERS, (stream, list(names)))).fetchall()
        return {row[0]: ProducerCount(row[1], row[2]) for row in rows}

    async def _execute(self, statement: LiteralString, arguments: Mapping[str, Any]) -> None:
        """Execute one statement in a transaction that requires the fence."""
        with translated():
            async with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
                await cursor.execute(statement, arguments)
                if self._fence is not None:
                    await self._fence.require(cursor)

    async def close(self) -> None:
        """Close the writer's connections."""
        while self._free:
            await self._free.pop().close()

    async def _open(self) -> Connection:
        connection = await connect(self._dsn, name=self._name)
        await connection.set_autocommit(True)
        register_packed(connection)
        return connection


def stored_by(share: Share, rows: Sequence[Any]) -> Stored:
    """Return what is stored, by rows of positions and of floors of one life of a stream."""
    epoch = max((row[0] for row in rows), default=0)
    positions = {row[1]: row[3] for row in rows if row[0] == epoch and row[1] is not None}
    floors = {row[2]: row[3] for row in rows if row[0] == epoch and row[2] is not None}
    heard = {row[2]: row[4] for row in rows if row[0] == epoch and row[2] is not None}
    furthest = max(positions.values(), default=0)
    # Where no partition has said anything, there was one only, which stored everything in order.
    floor = floors.get(share.partition, 0) if floors else furthest
    return Stored(epoch, positions, floor, heard.get(0, floor), max(furthest, *floors.values(), 0))
