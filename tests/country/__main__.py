"""A hundred cities on the platform as it is: ``make sim-scale`` writes docs/reports/scale.md.

Costs are measured (``maasloop size`` uses the same), sizes of cities and rates of failures are assumptions that stand in the report.
"""

import argparse
import math
import random
import sys
from pathlib import Path

from tests.country import cities, model
from tests.country.cities import City
from tests.country.model import Divided, Outage
from tests.load.figures import percentile

from maasloop.stack.capacity import UTILISATION, Costs, size
from maasloop.stack.capacity import City as Asked

REPORT = Path("docs/reports/scale.md")
SEED = 7
SHOWN = (1, 2, 5, 10, 25, 50, 100)
"""Ranks of the cities in the table."""


def report(seed: int, costs: Costs) -> str:
    """Return the whole report."""
    country = cities.country(seed)
    lines = [
        "# A country of a hundred cities",
        "",
        *_assumptions(country, costs, seed),
    ]
    for door in costs.reading_cpu_ms:
        lines += ["", f"## Readings by {door}", "", *_door(country, costs, door, seed)]
    return "\n".join(lines) + "\n"


def _assumptions(country: list[City], costs: Costs, seed: int) -> list[str]:
    people, junctions, lamps = (
        sum(getattr(city, what) for city in country) for what in ("people", "junctions", "lamps")
    )
    districts = sum(len(city.districts) for city in country)
    readings_per_s = sum(city.readings_per_s for city in country)
    return [
        "Written by `make sim-scale`; do not edit. Sizes of cities and rates of failures are assumptions (`tests/country/`);",
        f"costs are those of `maasloop size`, measured {costs.measured['time']} at commit `{costs.measured['commit']}`.",
        f"Seed {seed}.",
        "",
        f"{people:,} people, {junctions:,} junctions, {lamps:,} lamps, {districts:,} districts,",
        f"{readings_per_s:,.0f} readings a second.",
    ]


def _door(country: list[City], costs: Costs, door: str, seed: int) -> list[str]:
    writer = model.writer_readings_per_s(costs, door)
    divided = {city.name: model.divide(city, writer) for city in country}
    lines = [
        f"One writer takes {writer:,.0f} readings/s at a whole core and is planned for {UTILISATION:.0%} of it.",
        "",
        "| city | people | readings/s | districts | partitions | busiest writer | hot district may send | pods | busy cores |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_row(city, divided[city.name], costs, door) for city in country if int(city.name[-3:]) in SHOWN]
    too_hot = sum(not found.fits for found in divided.values())
    several = sum(found.partitions > 1 for found in divided.values())
    factors = [found.hot_factor for found in divided.values()]
    lines += [
        "",
        f"Cities of more than one partition: {several}. Cities whose districts do not fit the plan however they are divided:",
        f"{too_hot}. The busiest district may send {min(factors):,.1f} times as much before a writer is at a whole core in the",
        f"tightest city, {percentile(factors, 50):,.1f} times in the median one.",
        "",
        "What is outgrown, the first one first:",
        "",
        "| what | at |",
        "|---|---:|",
        *(f"| {name} | {figure:,.0f} {unit} |" for name, figure, unit in model.limits(costs, door)),
        "",
        "A year of failures:",
        "",
        "| failure | times | readings wait, s: p50 | p99 | longest | most waiting | caught up after, s: p99 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    year = model.outages(country, divided, writer, random.Random(seed))
    return lines + [_failures(kind.name, [one for one in year if one.kind == kind.name]) for kind in model.FAILURES]


def _row(city: City, found: Divided, costs: Costs, door: str) -> str:
    need = size(Asked(city.readings_per_s, city.lamps, city.junctions, door), costs)
    return (
        f"| {city.name} | {city.people:,} | {city.readings_per_s:,.0f} | {len(city.districts)} | {found.partitions} | "
        f"{found.busiest:.0%} | {found.hot_factor:,.1f} times | {need.pods} | {need.cores:.1f} |"
    )


def _failures(name: str, found: list[Outage]) -> str:
    seconds = [one.seconds for one in found]
    caught_up = percentile([one.caught_up_s for one in found], 99)
    return (
        f"| {name} | {len(found)} | {percentile(seconds, 50):.1f} | {percentile(seconds, 99):.1f} | {max(seconds):.1f} | "
        f"{max(one.waiting for one in found):,.0f} | {'never' if math.isinf(caught_up) else f'{caught_up:.1f}'} |"
    )


def main() -> int:
    """Write the report and return the exit status."""
    parser = argparse.ArgumentParser(prog="sim-scale", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    text = report(parser.parse_args().seed, Costs.read())
    REPORT.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{text}\nwritten to {REPORT}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
