"""The generation of this process's commands, which no earlier process had."""

from typing import Any

from maasloop.actuation.adapters import sql
from maasloop.core.clock import Clock
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Pool


async def next_generation(pool: Pool, clock: Clock) -> int:
    """Return a number above all that was returned before, and at least the seconds since the epoch.

    The table keeps it rising where a clock went back, the clock where the table came from a backup.
    """
    seconds = int(clock.now().timestamp())
    with translated():
        async with pool.connection() as connection:
            cursor = await connection.execute(sql.NEXT_GENERATION, (seconds,))
            found: list[Any] = await cursor.fetchall()
    return int(found[0][0])
