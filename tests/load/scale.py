"""Does a row cost the same however many are there? ``make bench-scale`` writes ``.maasloop/bench/scale.json``.

Rows: a history of 1,000 series over two weeks grows by tens; at each size it is read, and rows are written through the
doors beside it. Series: the same number of rows is written over ever more series. A growth exponent b means that
cost = a * size**b: 0 is flat.
"""

import argparse
import asyncio
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.load import city, doors, figures, history, machine, reads
from tests.load.data_path import table
from tests.load.lab import BENCHES, MILLION, laboratory

OUTPUT = BENCHES / "scale.json"
ROWS = "1000000,10000000,100000000"
SERIES = "100,10000,100000"
WRITTEN_ROWS = 1_000_000
BYTES_A_ROW = 250
"""Row, index, rollups and write-ahead log on disk, generously."""
GIB = 2**30
SLOWER_MAX = 1.5
FLAT_MAX = 0.1


def require_room(rows: int) -> None:
    """Refuse a size that the disk does not hold."""
    BENCHES.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(BENCHES).free, rows * BYTES_A_ROW
    if free < needed:
        message = f"{rows:,} rows need {needed / GIB:.0f} GiB of disk, {free / GIB:.0f} are free"
        raise RuntimeError(message)


async def by_rows(sizes: list[int]) -> dict[str, Any]:
    """Read a history of each size, and write beside it."""
    told: dict[str, Any] = {}
    cost_us: list[float] = []
    for rows in sizes:
        require_room(rows)
        async with laboratory() as lab:
            began_s = time.perf_counter()
            dsn = lab.stack.service_dsns["timeseries"]
            await history.fill(dsn, series=reads.SERIES, days=reads.DAYS, rows=rows, end=_end())
            told[f"rows_{rows}_filled_s"] = round(time.perf_counter() - began_s, 1)
            measured = await doors.grpc_batches(lab, seconds=WRITTEN_ROWS // lab.devices, rows=1_000)
            told[f"rows_{rows}_written_rows_per_s"] = round(measured.rows_per_s)
            cost_us.append(MILLION / measured.rows_per_s)
            found = await reads.measure(lab, _end(), rows_per_s=0, rows=rows)
            told |= {f"rows_{rows}_{name}": value for name, value in found.items() if "_p" in name}
    told["write_cost_by_rows_exponent"] = round(figures.growth_exponent(sizes, cost_us), 3)
    for name in reads.LIMITS_MS:
        latency_ms = [told[f"rows_{rows}_read_{name}_idle_p50_ms"] for rows in sizes]
        told[f"read_{name}_by_rows_exponent"] = round(figures.growth_exponent(sizes, latency_ms), 3)
        if len(sizes) > 1:
            told[f"read_{name}_largest_over_next"] = round(latency_ms[-1] / latency_ms[-2], 2)
    return told


async def by_series(sizes: list[int]) -> dict[str, Any]:
    """Write the same number of rows over each number of series, and read the newest observations."""
    told: dict[str, Any] = {}
    cost_us: list[float] = []
    for series in sizes:
        async with laboratory(devices=series) as lab:
            rows = min(1_000, series)
            # Under the clock no series is made: every one has had a reading.
            await doors.grpc_batches(lab, seconds=1, rows=rows)
            seconds = max(1, min(WRITTEN_ROWS // series, 3_600))
            measured = await doors.grpc_batches(lab, seconds=seconds, rows=rows)
            told[f"series_{series}_written_rows_per_s"] = round(measured.rows_per_s)
            told[f"series_{series}_cpu_s_per_million_rows"] = measured.cpu_s
            cost_us.append(MILLION / measured.rows_per_s)
            samples = await reads.latest_of(lab, city.PARENT, min(reads.SERIES, series))
            told |= figures.latencies(f"series_{series}_latest", samples)
    told["write_cost_by_series_exponent"] = round(figures.growth_exponent(sizes, cost_us), 3)
    return told


def _end() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)


async def bench(rows: list[int], series: list[int]) -> dict[str, Any]:
    """Measure both."""
    told: dict[str, Any] = {"machine": machine.about()}
    began_s = time.perf_counter()
    if rows:
        told |= await by_rows(rows)
    if series:
        told |= await by_series(series)
    told["took_s"] = round(time.perf_counter() - began_s)
    return told


def limits(told: dict[str, Any]) -> list[str]:
    """Return the limits beside what was found."""
    return [
        figures.judged("write_cost_by_rows_exponent", told, at_most=FLAT_MAX),
        figures.judged("write_cost_by_series_exponent", told, at_most=FLAT_MAX),
        *(figures.judged(f"read_{name}_largest_over_next", told, at_most=SLOWER_MAX) for name in reads.LIMITS_MS),
    ]


def main() -> int:
    """Run the bench and return the exit status."""
    parser = argparse.ArgumentParser(prog="scale", description=__doc__)
    parser.add_argument("--rows", default=ROWS, help="sizes of the history, commas between; empty for none")
    parser.add_argument("--series", default=SERIES, help="numbers of series, commas between; empty for none")
    arguments = parser.parse_args()
    rows, series = ([int(size) for size in text.split(",") if size] for text in (arguments.rows, arguments.series))
    told = asyncio.run(bench(rows, series))
    machine.write(OUTPUT, told)
    print("\n".join([*table(told), *limits(told), f"written to {OUTPUT}"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
