"""The quiet devices: air, noise, rain, parking, waste, crowds, daylight, and two sensors that people carry.

Their values follow the second and a seed only. Three stories are written in: soot drifts over the first air station, a
shower passes, and one noise station falls silent.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from maasloop.twin.devices.readings import MICROSECONDS, Position, Reading

SLOW_S = 10
PARKING_S = 5
WASTE_S = 60
CHANGE_CHANCE = 0.03
NIGHT_LX = 0.3


@dataclass(frozen=True)
class Story:
    """An episode of a run, in seconds after its beginning."""

    begins_s: int
    ends_s: int

    def tells(self, passed_s: int) -> bool:
        """Tell whether it goes on."""
        return self.begins_s <= passed_s < self.ends_s


class Stations:
    """All quiet devices of a district; ``passed_s`` counts from the beginning of the run."""

    def __init__(self, *, begin_s: int, duration_s: int, seed: int) -> None:
        """Write the stories of the run."""
        self.soot = Story(duration_s // 5, duration_s // 5 + max(40, duration_s // 5))
        self.shower = Story(duration_s // 2, duration_s // 2 + max(30, duration_s // 6))
        self.silence = Story(duration_s // 3, duration_s)
        self._begin_s = begin_s
        self._random = Random(seed)
        self._occupied: dict[str, bool] = {}
        self._fill: dict[str, float] = {}

    def air(self, station: str, number: int, second: int) -> list[Reading]:
        """Return what an air station says."""
        if (second + number) % SLOW_S:
            return []
        soot = 95.0 if number == 0 and self.soot.tells(second - self._begin_s) else 0.0
        time_us = second * MICROSECONDS
        return [
            Reading(station, "pm25", time_us, self._around(11.0 + soot, 2.0)),
            Reading(station, "no2", time_us, self._around(24.0, 4.0)),
            Reading(station, "temperature", time_us, self._around(7.5, 0.3)),
        ]

    def noise(self, station: str, number: int, second: int, vehicles: int) -> list[Reading]:
        """Return what a noise station says."""
        if (second + number) % SLOW_S or (number == 0 and self.silence.tells(second - self._begin_s)):
            return []
        level = 48.0 + 6.0 * math.log10(1 + vehicles)
        return [Reading(station, "noise-level", second * MICROSECONDS, self._around(level, 1.5))]

    def rain(self, gauge: str, second: int) -> list[Reading]:
        """Return what the rain gauge says."""
        if second % SLOW_S:
            return []
        intensity = self._around(9.0, 2.0) if self.shower.tells(second - self._begin_s) else 0.0
        return [Reading(gauge, "rain-intensity", second * MICROSECONDS, intensity)]

    def light(self, sensor: str, second: int) -> list[Reading]:
        """Return what the light sensor says: it is night."""
        return [] if second % SLOW_S and second != self._begin_s else self.darkness(sensor, second)

    def darkness(self, sensor: str, second: int) -> list[Reading]:
        """Return the light of the night."""
        return [Reading(sensor, "illuminance", second * MICROSECONDS, self._around(NIGHT_LX, 0.05))]

    def parking(self, bays: Sequence[str], second: int) -> list[Reading]:
        """Return the bays that tell now, changed ones among them."""
        if second % PARKING_S:
            return []
        said = []
        for number, bay in enumerate(bays):
            if self._random.random() < CHANGE_CHANCE:
                self._occupied[bay] = not self._occupied.get(bay, number % 3 == 0)
            occupied = self._occupied.setdefault(bay, number % 3 == 0)
            if (second // PARKING_S + number) % 4 == 0:
                said.append(Reading(bay, "bay-occupied", second * MICROSECONDS, 1.0 if occupied else 0.0))
        return said

    def waste(self, container: str, number: int, second: int) -> list[Reading]:
        """Return how full a container is."""
        if (second + 7 * number) % WASTE_S:
            return []
        level = min(100.0, self._fill.get(container, 20.0 + 6.0 * number) + self._random.random())
        self._fill[container] = level
        return [Reading(container, "fill-level", second * MICROSECONDS, round(level, 1))]

    def crowd(self, counter: str, number: int, second: int) -> list[Reading]:
        """Return how many people a counter sees."""
        if (second + number) % SLOW_S:
            return []
        people = max(0, round(self._random.gauss(30 - 8 * number, 6)))
        return [Reading(counter, "people-count", second * MICROSECONDS, float(people))]

    def bicycle(self, sensor: str, second: int, place: Position) -> list[Reading]:
        """Return what the sensor on a citizen's bicycle says."""
        time_us = second * MICROSECONDS
        return [
            Reading(sensor, "pm25", time_us, self._around(13.0, 3.0)),
            Reading(sensor, "position", time_us, place),
        ]

    def wearable(self, sensor: str, second: int) -> list[Reading]:
        """Return the heart rate of the person who wears it."""
        return [Reading(sensor, "heart-rate", second * MICROSECONDS, round(self._around(118.0, 6.0)))]

    def _around(self, mean: float, spread: float) -> float:
        return round(max(0.0, self._random.gauss(mean, spread)), 2)


def numbered(name: str, count: int) -> Iterator[str]:
    """Return ids of that many devices."""
    return (f"{name}-{number:02}" for number in range(1, count + 1))
