"""Drop what is older than its retention class, a whole chunk at a time: rows, and the rollups that outlive them."""

from typing import Protocol

from maasloop.core.clock import Clock
from maasloop.core.domains import RETENTION_DAYS
from maasloop.core.errors import Retryable
from maasloop.timeseries.domain.aggregating import DAY_US, HOURS_KEPT_DAYS, MINUTES_KEPT_DAYS, Source
from maasloop.timeseries.domain.series import TABLES

INTERVAL_S = 3_600.0


class Chunks(Protocol):
    """Chunks of the tables of rows and rollups."""

    async def drop_chunks(self, table: str, older_than_us: int) -> int:
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
        for table, days in _kept_days().items():
            try:
                dropped += await self._chunks.drop_chunks(table, self._clock.now_us() - days * DAY_US)
            except Retryable:
                return dropped
        return dropped


def _kept_days() -> dict[str, int]:
    """Return how long each table that forgets keeps what it holds."""
    kept = {table.name: RETENTION_DAYS[table.retention] for table in TABLES}
    for source, days in ((Source.MINUTES, MINUTES_KEPT_DAYS), (Source.HOURS, HOURS_KEPT_DAYS)):
        kept |= {f"{source}_{retention}": each for retention, each in days.items()}
    return {table: days for table, days in kept.items() if days is not None}
