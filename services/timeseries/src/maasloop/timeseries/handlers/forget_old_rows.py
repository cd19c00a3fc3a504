"""Drop what is older than its retention class, a whole chunk at a time."""

from typing import Protocol

from maasloop.core.clock import Clock
from maasloop.core.domains import RETENTION_DAYS
from maasloop.core.errors import Retryable
from maasloop.timeseries.domain.series import TABLES, Table

INTERVAL_S = 3_600.0
DAY_US = 86_400 * 1_000_000


class Chunks(Protocol):
    """Chunks of the tables of rows."""

    async def drop_chunks(self, table: Table, older_than_us: int) -> int:
        """Drop the chunks of a table that lie wholly before a time, and return how many."""
        ...


class ForgetOldRows:
    """Once an hour for every table whose class ends."""

    def __init__(self, chunks: Chunks, clock: Clock) -> None:
        """Drop these chunks."""
        self._chunks = chunks
        self._clock = clock

    async def run(self) -> None:
        """Forget for ever; what could not be dropped is dropped an hour later."""
        while True:
            await self()
            await self._clock.sleep(INTERVAL_S)

    async def __call__(self) -> int:
        """Drop what is due, and return how many chunks that were."""
        dropped = 0
        for table in TABLES:
            days = RETENTION_DAYS[table.retention]
            if days is None:
                continue
            try:
                dropped += await self._chunks.drop_chunks(table, self._clock.now_us() - days * DAY_US)
            except Retryable:
                return dropped
        return dropped
