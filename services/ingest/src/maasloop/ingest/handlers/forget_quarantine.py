"""Forget refused readings that nobody replayed in time."""

from maasloop.core.clock import Clock
from maasloop.core.errors import Retryable
from maasloop.ingest.ports import QuarantineStore

INTERVAL_S = 3_600.0


class ForgetQuarantine:
    """Once an hour; in several instances at once it does no harm."""

    def __init__(self, store: QuarantineStore, clock: Clock, *, kept_days: int) -> None:
        """Keep entries for ``kept_days``."""
        self._store = store
        self._clock = clock
        self._kept_days = kept_days

    async def run(self) -> None:
        """Forget for ever; a database that is away is asked again an hour later."""
        while True:
            await self()
            await self._clock.sleep(INTERVAL_S)

    async def __call__(self) -> int:
        """Forget once, and return how many entries that were."""
        try:
            return await self._store.forget(self._kept_days)
        except Retryable:
            return 0
