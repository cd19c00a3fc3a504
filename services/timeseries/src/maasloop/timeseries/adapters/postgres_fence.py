"""The fence in PostgreSQL: a transaction of writers whose lease went to another process fails before it commits."""

from typing import Any

from psycopg import AsyncCursor

from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Pool
from maasloop.timeseries.ports.writing import Fenced

from . import sql


class PostgresFence:
    """The fence of one partition, as the writers of this process see it."""

    def __init__(self, pool: Pool, partition: int) -> None:
        """Nothing passes before ``advance``."""
        self._pool = pool
        self._partition = partition
        self._token = 0

    async def advance(self, token: int) -> None:
        """Let nobody pass any more who has a lower token; raises ``Fenced`` where this one is not the highest.

        Transactions that passed before have ended when this returns. A token that is advanced to twice is refused, so
        that no two processes ever have the same.
        """
        with translated():
            async with self._pool.connection() as connection:
                advanced = await connection.execute(sql.FENCE_ADVANCE, (self._partition, token))
                if advanced.rowcount != 1:
                    row: Any = await (await connection.execute(sql.FENCE_AT, (self._partition,))).fetchone()
                    raise Fenced(self._partition, token, row[0])
        self._token = token

    async def require(self, cursor: AsyncCursor[Any]) -> None:
        """Raise ``Fenced`` where another process has advanced it; nobody does before the transaction of ``cursor`` ends."""
        await cursor.execute(sql.FENCE_REQUIRE, (self._partition, self._token))
        if await cursor.fetchone() is None:
            await cursor.execute(sql.FENCE_AT, (self._partition,))
            row: Any = await cursor.fetchone()
            raise Fenced(self._partition, self._token, row[0] if row else 0)
