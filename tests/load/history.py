"""History for the benches of reads: rows, newest observations and rollups of many series, copied straight into chunks.

Through the doors ten million rows would take longer than the bench; what is written here is what the writer would have
left: rows and rollups an hour after the other, in order of series within an hour, as they lie when a city was recorded as
it lived. Rows of a series lie at equal steps, the same for all series.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import AsyncConnection, sql

from maasloop.core.clock import SystemClock
from maasloop.postgres.copy import Column, copy_in, times

DISTRICT = "history"
OBSERVED_PROPERTY = "vehicle-count"
RETENTION = "90d"
"""A class that keeps a fortnight."""
CONNECTIONS = 2
LOT_ROWS = 300_000
"""Rows of a transaction at most, if an hour has not more."""
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_HOURS = 24
PROGRESS_S = 10.0
_RECEIVED_AFTER_US = 80_000

_SERIES = """
    INSERT INTO series (district, device, observed_property, kind, retention)
    SELECT {district}, 'loop-' || lpad(n::text, 6, '0'), {observed_property}, 'numbers', {retention}
    FROM generate_series(0, %(series)s - 1) AS n
    ON CONFLICT DO NOTHING
"""
_IDENTIFIERS = "SELECT id FROM series WHERE district = {district} ORDER BY id"
_LATEST = """
    INSERT INTO latest (series, time, receipt_time, value, stored, late)
    SELECT s.id, r.time, r.receipt_time, r.value, %(rows_each)s, 0 FROM series AS s
    CROSS JOIN LATERAL (
        SELECT time, receipt_time, value FROM {rows} WHERE series = s.id AND time >= %(newest)s
        ORDER BY time DESC LIMIT 1
    ) AS r
    WHERE s.district = {district}
    ON CONFLICT DO NOTHING
"""
_CHUNKS = """
    SELECT (extract(epoch FROM range_start) * 1000000)::bigint, (extract(epoch FROM range_end) * 1000000)::bigint,
        chunk_schema, chunk_name
    FROM timescaledb_information.chunks WHERE hypertable_schema = current_schema() AND hypertable_name = %s
"""
# A row of no series, gone in the same transaction: its chunk stays.
_MAKE_ROW_CHUNK = "INSERT INTO {table} (series, time, receipt_time, value) VALUES (0, %s, 'epoch', 0)"
_MAKE_ROLLUP_CHUNK = """
    INSERT INTO {table} (series, time, first_time, last_time, count, sum, minimum, maximum, first, last)
    VALUES (0, %s, 'epoch', 'epoch', 0, 0, 0, 0, 0, 0)
