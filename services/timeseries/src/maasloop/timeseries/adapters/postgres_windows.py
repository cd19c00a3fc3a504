"""Taking over the open window: what the writer before held back is made again from rows, a few minutes at a time."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import structlog
from psycopg import AsyncCursor
from psycopg import sql as composed

from maasloop.core.clock import from_us, to_us
from maasloop.core.domains import Retention
from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool
from maasloop.timeseries.domain.partitioning import WHOLE, Share, partition_of
from maasloop.timeseries.ports.rollups import HOUR_US, MINUTE_US

from . import sql_windows as sql
from .postgres_fence import PostgresFence

STEP_US = 10 * MINUTE_US
"""What is made again in one transaction, so that none takes long; it never crosses an hour."""

log = structlog.get_logger(__name__)


async def open_from_us(connection: Connection, district: str) -> dict[Retention, int]:
    """Return from when on minutes and hours of a district are not whole; classes in which they are whole are left out.

    What was whole when this was read is whole in every later snapshot: a window moves back only where districts are
    divided into other partitions, and what was merged before stays merged.
    """
    rows: list[Any] = await (await connection.execute(sql.OPEN_FROM)).fetchall()
    return {
        Retention(retention): to_us(open_from)
        for partitions, partition, retention, open_from in rows
        if partition == partition_of(district, partitions)
    }


class PostgresWindows:
    """The windows of all classes of one partition; whoever took them over last has them."""

    def __init__(
        self,
        pool: Pool,
        share: Share = WHOLE,
        fence: PostgresFence | None = None,
    ) -> None:
        """Take connections from this pool; every transaction requires the ``fence``."""
        self._pool = pool
        self._share = share
        self._fence = fence

    async def take_over(self) -> tuple[int, Mapping[Retention, int | None]]:
        """Return the new owner, and where each window begins: after every row, and all before is merged."""
        owner, edges, districts, newest = await self._own()
        found: dict[Retention, int | None] = {}
        for retention, edge_us in edges.items():
            until_us = newest.get(retention)
            if until_us is not None:
                found[retention] = await self._make_again(owner, districts, retention, edge_us, until_us)
            else:
                found[retention] = edge_us
        return owner, found

    async def _own(self) -> tuple[int, dict[Retention, int | None], list[str], dict[Retention, int]]:
        with translated():
            async with self._pool.connection() as connection:
                # This waits for a transaction of the owner before that is about to commit; a later one fails.
                async with self._writing(connection) as cursor:
                    await cursor.execute(sql.TAKE_OVER, (self._share.partition,))
                    owned: list[Any] = await cursor.fetchall()
                known: list[Any] = await (await connection.execute(sql.DISTRICTS)).fetchall()
                # What comes into other districts meanwhile is merged at once.
                districts = [row[0] for row in known if self._share.owns(row[0])]
                newest: list[Any] = await (await connection.execute(sql.NEWEST, (districts,))).fetchall()
        edges = {Retention(row[0]): None if row[1] is None else to_us(row[1]) for row in owned}
        return max(row[2] for row in owned), edges, districts, {Retention(row[0]): to_us(row[1]) for row in newest}

    async def _make_again(
        self, owner: int, districts: list[str], retention: Retention, edge_us: int | None, until_us: int
    ) -> int:
        """Make the rollups of rows from an edge on, and move it after them."""
        if edge_us is None:
            # Nothing was ever held back.
            await self._step(owner, districts, retention, until_us, until_us)
            return until_us
        began_us, at_us = edge_us, edge_us
        while at_us < until_us:
            end_us = min(at_us + STEP_US, at_us - at_us % HOUR_US + HOUR_US, until_us)
            await self._step(owner, districts, retention, at_us, end_us)
            at_us = end_us
        if at_us > began_us:
            minutes = (at_us - began_us) // MINUTE_US
            log.info("rollups_made_again", retention=retention, since=from_us(began_us).isoformat(), minutes=minutes)
        return at_us

    async def _step(self, owner: int, districts: list[str], retention: Retention, start_us: int, end_us: int) -> None:
        with translated():
            async with self._pool.connection() as connection, self._writing(connection) as cursor:
                # First of all, so that nobody who has rows of this time waits for anything that is locked here.
                await cursor.execute(sql.ALONE, (self._share.partition,))
                await cursor.execute(sql.MOVE, ([retention], [from_us(end_us)], self._share.partition, owner))
                if cursor.rowcount != 1:
                    why = "another writer took the rollup windows over"
                    raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, why, {"neighbour": "database"})
                if start_us < end_us:
                    await self.make(cursor, districts, retention, from_us(start_us), from_us(end_us))

    @asynccontextmanager
    async def _writing(self, connection: Connection) -> AsyncIterator[AsyncCursor[Any]]:
        """Begin a transaction that requires the fence at its end."""
        async with connection.transaction(), connection.cursor() as cursor:
            yield cursor
            if self._fence is not None:
                await self._fence.require(cursor)

    async def make(
        self, cursor: AsyncCursor[Any], districts: list[str], retention: Retention, start: datetime, end: datetime
    ) -> None:
        """Make minutes from rows, and their hour from minutes; all of other writers are in both."""
        await cursor.execute(sql.MAKE_TIME)
        hour_us = to_us(start) // HOUR_US * HOUR_US
        hour = {"start": from_us(hour_us), "end": from_us(hour_us + HOUR_US), "districts": districts}
        minutes = {"start": start, "end": end, "districts": districts}
        await _replace(cursor, sql.MAKE_MINUTES, f"minutes_{retention}", f"numbers_{retention}", minutes)
        await _replace(cursor, sql.MAKE_HOURS, f"hours_{retention}", f"minutes_{retention}", hour)


async def _replace(
    cursor: AsyncCursor[Any], make: str, table: str, source: str, arguments: Mapping[str, object]
) -> None:
    names = {"table": composed.Identifier(table), "source": composed.Identifier(source)}
    for statement in (sql.FORGET, make):
        made = composed.SQL(statement).format(**names)  # type: ignore[arg-type, unused-ignore]  # the statement is ours, though no literal
        await cursor.execute(made, arguments)
