"""Forget connections that ended by themselves, so that the record stays as long as the list of those that live."""

from datetime import timedelta

from maasloop.core.clock import Clock
from maasloop.device_registry.ports import ConnectionKey, Credentials, Servers

SETTLED_AFTER = timedelta(seconds=10)
"""A connection that was recorded so long ago is in its server's list, or gone."""


class ForgetConnections:
    """A server that does not answer keeps its record: it may be cut off and come back with its clients."""

    def __init__(self, credentials: Credentials, servers: Servers, clock: Clock) -> None:
        """Compare this record with these servers."""
        self._credentials = credentials
        self._servers = servers
        self._clock = clock

    async def __call__(self) -> int:
        """Forget what is gone and return how many connections are recorded still."""
        now = self._clock.now()
        await self._credentials.forget_expired(now)
        recorded = await self._credentials.recorded(now - SETTLED_AFTER)
        left = 0
        for server, connections in recorded.items():
            living = await self._servers.connections(server)
            gone = [] if living is None else [each for each in connections if each not in living]
            await self._credentials.forget([ConnectionKey(server, each) for each in gone])
            left += len(connections) - len(gone)
        return left
