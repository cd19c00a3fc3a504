"""The bench of the data path: ``make bench`` writes ``.maasloop/bench/data-path.json`` and prints a table.

The limit (raw COPY) and our doors are measured in turn, so that a machine that slows down slows both; median and spread of
three repeats are told. Servers and services are the bench's own, begin on empty state and are stopped. Everything a
deployment has is on: rollups, newest observations, accounts, consent gate, projection of the registry.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from tests.load import city, doors, figures, history, loop, machine, memory, mqtt_pairs, processes, reads
from tests.load.lab import BENCHES, Lab, Measured, directory, laboratory
from tests.load.raw_copy import copy_rows_per_s

OUTPUT = BENCHES / "data-path.json"
REPEATS = 3
SECONDS = 300
"""Street seconds of a run of the headline: 3 M rows with 10,000 series."""
SECONDS_BESIDE = 100
"""Street seconds of a run of NATS batches."""
ROWS_A_MESSAGE = (1_000, 5_000)
SINGLES = 20_000
HTTP_REQUESTS = 2_000
HTTP_SINGLES = 8_000
SENML_PACKS = 200
LOOPS = 1_200
BACKLOG_ROWS = 3_000_000
DEVICES = 100_000
PARTS = ("doors", "reads", "loop", "memory")
TAKEN = 0.9
"""Share of what is offered that has to come in for the readings to count as coming in at that rate."""
MILLION = 1_000_000

type Figures = defaultdict[str, list[float]]


async def throughput(lab: Lab, *, seconds: int, repeats: int) -> dict[str, Any]:
    """Measure raw COPY and the doors."""
    found: Figures = defaultdict(list)
    cpu: dict[str, dict[str, float]] = {}
    for _ in range(repeats):
        await _limit(lab, found, seconds)
        for rows in ROWS_A_MESSAGE:
            for name, send in (("batch", doors.grpc_batches), ("call", doors.grpc_calls)):
                await lab.empty()
                gc.collect()
                _note(found, cpu, f"grpc_{name}_{rows}", await send(lab, seconds=seconds, rows=rows))
        _say(", ".join(f"{name} {values[-1]:,.0f}" for name, values in found.items()))
    await lab.empty()
    for _ in range(repeats):
        for name, run in _other_doors(lab, min(seconds, SECONDS_BESIDE), share=seconds / SECONDS):
            _note(found, cpu, name, await run())
            _say(f"{name}: {found[f'{name}_rows_per_s'][-1]:,.0f} rows/s")
    pairs = await mqtt_pairs.measure(lab, side_s=mqtt_pairs.SIDE_S * seconds / SECONDS)
    return summary(found | pairs) | {"cpu_s_per_million_rows": cpu}


def _other_doors(lab: Lab, seconds: int, *, share: float) -> list[tuple[str, Callable[[], Awaitable[Measured]]]]:
    """Return the runs of the doors beside gRPC batches; a short bench sends a share of the readings."""

    def part(count: int) -> int:
        return max(10, int(count * share))

    return [
        ("nats_batch_1000", lambda: doors.nats_batches(lab, seconds=seconds, rows=1_000)),
        ("http_json", lambda: doors.http_json(lab, requests=part(HTTP_REQUESTS))),
        ("senml", lambda: doors.http_senml(lab, packs=part(SENML_PACKS))),
        ("senml_cbor", lambda: doors.http_senml(lab, packs=part(SENML_PACKS), cbor=True)),
        ("grpc_stream_single", lambda: doors.grpc_stream_singles(lab, readings=part(SINGLES))),
        ("http_single", lambda: doors.http_json(lab, requests=part(HTTP_SINGLES), readings_a_request=1)),
    ]


async def _limit(lab: Lab, found: Figures, seconds: int) -> None:
    """Measure raw COPY in both orders."""
    start_us = lab.street.take(seconds)
    for order, by_series in (("time", False), ("series", True)):
        await lab.store.empty()
        rate = await copy_rows_per_s(
            lab.stack.service_dsns["timeseries"],
            start_us=start_us,
            series=city.DEVICES,
            seconds=seconds,
            by_series=by_series,
        )
        found[f"copy_{order}_order_rows_per_s"].append(rate)


def _note(found: Figures, cpu: dict[str, dict[str, float]], name: str, measured: Measured) -> None:
    found[f"{name}_rows_per_s"].append(measured.rows_per_s)
    found[f"{name}_acknowledged_rows_per_s"].append(measured.acknowledged_rows_per_s)
    cpu[name] = measured.cpu_s


def summary(found: dict[str, list[float]]) -> dict[str, Any]:
    """Return median and spread of each figure, and the ratios to the better order of raw COPY."""
    told: dict[str, Any] = {
        name: figures.spread(values, 3 if name.endswith("ratio") else 0) for name, values in found.items()
    }
    best = max(told["copy_time_order_rows_per_s"]["median"], told["copy_series_order_rows_per_s"]["median"])
    told["copy_rows_per_s"] = best
    for rows in ROWS_A_MESSAGE:
        told[f"ratio_{rows}"] = round(told[f"grpc_batch_{rows}_rows_per_s"]["median"] / best, 3)
        told[f"ratio_call_{rows}"] = round(told[f"grpc_call_{rows}_rows_per_s"]["median"] / best, 3)
    told["ratio"] = min(told[f"ratio_{rows}"] for rows in ROWS_A_MESSAGE)
    told["grpc_batch_rows_per_s"] = told["grpc_batch_1000_rows_per_s"]
    return told


async def history_reads(lab: Lab, *, rows: int, copy_rows_per_s: float, own_rows_per_s: float) -> dict[str, Any]:
    """Fill a history and read it, idle and while half the limit comes in.

    The limit is raw COPY. If half of that does not come in while reads are asked, half of our own rate is offered, and what
    counts is told as ``read_busy_half_of``.
    """
    await lab.store.empty()
    began_s = time.perf_counter()
    dsn = lab.stack.service_dsns["timeseries"]
    end = lab.street.midnight
    await history.fill(dsn, series=reads.SERIES, days=reads.DAYS, rows=rows, end=end)
    filled_s = round(time.perf_counter() - began_s, 1)
    _say(f"history of {rows:,} rows filled in {filled_s} s")
    found = await reads.measure(lab, end, rows_per_s=copy_rows_per_s / 2, rows=rows)
    half_of, came = "copy_rows_per_s", found["read_busy_acknowledged_rows_per_s"]
    if came < TAKEN * copy_rows_per_s / 2:
        half_of, idle = "grpc_batch_1000_rows_per_s", {name: found[name] for name in found if "_idle_" in name}
        _say(f"half of COPY is {copy_rows_per_s / 2:,.0f} rows/s, {came:,} came in: half of our own is offered")
        found = idle | await reads.busy(lab, end, idle, rows_per_s=own_rows_per_s / 2, rows=rows)
        found["read_busy_of_copy_acknowledged_rows_per_s"] = came
    return {"read_rows": rows, "read_filled_s": filled_s, "read_busy_half_of": half_of, **found}


async def bench(arguments: argparse.Namespace, earlier: dict[str, Any]) -> dict[str, Any]:
    """Measure what was asked for, and return it over what an earlier run found; each part is kept as soon as it ends."""
    told: dict[str, Any] = earlier | {"machine": machine.about()}
    began_s = part_s = time.perf_counter()
    parts = set(arguments.parts.split(","))
    took_s: dict[str, int] = dict(earlier.get("took_s_by_part", {}))

    def took(*names: str) -> None:
        nonlocal part_s
        part_s, since_s = time.perf_counter(), part_s
        for name in parts.intersection(names):
            took_s[name] = round(part_s - since_s)
            _say(f"{name} took {took_s[name]} s")
        machine.write(OUTPUT, told)

    if parts & {"doors", "reads"}:
        async with laboratory() as lab:
            processes.forget_peaks(lab.stack)
            async with processes.sampled(lab.stack, 5.0) as samples:
                if "doors" in parts:
                    told |= await throughput(lab, seconds=arguments.seconds, repeats=arguments.repeats)
                    took("doors")
                if "reads" in parts:
                    copy = told.get("copy_rows_per_s", arguments.copy_rows_per_s)
                    own = told.get("grpc_batch_1000_rows_per_s", {}).get("median", copy / 2)
                    told |= await history_reads(lab, rows=arguments.rows, copy_rows_per_s=copy, own_rows_per_s=own)
                    took("reads")
            told["peak_rss_mib"] = samples.peaks_mib() | processes.peak_mib(lab.stack)
    if "loop" in parts:
        told |= await loop.measure(arguments.loops, backlog=arguments.backlog)
        took("loop")
    if "memory" in parts:
        with directory() as root:
            told |= await memory.measure(root, arguments.devices)
        took("memory")
    told["took_s_by_part"] = took_s
    told["took_s"] = round(time.perf_counter() - began_s)
    return told


def limits(told: dict[str, Any]) -> list[str]:
    """Return the limits of the issue beside what was found."""
    lines = [
        figures.judged("ratio_5000", told, at_least=0.8),
        figures.judged("ratio_1000", told, at_least=0.7),
        figures.judged("mqtt_ratio", told, at_least=0.8),
        figures.judged("senml_rows_per_s", told, at_least=40_000),
        figures.judged("loop_latency_p99_ms_at_10000", told, at_most=50),
        figures.judged("loop_over_floor", told, at_most=2.5),
        figures.judged("loop_behind_p99_ms", told, at_most=100),
    ]
    for name, limit_ms in reads.LIMITS_MS.items():
        lines.append(figures.judged(f"read_{name}_idle_p50_ms", told, at_most=limit_ms))
        lines.append(figures.judged(f"read_{name}_busy_over_idle", told, at_most=2.0))
    return lines


def table(told: dict[str, Any]) -> list[str]:
    """Return a line a figure."""
    lines = []
    for name, value in told.items():
        if isinstance(value, dict) and "median" in value:
            lines.append(f"{name:44} {value['median']:>12,}   ({value['min']:,} to {value['max']:,})")
        elif isinstance(value, int | float):
            lines.append(f"{name:44} {value:>12,}")
        else:
            lines.append(f"{name:44} {json.dumps(value)}")
    return lines


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the bench and return the exit status."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="street seconds of a run; 10,000 rows each")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--rows", type=int, default=reads.ROWS, help="rows of the history that is read")
    parser.add_argument("--devices", type=int, default=DEVICES, help="devices of the second look at memory")
    parser.add_argument("--loops", type=int, default=LOOPS, help="samples of the loop latency with each background")
    parser.add_argument("--backlog", type=int, default=BACKLOG_ROWS, help="rows read in while the loop is measured")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure; some only: over what is in the file")
    parser.add_argument(
        "--copy-rows-per-s", type=float, default=0.5 * MILLION, help="the limit for reads measured without the doors"
    )
    arguments = parser.parse_args()
    some = set(arguments.parts.split(",")) != set(PARTS)
    earlier = json.loads(OUTPUT.read_text(encoding="utf-8")) if some and OUTPUT.exists() else {}
    told = asyncio.run(bench(arguments, earlier))
    machine.write(OUTPUT, told)
    print("\n".join(table(told)))
    print("\n".join(limits(told)))
    print(f"written to {OUTPUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
