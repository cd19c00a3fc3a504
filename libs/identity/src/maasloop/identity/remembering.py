"""What was found out about a token a moment ago: of many requests with the same one, one pays for its signature.

A key that is taken back is believed for ``REMEMBERED_S`` longer by whoever saw it just before. Revocations are no matter of
this: they are asked about at each call.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from maasloop.core.clock import Clock

from .principals import Principal

REMEMBERED_S = 30.0
TOKENS_MAX = 4_096
"""Tokens that are remembered at once; the one asked about longest ago is forgotten first."""

type Identify = Callable[[str], Awaitable[Principal]]
"""Returns whom a token stands for, or raises ``Unauthenticated``."""


@dataclass(frozen=True, slots=True)
class _Found:
    principal: Principal
    until_s: float
    """Monotonic."""


class Remembering:
    """Asks ``identify`` once for many calls with one token. What is refused is not remembered."""

    def __init__(self, identify: Identify, clock: Clock) -> None:
        """Remember what ``identify`` returns."""
        self._identify = identify
        self._clock = clock
        # By digest: tokens stay in memory no longer than their requests.
        self._found: OrderedDict[bytes, _Found] = OrderedDict()

    async def principal(self, bearer: str) -> Principal:
        """Return who a token stands for, or refuse it with ``Unauthenticated``."""
        digest = hashlib.sha256(bearer.encode("utf-8", "surrogatepass")).digest()
        found = self._found.get(digest)
        if found is not None and self._clock.monotonic_s() < found.until_s and self._lasts(found.principal):
            self._found.move_to_end(digest)
            return found.principal
        self._found.pop(digest, None)
        principal = await self._identify(bearer)
        self._found[digest] = _Found(principal, self._clock.monotonic_s() + REMEMBERED_S)
        if len(self._found) > TOKENS_MAX:
            self._found.popitem(last=False)
        return principal

    def _lasts(self, principal: Principal) -> bool:
        return principal.expire_time is None or self._clock.now() < principal.expire_time
