"""The ledger of the devices: every reading for which somebody at the other end took responsibility.

A reading is known by series and event time, so that one that was sent twice counts once. What was refused, by the
answer at the door or in the quarantine, was not acknowledged as good, unless it was sent again and taken.
"""

from collections import Counter
from collections.abc import Iterable

from maasloop.twin.devices.readings import Reading

_TIME_BITS = 48


class Ledger:
    """Distinct acknowledged readings. Times lie within four years after ``origin_us``."""

    def __init__(self, origin_us: int) -> None:
        """Begin empty."""
        self._origin_us = origin_us
        self._series: dict[tuple[str, str], int] = {}
        self._acknowledged: set[int] = set()
        self._again: Counter[int] = Counter()
        self._refused: Counter[int] = Counter()
        self.refused_by_reason: Counter[str] = Counter()

    def acknowledge(self, readings: Iterable[Reading]) -> None:
        """Note readings whose custody somebody else has taken."""
        for reading in readings:
            key = self._key(reading)
            if key in self._acknowledged:
                self._again[key] += 1
            self._acknowledged.add(key)

    def refuse(self, readings: Iterable[Reading], reason: str) -> None:
        """Note readings that were refused."""
        for reading in readings:
            self._refused[self._key(reading)] += 1
            self.refused_by_reason[reason] += 1

    @property
    def good_count(self) -> int:
        """Return how many distinct readings were acknowledged as good."""
        return len(self._acknowledged) - sum(key in self._acknowledged and not self._good(key) for key in self._refused)

    def holds(self, reading: Reading) -> bool:
        """Tell whether a reading was acknowledged as good."""
        key = self._key(reading)
        return key in self._acknowledged and self._good(key)

    def _good(self, key: int) -> bool:
        return self._refused.get(key, 0) < 1 + self._again.get(key, 0)

    def _key(self, reading: Reading) -> int:
        number = self._series.setdefault(reading.series, len(self._series))
        return (number << _TIME_BITS) | (reading.event_time_us - self._origin_us)
