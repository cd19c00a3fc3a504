"""Which chunk holds a time: rows that are written straight into it cost less than through the hypertable.

A chunk that is missing is made in a transaction of its own before rows are written, so that no writer waits for another
one's chunk. What is known here is forgotten when a transaction fails: a chunk may have been dropped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql as composed

from maasloop.core.clock import from_us
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Pool

from . import sql

PARTS_MAX = 64
"""A lot that lies in more chunks goes through the hypertable."""


@dataclass(frozen=True, slots=True)
class _Known:
    starts_us: NDArray[np.int64]
    ends_us: NDArray[np.int64]
    names: list[composed.Identifier]


@dataclass(frozen=True, slots=True)
class Part:
    """Where some rows go."""

    target: composed.Identifier
    rows: NDArray[np.bool_] | None
    """Which; nothing = all."""


class PostgresChunks:
    """Chunks of the hypertables of numbers and their figures."""

    def __init__(self, pool: Pool) -> None:
        """Ask over this pool."""
        self._pool = pool
        self._known: dict[str, _Known] = {}

    def forget(self) -> None:
        """Ask anew."""
        self._known.clear()

    async def parts(self, table: str, time_us: NDArray[np.int64]) -> list[Part]:
        """Return where rows of a table go, by their times."""
        for _ in range(PARTS_MAX):
            known = self._known.get(table) or await self._ask(table)
            if not len(known.starts_us):
                await self._make(table, int(time_us[0]))
                continue
            low, high = int(time_us.min()), int(time_us.max())
            first = int(np.searchsorted(known.starts_us, low, "right")) - 1
            if first >= 0 and high < known.ends_us[first]:
                return [Part(known.names[first], None)]
            places = np.searchsorted(known.starts_us, time_us, "right") - 1
            outside = (places < 0) | (time_us >= known.ends_us[places])
            if not outside.any():
                return list(_apart(known, places))
            await self._make(table, int(time_us[np.argmax(outside)]))
        return [Part(composed.Identifier(table), None)]

    async def _ask(self, table: str) -> _Known:
        with translated():
            async with self._pool.connection() as connection:
                rows: list[Any] = await (await connection.execute(sql.CHUNKS, (table,))).fetchall()
        known = _Known(
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.int64),
            [composed.Identifier(row[2], row[3]) for row in rows],
        )
        self._known[table] = known
        return known

    async def _make(self, table: str, time_us: int) -> None:
        name, time = composed.Identifier(table), from_us(time_us)
        make = sql.MAKE_CHUNK_OF_NUMBERS if table.startswith("numbers") else sql.MAKE_CHUNK_OF_FIGURES
        with translated():
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute(composed.SQL(make).format(table=name), (time,))
                await connection.execute(composed.SQL(sql.UNMAKE).format(table=name), (time,))
        self._known.pop(table, None)


def _apart(known: _Known, places: NDArray[np.intp]) -> Iterator[Part]:
    for place in np.unique(places).tolist():
        yield Part(known.names[place], places == place)
