"""Tells when everything that the street sent for a second has arrived, or will not be waited for any longer.

The clock device announces, per domain, how many readings of a second were sent before it. Nothing here knows what the
readings say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

PATIENCE_S = 1.5
"""Wall time after the announcement at which a second is decided on what has come."""
SECONDS_MAX = 128
"""Seconds that are counted at a time; older ones are given up."""


@dataclass(frozen=True, slots=True)
class SecondReady:
    """A second to decide upon."""

    second: int
    counted: int
    announced: int
    late: bool
    """Something announced is missing."""


@dataclass(slots=True)
class _Second:
    counted: dict[str, int] = field(default_factory=dict)
    announced: dict[str, int] | None = None
    announced_at_s: float = 0.0

    @property
    def complete(self) -> bool:
        return self.announced is not None and all(
            self.counted.get(domain, 0) >= count for domain, count in self.announced.items()
        )


@dataclass(slots=True)
class Barrier:
    """Counts the readings of one district; each second is released once, in order."""

    decided: int = -1
    _seconds: dict[int, _Second] = field(default_factory=dict)

    def count(self, second: int, domain: str, count: int) -> None:
        """Count readings of a second that has not been decided yet."""
        if second > self.decided:
            counted = self._second(second).counted
            counted[domain] = counted.get(domain, 0) + count

    def announce(self, second: int, sent: Mapping[str, int], monotonic_s: float) -> None:
        """Take the announcement of the clock device; a repeated one changes nothing."""
        if second <= self.decided:
            return
        entry = self._second(second)
        if entry.announced is None:
            entry.announced, entry.announced_at_s = dict(sent), monotonic_s

    def ready(self, monotonic_s: float) -> SecondReady | None:
        """Release the oldest announced second that is complete, out of patience, or overtaken by a complete one."""
        announced = sorted(second for second, entry in self._seconds.items() if entry.announced is not None)
        if not announced:
            return None
        oldest = announced[0]
        entry = self._seconds[oldest]
        overtaken = any(self._seconds[second].complete for second in announced[1:])
        if not (entry.complete or overtaken or monotonic_s - entry.announced_at_s >= PATIENCE_S):
            return None
        self.decided = oldest
        for second in [second for second in self._seconds if second <= oldest]:
            del self._seconds[second]
        sent = entry.announced or {}
        counted = sum(entry.counted.get(domain, 0) for domain in sent)
        return SecondReady(oldest, counted, sum(sent.values()), late=not entry.complete)

    def _second(self, second: int) -> _Second:
        entry = self._seconds.get(second)
        if entry is None:
            entry = self._seconds[second] = _Second()
            if len(self._seconds) > SECONDS_MAX:
                del self._seconds[min(self._seconds)]
        return entry
