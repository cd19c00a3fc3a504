"""Looks at the recorded connections again and again: whose right has ended, and which have ended.

A revocation closes its connections at once where it is made. This finds what that left: the replica died in between, a
server was silent, an overlap or a certificate came to its end.
"""

import structlog

from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError
from maasloop.device_registry.handlers.close_connections import CloseConnections
from maasloop.device_registry.handlers.forget_connections import ForgetConnections
from maasloop.device_registry.handlers.keep_refusals import KeepRefusals
from maasloop.device_registry.metrics import CONNECTIONS, REFUSED_HOLDERS, UNCLOSED

log = structlog.get_logger(__name__)

CLOSE_EVERY_S = 2.0
FORGET_EVERY_S = 30.0
KEEP_EVERY_S = 5.0


class ClosingRounds:
    """Rounds for ever; a neighbour that is away is asked again in the next one."""

    def __init__(
        self, close: CloseConnections, forget: ForgetConnections, keep_refusals: KeepRefusals, clock: Clock
    ) -> None:
        """Run these."""
        self._keep_refusals = keep_refusals
        self._close = close
        self._forget = forget
        self._clock = clock

    async def close(self) -> None:
        """Close what has no right, every ``CLOSE_EVERY_S``."""
        while True:
            try:
                UNCLOSED.set(await self._close())
            except MaasloopError as error:
                log.warning("closing_failed", why=error.reason)
            await self._clock.sleep(CLOSE_EVERY_S)

    async def refusals(self) -> None:
        """Write down who was refused, every ``KEEP_EVERY_S``."""
        while True:
            try:
                REFUSED_HOLDERS.set(await self._keep_refusals())
            except MaasloopError as error:
                log.warning("refusals_not_kept", why=error.reason)
            await self._clock.sleep(KEEP_EVERY_S)

    async def forget(self) -> None:
        """Forget what has ended, every ``FORGET_EVERY_S``."""
        while True:
            try:
                CONNECTIONS.set(await self._forget())
            except MaasloopError as error:
                log.warning("forgetting_failed", why=error.reason)
            await self._clock.sleep(FORGET_EVERY_S)