"""
_UNMAKE = "DELETE FROM {table} WHERE series = 0"
_HAS_WINDOWS = "SELECT to_regclass('rollup_windows') IS NOT NULL"
_OPEN_FROM = "SELECT min(open_from) FROM rollup_windows WHERE retention = {retention}"
_ROW_COLUMNS = ("time", "receipt_time", "value", "series")
_ROLLUP_COLUMNS = (
    "time", "first_time", "last_time", "count", "sum", "minimum", "maximum", "first", "last", "series",
)  # fmt: skip

type Connection = AsyncConnection[tuple[Any, ...]]


@dataclass(frozen=True)
class Tables:
    """Where a class of retention has its rows and rollups."""

    retention: str

    @property
    def rows(self) -> str:
        """The table of numbers."""
        return f"numbers_{self.retention}"

    @property
    def minutes(self) -> str:
        """The table of their minutes."""
        return f"minutes_{self.retention}"

    @property
    def hours(self) -> str:
        """The table of their hours."""
        return f"hours_{self.retention}"

    @property
    def all(self) -> tuple[str, str, str]:
        """Rows first."""
        return self.rows, self.minutes, self.hours

    def of(self, statement: str) -> sql.Composed:
        """Return a statement about the history in these tables."""
        return sql.SQL(statement).format(  # type: ignore[arg-type, unused-ignore]  # the statement is ours, though no literal
            district=sql.Literal(DISTRICT),
            observed_property=sql.Literal(OBSERVED_PROPERTY),
            retention=sql.Literal(self.retention),
            rows=sql.Identifier(self.rows),
        )


@dataclass(frozen=True)
class Plan:
    """Which moments have a reading of every series."""

    start_us: int
    end_us: int
    step_us: int

    @classmethod
    def of(cls, end: datetime, *, series: int, days: int, rows: int) -> "Plan":
        """Spread about so many rows over the days before ``end``."""
        end_us = microseconds(end)
        span_us = days * DAY_HOURS * HOUR_US
        return cls(end_us - span_us, end_us, max(span_us * series // rows, 1))

    def moments(self, from_us: int, to_us: int) -> NDArray[np.int64]:
        """Return the moments of a range."""
        first = -(-(max(from_us, self.start_us) - self.start_us) // self.step_us)
        last = -(-(min(to_us, self.end_us) - self.start_us) // self.step_us)
        return self.start_us + self.step_us * np.arange(first, last, dtype=np.int64)

    def buckets(self, from_us: int, to_us: int, width_us: int) -> int:
        """Return how many buckets of a range a series has a reading in."""
        return len(np.unique(self.moments(from_us, to_us) // width_us))

    def lots(self, series: int) -> list[list[int]]:
        """Return the first moments of hours that are written together; none crosses a midnight."""
        hour_rows = max(1, HOUR_US // self.step_us) * series
        fitting = [hours for hours in (1, 2, 3, 4, 6, 8, 12, 24) if hours == 1 or hours * hour_rows <= LOT_ROWS]
        width_us = fitting[-1] * HOUR_US
        return [
            list(range(from_us, from_us + width_us, HOUR_US)) for from_us in range(self.start_us, self.end_us, width_us)
        ]


class Chunks:
    """Where rows of a table go, by their time."""

    def __init__(self, chunks: dict[str, list[tuple[int, int, sql.Identifier]]]) -> None:
        """Know the chunks of each table."""
        self._chunks = chunks

    def target(self, table: str, time_us: int) -> sql.Identifier:
        """Return the chunk that holds a time."""
        return next(name for start_us, end_us, name in self._chunks[table] if start_us <= time_us < end_us)


def microseconds(moment: datetime | timedelta) -> int:
    """Return a moment since 1970, or a span."""
    span = moment - datetime.fromtimestamp(0, UTC) if isinstance(moment, datetime) else moment
    return span // timedelta(microseconds=1)


async def fill(
    dsn: str, *, series: int, days: int, rows: int, end: datetime | None = None, retention: str = RETENTION
) -> datetime:
    """Fill the days before ``end`` with about ``rows`` readings of ``series`` series, and return the first moment.

    Without ``end`` the history ends with the last midnight, so that none of it is old enough to be dropped.
    The tables of the class must hold nothing of these series yet. ``end`` is a midnight.
    """
    end = end or SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0)
    plan, tables = Plan.of(end, series=series, days=days, rows=rows), Tables(retention)
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(tables.of(_SERIES), {"series": series})
        found = await (await connection.execute(tables.of(_IDENTIFIERS))).fetchall()
        identifiers = np.array([row[0] for row in found], np.int32)
        chunks = await _chunks(connection, plan, tables)
        await _copy_all(dsn, plan, identifiers, chunks, tables)
        newest = {"newest": end - timedelta(microseconds=2 * plan.step_us), "rows_each": rows // series}
        await connection.execute(tables.of(_LATEST), newest)
        await _require_whole(connection, end, tables)
    await asyncio.gather(_tidy(dsn, [tables.rows]), _tidy(dsn, ["series", "latest", tables.minutes, tables.hours]))
    return end - timedelta(days=days)


async def _copy_all(dsn: str, plan: Plan, series: NDArray[np.int32], chunks: Chunks, tables: Tables) -> None:
    """Copy lot after lot over a few connections."""
    lots = iter(plan.lots(len(series)))
    began_s = told_s = time.perf_counter()
    copied = 0

    async def work() -> None:
        nonlocal copied, told_s
        async with await AsyncConnection.connect(dsn) as connection:
            await connection.execute("SET statement_timeout = 0")
            for lot in lots:
                copied += await _copy_lot(connection, plan, series, chunks, tables, lot)
                if (now_s := time.perf_counter()) - told_s >= PROGRESS_S:
                    told_s = now_s
                    rate = copied / (now_s - began_s)
                    print(f"history: {copied:,} rows, {rate:,.0f} rows/s", file=sys.stderr, flush=True)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(work())


async def _copy_lot(
    connection: Connection,
    plan: Plan,
    series: NDArray[np.int32],
    chunks: Chunks,
    tables: Tables,
    hours: Sequence[int],
) -> int:
    """Copy the rows of some hours and what they come to, in one transaction."""
    rows: list[list[Column]] = []
    minutes: list[list[Column]] = []
    whole_hours: list[list[Column]] = []
    for hour_us in hours:
        moments = plan.moments(hour_us, hour_us + HOUR_US)
        if not len(moments):
            continue
        values = np.random.default_rng(hour_us // HOUR_US).integers(0, 4_000, (len(series), len(moments))) / 100.0
        at = np.tile(moments, len(series))
        rows.append([times(at), times(at + _RECEIVED_AFTER_US), values.ravel(), np.repeat(series, len(moments))])
        minutes.append(rollups(series, moments, values, MINUTE_US))
        whole_hours.append(rollups(series, moments, values, HOUR_US))
    if not rows:
        return 0
    async with connection.transaction(), connection.cursor() as cursor:
        for table, names, parts in (
            (tables.rows, _ROW_COLUMNS, rows),
            (tables.minutes, _ROLLUP_COLUMNS, minutes),
            (tables.hours, _ROLLUP_COLUMNS, whole_hours),
        ):
            columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
            await copy_in(cursor, chunks.target(table, hours[0]), names, columns)
    return sum(len(part[0]) for part in rows)


def rollups(
    series: NDArray[np.int32], moments: NDArray[np.int64], values: NDArray[np.float64], width_us: int
) -> list[Column]:
    """Return the columns of buckets of readings (a row a series, a column a moment), by series and then time."""
    edges, starts, counts = np.unique(moments - moments % width_us, return_index=True, return_counts=True)
    ends = starts + counts - 1

    def of_time(per_bucket: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.tile(per_bucket, len(series))

    return [
        times(of_time(edges)),
        times(of_time(moments[starts])),
        times(of_time(moments[ends])),
        of_time(counts),
        np.add.reduceat(values, starts, axis=1).ravel(),
        np.minimum.reduceat(values, starts, axis=1).ravel(),
        np.maximum.reduceat(values, starts, axis=1).ravel(),
        values[:, starts].ravel(),
        values[:, ends].ravel(),
        np.repeat(series, len(edges)),
    ]


async def _chunks(connection: Connection, plan: Plan, tables: Tables) -> Chunks:
    """Make the chunks of the history."""
    found: dict[str, list[tuple[int, int, sql.Identifier]]] = {}
    for table in tables.all:
        make = sql.SQL(_MAKE_ROW_CHUNK if table == tables.rows else _MAKE_ROLLUP_CHUNK).format(
            table=sql.Identifier(table)
        )
        async with connection.transaction():
            for day_us in range(plan.start_us, plan.end_us, DAY_HOURS * HOUR_US):
                await connection.execute(make, (datetime.fromtimestamp(day_us // SECOND_US, UTC),))
            await connection.execute(sql.SQL(_UNMAKE).format(table=sql.Identifier(table)))
        rows = await (await connection.execute(_CHUNKS, (table,))).fetchall()
        found[table] = [(row[0], row[1], sql.Identifier(row[2], row[3])) for row in rows]
    return Chunks(found)


async def _tidy(dsn: str, tables: Sequence[str]) -> None:
    """Leave what autovacuum would leave after a while, so that it does not begin while reads are measured."""
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("SET statement_timeout = 0")
        for table in tables:
            await connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))


async def _require_whole(connection: Connection, end: datetime, tables: Tables) -> None:
    """Fail if the writer's open window begins within the history: its rollups would not be read."""
    if not await _first(connection, tables.of(_HAS_WINDOWS)):
        return
    open_from = await _first(connection, tables.of(_OPEN_FROM))
    if open_from is not None and open_from < end:
        message = f"the window of {tables.retention} is open from {open_from}, before the end of the history at {end}"
        raise RuntimeError(message)


async def _first(connection: Connection, statement: sql.Composed) -> Any:  # noqa: ANN401 - whatever the statement gives
    row = await (await connection.execute(statement)).fetchone()
    return row[0] if row else None
