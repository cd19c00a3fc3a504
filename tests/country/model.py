"""Partitions, hot districts and outages of a city, from measured cost; pure functions of their arguments.

A writer is one process of timeseries with its connection to PostgreSQL; it is planned for ``UTILISATION`` of a core. A district
belongs to the partition that its checksum says, as in timeseries, and is never divided.
"""

import math
import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.country.cities import City

from maasloop.stack.capacity import NATS_CORES_MAX, POSTGRES_CORES_MAX, UTILISATION, Costs

PARTITIONS_MAX = 64
MS = 1_000.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind of failure: how often it happens to one instance, and how long readings then wait."""

    name: str
    a_year: float
    median_s: float
    p99_s: float


FAILURES = (
    # Recovery of docs/reports/faults.md, measured by killing processes under load.
    Failure("ingest killed", 12.0, 1.40, 1.82),
    Failure("timeseries killed", 12.0, 1.57, 1.70),
    Failure("NATS killed", 6.0, 0.51, 0.51),
    Failure("PostgreSQL killed", 6.0, 2.60, 3.43),
    # Ten seconds of the lease (decision 0021) and a start on the same node.
    Failure("writer's container killed hard", 6.0, 11.6, 20.0),
    # Kubernetes notices a lost node after 50 s and evicts after 300 s (its defaults); then the pod starts elsewhere.
    Failure("node of a writer lost", 1.0, 360.0, 420.0),
)
"""Rates are assumptions, one a month or less; times are measured or documented."""


@dataclass(frozen=True, slots=True)
class Divided:
    """A city whose districts are divided between writers."""

    partitions: int
    busiest: float
    """Share of its planned core that the busiest writer uses."""

    hot_factor: float
    """How many times as much its busiest district may send before a writer is at a whole core."""

    fits: bool
    """False where one district alone is more than a writer is planned for."""


@dataclass(frozen=True, slots=True)
class Outage:
    """What one failure did."""

    kind: str
    seconds: float
    waiting: float
    """Readings in the stream when it ended."""

    caught_up_s: float
    """From the end of the failure until nothing waits; infinite where a writer is full."""


def writer_readings_per_s(costs: Costs, door: str) -> float:
    """Return what one writer takes at a whole core: its own time, or that of its connection where that is more."""
    own, database = costs.reading_cpu_ms[door]["timeseries"], costs.reading_cpu_ms[door]["postgres"]
    return MS / max(own, database)


def divide(city: City, writer: float) -> Divided:
    """Return the fewest partitions of which none is more than planned; as many as help, where a district is too large."""
    planned = writer * UTILISATION
    least = max(1, math.ceil(city.readings_per_s / planned))
    best, loads = 1, [city.readings_per_s]
    for partitions in range(least, min(PARTITIONS_MAX, max(least, len(city.districts))) + 1):
        found = partition_loads(city, partitions)
        if max(found) < max(loads) or partitions == least:
            best, loads = partitions, found
        if max(found) <= planned:
            break
    hottest = max(city.districts, key=lambda district: district.readings_per_s)
    beside = loads[partition_of(hottest.name, best)] - hottest.readings_per_s
    return Divided(
        partitions=best,
        busiest=max(loads) / planned,
        hot_factor=max(0.0, writer - beside) / hottest.readings_per_s,
        fits=max(loads) <= planned,
    )


def partition_of(district: str, partitions: int) -> int:
    """Return the partition of a district (decision 0024)."""
    return zlib.crc32(district.encode()) % partitions


def partition_loads(city: City, partitions: int) -> list[float]:
    """Return the readings a second of each partition."""
    loads = [0.0] * partitions
    for district in city.districts:
        loads[partition_of(district.name, partitions)] += district.readings_per_s
    return loads


def outages(cities: Sequence[City], divided: Mapping[str, Divided], writer: float, rng: random.Random) -> list[Outage]:
    """Return what fails in a year in all cities; each failure stops the busiest writer, or what all its readings pass."""
    found = []
    for city in cities:
        share = divided[city.name].busiest * writer * UTILISATION
        for kind in FAILURES:
            for _ in range(_poisson(kind.a_year, rng)):
                seconds = _lasting(kind, rng)
                spare = writer - share
                caught_up_s = seconds * share / spare if spare > 0 else math.inf
                found.append(Outage(kind.name, seconds, seconds * share, caught_up_s))
    return found


def limits(costs: Costs, door: str) -> list[tuple[str, float, str]]:
    """Return what is outgrown, the first one first: name, figure and unit."""
    cpu = costs.reading_cpu_ms[door]
    junctions = UTILISATION * MS / costs.junction_second_cpu_ms
    of_a_junction = 16.0
    return sorted(
        [
            ("one process of ingest", UTILISATION * MS / cpu["ingest"], "readings/s"),
            ("all of it on the machine that was measured", costs.reading_rows_per_s[door], "readings/s"),
            ("one writer", UTILISATION * writer_readings_per_s(costs, door), "readings/s"),
            (f"one nats-server of {NATS_CORES_MAX:.0f} cores", NATS_CORES_MAX * MS / cpu["nats"], "readings/s"),
            (
                f"one PostgreSQL of {POSTGRES_CORES_MAX:.0f} cores",
                POSTGRES_CORES_MAX * MS / cpu["postgres"],
                "readings/s",
            ),
            (f"one actuation ({junctions:,.0f} junctions)", junctions * of_a_junction, "readings/s of their detectors"),
        ],
        key=lambda limit: limit[1],
    )


def _lasting(kind: Failure, rng: random.Random) -> float:
    """Draw from the log-normal distribution with the median and 99th percentile of the kind."""
    sigma = math.log(kind.p99_s / kind.median_s) / 2.326
    return kind.median_s * math.exp(sigma * rng.gauss(0.0, 1.0))


def _poisson(mean: float, rng: random.Random) -> int:
    """Draw how often something happens (Knuth)."""
    floor, product, count = math.exp(-mean), rng.random(), 0
    while product > floor:
        product *= rng.random()
        count += 1
    return count
