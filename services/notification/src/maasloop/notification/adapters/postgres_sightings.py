"""Sightings that outlive the process: written every few seconds, read at the start.

What was heard in the last seconds before a crash is lost, so that a silence is then told of a little early; the next
reading mends it.
"""

import structlog

from maasloop.core.clock import Clock
from maasloop.core.errors import Retryable
from maasloop.notification.adapters import sql
from maasloop.notification.adapters.postgres import fetch, transaction
from maasloop.notification.adapters.sightings import MemorySightings
from maasloop.notification.ports import Sighting
from maasloop.postgres.pool import Pool

WRITE_INTERVAL_S = 2.0

_log = structlog.get_logger()


class SightingStore:
    """Joins sightings to their table."""

    def __init__(self, pool: Pool, sightings: MemorySightings, clock: Clock) -> None:
        self._pool = pool
        self._sightings = sightings
        self._clock = clock
        self._unwritten: list[Sighting] = []

    async def load(self) -> None:
        """Begin with what was stored before."""
        async with transaction(self._pool) as connection:
            self._sightings.load([Sighting(*row) for row in await fetch(connection, sql.ALL_SIGHTINGS)])

    async def run(self) -> None:
        """Write for ever."""
        try:
            while True:
                await self._clock.sleep(WRITE_INTERVAL_S)
                await self.write()
        finally:
            await self.write()

    async def write(self) -> None:
        """Write what changed; what the database does not take waits for the next time."""
        self._unwritten += self._sightings.unwritten()
        forgotten, dropped = self._sightings.forgotten(), self._sightings.dropped()
        if not self._unwritten and not forgotten and not dropped:
            return
        # A statement may touch a row once.
        newest = {sighting[:3]: sighting for sighting in self._unwritten}
        try:
            async with transaction(self._pool) as connection:
                columns = [list(column) for column in zip(*newest.values(), strict=True)]
                if columns:
                    await connection.execute(sql.PUT_SIGHTINGS, columns)
                if forgotten:
                    gone = [list(column) for column in zip(*(one[:3] for one in forgotten), strict=True)]
                    await connection.execute(sql.FORGET_SIGHTINGS, gone)
                for key in dropped:
                    await connection.execute(sql.DROP_SIGHTINGS, key)
        except Retryable as error:
            # What is not forgotten now is found silent, and forgotten, once more after a restart.
            self._unwritten = list(newest.values())
            _log.warning("sightings_postponed", reason=error.message, count=len(newest))
        else:
            self._unwritten = []
