"""A country of a hundred cities: sizes by the rank-size rule, districts of different weight, readings by what stands there."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

CITIES = 100
PEOPLE_LARGEST = 1_800_000
"""The city of rank r has as many by r (rank-size rule, exponent 1)."""
PEOPLE_A_DISTRICT = 15_000
PEOPLE_A_JUNCTION = 3_000
"""About 5,500 signalled junctions for 17.9 million people in the Netherlands."""
PEOPLE_A_LAMP = 5
"""About 3.5 million public lights there."""
PEOPLE_A_SENSOR = 1_000
DETECTORS_A_JUNCTION = 16
DETECTOR_INTERVAL_S = 1.0
LAMP_INTERVAL_S = 300.0
LAMP_READINGS = 2
"""Power and level."""
SENSOR_INTERVAL_S = 60.0
WEIGHT_SIGMA = 0.7
"""Of the logarithm of a district's weight: the busiest of a hundred has about five times the median."""


@dataclass(frozen=True, slots=True)
class District:
    """A district and the readings that come from it."""

    name: str
    readings_per_s: float


@dataclass(frozen=True, slots=True)
class City:
    """A city."""

    name: str
    people: int
    junctions: int
    lamps: int
    districts: Sequence[District]

    @property
    def readings_per_s(self) -> float:
        """All its readings."""
        return sum(district.readings_per_s for district in self.districts)


def country(seed: int, cities: int = CITIES) -> list[City]:
    """Return the cities, the largest first; the same seed gives the same country."""
    rng = random.Random(seed)
    return [_city(rank, PEOPLE_LARGEST // rank, rng) for rank in range(1, cities + 1)]


def _city(rank: int, people: int, rng: random.Random) -> City:
    name = f"city-{rank:03}"
    junctions, lamps = max(1, people // PEOPLE_A_JUNCTION), people // PEOPLE_A_LAMP
    total = junctions * DETECTORS_A_JUNCTION / DETECTOR_INTERVAL_S
    total += lamps * LAMP_READINGS / LAMP_INTERVAL_S
    total += people / PEOPLE_A_SENSOR / SENSOR_INTERVAL_S
    weights = [rng.lognormvariate(0.0, WEIGHT_SIGMA) for _ in range(max(1, people // PEOPLE_A_DISTRICT))]
    whole = sum(weights)
    districts = [
        District(f"{name}-{number:03}", total * weight / whole) for number, weight in enumerate(weights, start=1)
    ]
    return City(name, people, junctions, lamps, districts)
