"""What telemetry costs the data path: the same load on two stacks, in turns, of which one is told on and one is not.

Told on: traces and metrics by OTLP to a collector, and scrapes of every service's ``/metrics``. Counting itself cannot
be switched off; it is in both. ``python -m tests.load.telemetry`` prints medians and the ratios of pairs.
"""

import argparse
import asyncio
import json
import statistics
import sys
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.load import doors
from tests.load.lab import DATA_PATH, Lab, Measured, laboratory
from tests.observability.collector import collecting

from maasloop.runtime.settings import environment_prefix

REPEATS = 5
SECONDS = 360
"""Street seconds of a run of batches: 3.6 million rows, about as long as one scrape's interval, so that a run does not
carry more than its share of what is told by the clock.
"""
ROWS = 1_000
SINGLES = 30_000
SCRAPE_EVERY_S = 15.0
"""As Prometheus does where nobody says otherwise; the first comes as a run starts."""
SCRAPE_TIMEOUT_S = 10.0
DOORS = ("grpc", "mqtt")


async def measure(*, repeats: int = REPEATS, seconds: int = SECONDS) -> dict[str, float]:
    """Return medians by door and side, and of the pairs how many times as much telemetry takes, in time and CPU time."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    with collecting() as (collector, endpoint):
        told = {"OTLP_ENDPOINT": endpoint, "OTLP_METRICS": "true"}
        settings = {environment_prefix(one) + name: value for one in DATA_PATH for name, value in told.items()}
        async with laboratory(environment=settings) as loud, laboratory() as silent:
            sides = {"loud": loud, "silent": silent}
            for repeat in range(repeats):
                for side in ("loud", "silent") if repeat % 2 else ("silent", "loud"):
                    for door, measured in (await _once(sides[side], seconds, scraped=side == "loud")).items():
                        found[f"{door}_rows_per_s_{side}"].append(measured.rows_per_s)
                        found[f"{door}_cpu_s_{side}"].append(_cpu_s(measured))
        found["spans"].append(len(collector.spans()))
    ratios = {}
    for door in DOORS:
        rows = [found[f"{door}_rows_per_s_{side}"] for side in ("silent", "loud")]
        cpu = [found[f"{door}_cpu_s_{side}"] for side in ("loud", "silent")]
        ratios[f"{door}_time_ratio"] = _median_ratio(*rows)
        ratios[f"{door}_cpu_ratio"] = _median_ratio(*cpu)
    return {name: statistics.median(values) for name, values in found.items()} | ratios


async def _once(lab: Lab, seconds: int, *, scraped: bool) -> dict[str, Measured]:
    async with _scraping(lab) if scraped else _left_alone():
        return {
            "grpc": await doors.grpc_calls(lab, seconds=seconds, rows=ROWS),
            "mqtt": await doors.mqtt_singles(lab, messages=SINGLES),
        }


@asynccontextmanager
async def _left_alone() -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def _scraping(lab: Lab) -> AsyncIterator[None]:
    async def scrape() -> None:
        while True:
            for service in DATA_PATH:
                await asyncio.to_thread(_read, f"http://{lab.stack.addresses[service].health}/metrics")
            await asyncio.sleep(SCRAPE_EVERY_S)

    scraping = asyncio.create_task(scrape())
    try:
        yield
    finally:
        scraping.cancel()
        await asyncio.gather(scraping, return_exceptions=True)


def _read(url: str) -> None:
    with urllib.request.urlopen(url, timeout=SCRAPE_TIMEOUT_S) as answer:  # noqa: S310 - our own service
        answer.read()


def _cpu_s(measured: Measured) -> float:
    """Return CPU seconds a million rows; what has a colon is part of another line."""
    return sum(seconds for name, seconds in measured.cpu_s.items() if ":" not in name)


def _median_ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(above, below, strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    arguments = parser.parse_args()
    found = asyncio.run(measure(repeats=arguments.repeats, seconds=arguments.seconds))
    sys.stdout.write(json.dumps({name: round(value, 3) for name, value in found.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
