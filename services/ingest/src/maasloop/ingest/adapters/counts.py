"""Counts what became of readings."""

import collections
from functools import cache

from prometheus_client import Counter

from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.telemetry.metrics import counter

READINGS = counter(
    "maasloop_ingest_readings_total",
    "Readings by door and outcome: accepted, or the reason of the refusal; reasons beyond the listed ones as `other`.",
    ("door", "outcome"),
)


@cache
def _accepted(door: Door) -> Counter:
    return READINGS.labels(door, "accepted")


class MetricCounts:
    """Counts on the metrics registry of the process."""

    def recorded(self, door: Door, recorded: Recorded) -> None:
        """Count a batch."""
        if recorded.accepted_count:
            _accepted(door).inc(recorded.accepted_count)
        if recorded.refused_count:
            reasons = collections.Counter(refusal.reason for refusal in recorded.refusals)
            for reason, count in reasons.items():
                READINGS.labels(door, reason).inc(count)
            if unlisted := recorded.refused_count - len(recorded.refusals):
                READINGS.labels(door, "other").inc(unlisted)
