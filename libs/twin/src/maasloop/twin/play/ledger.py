"""The ledger of the devices: every reading for which somebody at the other end took responsibility.

A reading is known by series and event time, so that one that was sent twice counts once. What was refused, by the
answer at the door or in the quarantine, was not acknowledged as good.
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
        self._refused: set[int] = set()
        self.refused_by_reason: Counter[str] = Counter()

    def acknowledge(self, readings: Iterable[Reading]) -> None:
        """Note readings whose custody somebody else has taken."""
        self._acknowledged.update(self._key(reading) for reading in readings)

    def refuse(self, readings: Iterable[Reading], reason: str) -> None:
        """Note readings that were refused."""
        keys = [self._key(reading) for reading in readings]
        self._refused.update(keys)
        self.refused_by_reason[reason] += len(keys)

    @property
    def good_count(self) -> int:
        """Return how many distinct readings were acknowledged as good."""
        return len(self._acknowledged - self._refused)

    def holds(self, reading: Reading) -> bool:
        """Tell whether a reading was acknowledged as good."""
        key = self._key(reading)
        return key in self._acknowledged and key not in self._refused

    def _key(self, reading: Reading) -> int:
        number = self._series.setdefault(reading.series, len(self._series))
        return (number << _TIME_BITS) | (reading.event_time_us - self._origin_us)
