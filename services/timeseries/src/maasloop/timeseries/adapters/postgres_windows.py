"""Taking over the open window: what the writer before held back is made again from rows, a few minutes at a time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog
from psycopg import sql as composed

from maasloop.core.clock import from_us, to_us
from maasloop.core.domains import Retention
from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool
from maasloop.timeseries.ports.rollups import HOUR_US, MINUTE_US

from . import sql_windows as sql

STEP_US = 10 * MINUTE_US
"""What is made again in one transaction, so that none takes long; it never crosses an hour."""

log = structlog.get_logger(__name__)


async def open_from_us(connection: Connection) -> dict[Retention, int]:
    """Return from when on minutes and hours of a class are not whole; classes in which they are whole are left out.

    A window never moves back: what was whole when this was read is whole in every later snapshot.
    """
    rows: list[Any] = await (await connection.execute(sql.OPEN_FROM)).fetchall()
    return {Retention(row[0]): to_us(row[1]) for row in rows}


class PostgresWindows:
    """The windows of all classes; whoever took them over last has them."""

    def __init__(self, pool: Pool) -> None:
        """Take connections from this pool."""
        self._pool = pool

    async def take_over(self) -> tuple[int, Mapping[Retention, int | None]]:
        """Return the new owner, and where each window begins: after every row, and all before is merged."""
        owner, edges, newest = await self._own()
        found: dict[Retention, int | None] = {}
        for retention, edge_us in edges.items():
            until_us = newest.get(retention)
            if until_us is not None:
                found[retention] = await self._make_again(owner, retention, edge_us, until_us)
            else:
                found[retention] = edge_us
        return owner, found

    async def _own(self) -> tuple[int, dict[Retention, int | None], dict[Retention, int]]:
        with translated():
            async with self._pool.connection() as connection:
                # This waits for a transaction of the owner before that is about to commit; a later one fails.
                async with connection.transaction():
                    owned: list[Any] = await (await connection.execute(sql.TAKE_OVER)).fetchall()
                newest: list[Any] = await (await connection.execute(sql.NEWEST)).fetchall()
        edges = {Retention(row[0]): None if row[1] is None else to_us(row[1]) for row in owned}
        return max(row[2] for row in owned), edges, {Retention(row[0]): to_us(row[1]) for row in newest}

    async def _make_again(self, owner: int, retention: Retention, edge_us: int | None, until_us: int) -> int:
        """Make the rollups of rows from an edge on, and move it after them."""
        if edge_us is None:
            # Nothing was ever held back.
            await self._step(owner, retention, until_us, until_us)
            return until_us
        began_us, at_us = edge_us, edge_us
        while at_us < until_us:
            end_us = min(at_us + STEP_US, at_us - at_us % HOUR_US + HOUR_US, until_us)
            await self._step(owner, retention, at_us, end_us)
            at_us = end_us
        if at_us > began_us:
            minutes = (at_us - began_us) // MINUTE_US
            log.info("rollups_made_again", retention=retention, since=from_us(began_us).isoformat(), minutes=minutes)
        return at_us

    async def _step(self, owner: int, retention: Retention, start_us: int, end_us: int) -> None:
        with translated():
            async with self._pool.connection() as connection, connection.transaction():
                # First of all, so that nobody who has rows of this time waits for anything that is locked here.
                await connection.execute(sql.ALONE)
                moved = await connection.execute(sql.MOVE, ([retention], [from_us(end_us)], owner))
                if moved.rowcount != 1:
                    why = "another writer took the rollup windows over"
                    raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, why, {"neighbour": "database"})
                if start_us < end_us:
                    await self.make(connection, retention, from_us(start_us), from_us(end_us))

    async def make(self, connection: Connection, retention: Retention, start: datetime, end: datetime) -> None:
        """Make minutes from rows, and their hour from minutes; all of other writers are in both."""
        await connection.execute(sql.MAKE_TIME)
        await _replace(connection, sql.MAKE_MINUTES, f"minutes_{retention}", f"numbers_{retention}", start, end)
        hour_us = to_us(start) // HOUR_US * HOUR_US
        hour = (from_us(hour_us), from_us(hour_us + HOUR_US))
        await _replace(connection, sql.MAKE_HOURS, f"hours_{retention}", f"minutes_{retention}", *hour)


async def _replace(connection: Connection, make: str, table: str, source: str, start: datetime, end: datetime) -> None:
    names = {"table": composed.Identifier(table), "source": composed.Identifier(source)}
    for statement in (sql.FORGET, make):
        made = composed.SQL(statement).format(**names)  # type: ignore[arg-type, unused-ignore]
        await connection.execute(made, {"start": start, "end": end})
