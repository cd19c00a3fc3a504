"""The balance as metrics: read from the tables now and then, so that every instance of the service tells the same.

They are gauges and no counters, because they are totals over the life of the database and not of this process. What lies
in the streams is told by ``maasloop_timeseries_pending_messages``.
"""

from dataclasses import asdict

import structlog

from maasloop.core.clock import Clock
from maasloop.core.errors import Retryable
from maasloop.telemetry.metrics import gauge
from maasloop.timeseries.ports.accounting import CustodyReader

INTERVAL_S = 15.0

TERMS = gauge(
    "maasloop_timeseries_custody_readings",
    "Readings by what became of them: a term of the custody balance, or late, a part of those stored.",
    ("door", "term"),
)
LOST = gauge("maasloop_timeseries_lost_readings", "Readings missing from the running total of a producer.")
MISCOUNTED = gauge(
    "maasloop_timeseries_miscounted_readings", "Rows by the counters of series less rows by the balance; 0 is right."
)
MISSING = gauge("maasloop_timeseries_missing_payloads", "Payloads that devices counted and that never came.")

log = structlog.get_logger(__name__)


class CustodyGauges:
    """Keeps the gauges near the tables."""

    def __init__(self, custody: CustodyReader, clock: Clock) -> None:
        """Read with this."""
        self._custody = custody
        self._clock = clock

    async def run(self) -> None:
        """Measure for ever; a database that is away leaves the gauges as they were."""
        while True:
            try:
                await self.measure()
            except Retryable as error:
                log.info("balance_not_measured", reason=error.message)
            await self._clock.sleep(INTERVAL_S)

    async def measure(self) -> None:
        """Set all gauges once."""
        found = await self._custody.custody("")
        for door, terms in found.doors.items():
            for term, count in asdict(terms).items():
                TERMS.labels(door, term).set(count)
        LOST.set(found.lost)
        MISCOUNTED.set(found.series_stored - sum(terms.stored for terms in found.doors.values()))
        MISSING.set(await self._custody.missing_payloads())
