"""Close connections whose right has ended, until the servers say that they are gone."""

import asyncio
from collections.abc import Sequence

from maasloop.core.clock import Clock
from maasloop.device_registry.domain.credential import Holder
from maasloop.device_registry.ports import Closed, ConnectionKey, Credentials, Servers

PATIENCE_S = 5.0
"""Longest time that one call takes."""
LOT = 1_000
TOGETHER = 64
"""Connections that are closed at a time."""
PAUSE_S = 0.02


class CloseConnections:
    """Any replica may do it, and several at once: closing what is gone changes nothing."""

    def __init__(self, credentials: Credentials, servers: Servers, clock: Clock) -> None:
        """Close on these servers what is recorded here."""
        self._credentials = credentials
        self._servers = servers
        self._clock = clock

    async def __call__(self, holder: Holder | None = None) -> int:
        """Close what one holder, or anybody, has no right to any more; return how many connections are not gone.

        Servers that do not answer are not waited for: the next call asks them again.
        """
        deadline_s = self._clock.monotonic_s() + PATIENCE_S
        while True:
            found = await self._credentials.groundless(holder, self._clock.now(), LOT)
            outcomes = await self._close(found)
            gone = [key for key, outcome in outcomes.items() if outcome is Closed.GONE]
            await self._credentials.forget(gone)
            left = len(found) - len(gone)
            silent = sum(outcome is Closed.SILENT for outcome in outcomes.values())
            if left == silent and len(found) < LOT:
                return left
            if self._clock.monotonic_s() >= deadline_s:
                return left
            if not gone:
                await self._clock.sleep(PAUSE_S)

    async def _close(self, found: Sequence[ConnectionKey]) -> dict[ConnectionKey, Closed]:
        room = asyncio.Semaphore(TOGETHER)

        async def close(key: ConnectionKey) -> Closed:
            async with room:
                return await self._servers.close(key)

        outcomes = await asyncio.gather(*map(close, found))
        return dict(zip(found, outcomes, strict=True))
