"""The fence in PostgreSQL: a transaction of writers whose lease went to another process fails before it commits.

Who divides the districts into another number of partitions raises the fences of all: whoever wrote for the partitions
before writes no more, and what they stored is seen by those who begin after.
"""

from typing import Any

from psycopg import AsyncCursor

from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Pool
from maasloop.timeseries.domain.partitioning import WHOLE, Share
from maasloop.timeseries.ports.writing import Displaced, Fenced

from . import sql_partitions as sql
from .postgres_dividing import divide


class PostgresFence:
    """The fence of one partition, as the writers of this process see it."""

    def __init__(self, pool: Pool, share: Share = WHOLE) -> None:
        """Nothing passes before ``advance``."""
        self._pool = pool
        self._share = share
        self._token = 0
        self._divided = False

    async def admit(self) -> None:
        """Raise ``Displaced`` where the districts are divided otherwise since this process divided them."""
        with translated():
            async with self._pool.connection() as connection:
                row: Any = await (await connection.execute(sql.PARTITIONS)).fetchone()
        self._require_divided(row[0])

    async def advance(self, token: int) -> None:
        """Let nobody pass any more who has a lower token; raises ``Fenced`` where this one is not the highest.

        Transactions that passed before have ended when this returns. A token that is advanced to twice is refused, so
        that no two processes ever have the same.

        The first time, the districts are divided as this process was told; later it raises ``Displaced`` where they are
        not any more: the process that started last decides.
        """
        with translated():
            async with (
                self._pool.connection() as connection,
                connection.transaction(),
                connection.cursor() as cursor,
            ):
                await cursor.execute(sql.PARTITIONS_ALONE)
                row: Any = await cursor.fetchone()
                self._require_divided(row[0])
                if row[0] != self._share.partitions:
                    await divide(cursor, row[0], self._share.partitions)
                await cursor.execute(sql.FENCE_ADVANCE, (self._share.partition, token))
                if cursor.rowcount != 1:
                    await self._refuse(cursor, token)
        self._divided = True
        self._token = token

    async def require(self, cursor: AsyncCursor[Any]) -> None:
        """Raise ``Fenced`` where another process has advanced it; nobody does before the transaction of ``cursor`` ends."""
        await cursor.execute(sql.FENCE_REQUIRE, (self._share.partition, self._token))
        if await cursor.fetchone() is None:
            await self._refuse(cursor, self._token)

    async def _refuse(self, cursor: AsyncCursor[Any], token: int) -> None:
        await cursor.execute(sql.FENCE_AT, (self._share.partition,))
        row: Any = await cursor.fetchone()
        raise Fenced(self._share.partition, token, row[0] if row else 0)

    def _require_divided(self, partitions: int) -> None:
        if self._divided and partitions != self._share.partitions:
            raise Displaced(self._share.partitions, partitions)
