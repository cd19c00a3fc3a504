"""Detector logics without a street: vehicles that come at random, wait while their signal group is not green, and are counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from .sheet import CountingSheet, DetectorSheet

CLASSES = {"P": 78, "PS": 3, "L": 7, "LS": 3, "B": 3, "SP": 0, "MC": 2, "C": 3, "F": 1}
"""Share of each class of status S0204 in percent."""
HEADWAY_S = 2.0
"""Between two vehicles of a queue that leaves."""
PASSAGE_S = 0.6
"""A vehicle that need not stop is on the detector for so long."""
FREE_KMH, FROM_QUEUE_KMH = (45, 5), (18, 3)
"""Mean and standard deviation of speeds."""
QUEUE_MAX = 50


@dataclass(slots=True)
class Counts:
    """What one detector logic counted in an interval."""

    start: datetime
    vehicles: int = 0
    speeds_kmh: int = 0
    occupied_s: float = 0.0
    classes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLASSES, 0))

    @property
    def speed_kmh(self) -> int:
        """Return the mean speed; 0 without vehicles."""
        return round(self.speeds_kmh / self.vehicles) if self.vehicles else 0


@dataclass(slots=True)
class _Loop:
    sheet: DetectorSheet
    random: Random
    counts: Counts
    last: Counts | None = None
    next_s: float | None = None
    queue: int = 0
    free_s: float = 0.0
    """Until then a vehicle is on the detector, or the next of the queue has not reached it."""
    occupied: bool = False
    forced: bool | None = None


class Detectors:
    """The detector logics of a controller; one seed, one life."""

    def __init__(self, detectors: Mapping[str, DetectorSheet], counting: CountingSheet, now: datetime) -> None:
        """Begin to count."""
        self._interval = timedelta(seconds=counting.interval_s)
        self._length_s = counting.interval_s
        self._loops = {
            name: _Loop(each, Random(f"{counting.seed} {name}"), Counts(now)) for name, each in detectors.items()
        }
        self._step_s: float | None = None
        self._ends_s: float | None = None

    def active(self, name: str) -> bool:
        """Tell whether a detector logic is on, by a vehicle or by force."""
        loop = self._loops[name]
        return loop.occupied if loop.forced is None else loop.forced

    def forced(self, name: str) -> bool:
        """Tell whether it is forced, to whatever."""
        return self._loops[name].forced is not None

    def force(self, name: str, value: bool | None) -> None:
        """Force it (command M0008); None ends that."""
        self._loops[name].forced = value

    def groups_with_vehicles(self) -> frozenset[str]:
        """Return the signal groups before which a detector logic is on."""
        return frozenset(loop.sheet.group for name, loop in self._loops.items() if self.active(name))

    def counts(self, name: str) -> Counts:
        """Return the last whole interval, or the first one while it goes on."""
        loop = self._loops[name]
        return loop.last or loop.counts

    def occupancy_percent(self, name: str) -> int:
        """Return the share of that interval in which a vehicle was on the detector."""
        return min(100, round(100 * self.counts(name).occupied_s / self._length_s))

    def step(self, now_s: float, now: datetime, green: Callable[[str], bool]) -> None:
        """Let time pass."""
        passed_s = now_s - self._step_s if self._step_s is not None else 0.0
        self._step_s = now_s
        if self._ends_s is None:
            self._ends_s = now_s + self._length_s
        for loop in self._loops.values():
            loop.counts.occupied_s += passed_s if loop.occupied else 0.0
            self._move(loop, now_s, green=green(loop.sheet.group))
        if now_s >= self._ends_s:
            self._ends_s = now_s + self._length_s
            for loop in self._loops.values():
                loop.last, loop.counts = loop.counts, Counts(now)

    def _move(self, loop: _Loop, now_s: float, *, green: bool) -> None:
        if not loop.sheet.vehicles_per_hour:
            return
        rate = loop.sheet.vehicles_per_hour / 3600
        if loop.next_s is None:
            loop.next_s = now_s + loop.random.expovariate(rate)
        while now_s >= loop.next_s:
            loop.next_s += loop.random.expovariate(rate)
            loop.queue = min(QUEUE_MAX, loop.queue + 1)
            if green and loop.queue == 1 and now_s >= loop.free_s:
                loop.free_s = now_s + PASSAGE_S
        if green and loop.queue and now_s >= loop.free_s:
            self._count(loop, FROM_QUEUE_KMH if loop.queue > 1 else FREE_KMH)
            loop.queue -= 1
            loop.free_s = now_s + HEADWAY_S
        loop.occupied = loop.queue > 0

    @staticmethod
    def _count(loop: _Loop, speed_kmh: tuple[int, int]) -> None:
        loop.counts.vehicles += 1
        loop.counts.speeds_kmh += max(1, round(loop.random.gauss(*speed_kmh)))
        kind = loop.random.choices(tuple(CLASSES), tuple(CLASSES.values()))[0]
        loop.counts.classes[kind] += 1
