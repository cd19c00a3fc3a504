"""Calls of people and programs that run: each ends with its token, and at once when its caller is revoked."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from maasloop.core.clock import Clock
from maasloop.core.errors import ResourceExhausted, Unauthenticated
from maasloop.core.reasons import Reason
from maasloop.identity.principals import Principal

SESSIONS_MAX = 1_024


class Sessions:
    """The calls that run, by their caller."""

    def __init__(self, clock: Clock, *, sessions_max: int = SESSIONS_MAX) -> None:
        """Know of none; more than ``sessions_max`` at once are refused."""
        self._clock = clock
        self._sessions_max = sessions_max
        self._open: dict[asyncio.Timeout, Principal] = {}
        self._revoked: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def opened(self, principal: Principal) -> AsyncIterator[None]:
        """Run a call in the block; it ends with ``Unauthenticated`` when its token ends or its caller is revoked."""
        if len(self._open) >= self._sessions_max:
            raise ResourceExhausted(Reason.OVERLOADED, f"more than {self._sessions_max} calls of people and programs")
        left_s = None
        if principal.expire_time is not None:
            left_s = max((principal.expire_time - self._clock.now()).total_seconds(), 0.0)
        limit = asyncio.timeout(left_s)
        self._open[limit] = principal
        try:
            async with limit:
                yield
        except TimeoutError:
            if limit in self._revoked:
                raise Unauthenticated(Reason.CREDENTIALS_REVOKED, f"{principal} was revoked") from None
            if limit.expired():
                raise Unauthenticated(Reason.CREDENTIALS_EXPIRED, "the token is past its end") from None
            raise
        finally:
            del self._open[limit]
            self._revoked.discard(limit)

    def end(self, revoked: Callable[[Principal], bool]) -> int:
        """End the calls of those who are revoked, and return how many."""
        ending = [limit for limit, principal in self._open.items() if limit not in self._revoked and revoked(principal)]
        for limit in ending:
            self._revoked.add(limit)
            limit.reschedule(asyncio.get_running_loop().time())
        return len(ending)
