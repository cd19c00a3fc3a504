"""The door of time: what happens because a moment has come."""

import structlog

from maasloop.consent.handlers.expire_consents import ExpireConsents
from maasloop.core.clock import Clock
from maasloop.core.errors import Retryable
from maasloop.telemetry import metrics

INTERVAL_S = 1.0
"""Longest time between a record's end and its event, enforcers' own clocks apart."""

_expired = metrics.counter("maasloop_consent_expired_records_total", "Records whose end came")
_log = structlog.get_logger()


class ExpiryTimer:
    """Ends records that are due. Task: ``run``."""

    def __init__(self, expire_consents: ExpireConsents, clock: Clock) -> None:
        self._expire_consents = expire_consents
        self._clock = clock

    async def run(self) -> None:
        """Look once a second, for ever; a database that does not answer is asked again."""
        while True:
            try:
                while ended := await self._expire_consents():
                    _expired.inc(ended)
                    _log.info("consents_expired", count=ended)
            except Retryable as error:
                _log.warning("expiry_postponed", reason=error.message)
            await self._clock.sleep(INTERVAL_S)
