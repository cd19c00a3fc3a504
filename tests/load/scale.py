"""Does a row cost the same however many are there? ``make bench-scale`` writes ``.maasloop/bench/scale.json``.

Rows: a history of 1,000 series is made in three sizes; each is read, and rows are written through the doors into the same
tables. Up to ten million rows lie in two weeks; from there on the history is as much longer, so that a question has the same
answer whatever lies behind it. Series: the same number of rows is written over ever more series, always 1,000 rows a message. A
growth exponent b means that cost = a * size**b: 0 is flat.
"""

import argparse
import asyncio
import shutil
import statistics
import sys
import time
from typing import Any

from tests.load import city, doors, figures, history, machine, reads
from tests.load.data_path import table
from tests.load.lab import BENCHES, MILLION, Lab, Measured, laboratory

OUTPUT = BENCHES / "scale.json"
ROWS = "1000000,10000000,100000000"
SERIES = "100,10000,100000"
ROWS_A_MESSAGE = 1_000
WRITTEN_ROWS = 500_000
PROBES = 3
BYTES_A_ROW = 250
"""Row, index, rollups and write-ahead log on disk, generously."""
GIB = 2**30
RETENTION = "2y"
"""A class that keeps twenty weeks."""
BUDGET_S = 1_200.0
AFTER_FILL_S = 240.0
"""What writing, reading and the numbers of series take after the largest history is there."""
LESS = 0.3
"""Share of a size that is taken where the whole can't be had."""
SLOWER_MAX = 1.5
FLAT_MAX = 0.1


def shorter(rows: int, *, spent_s: float, rows_per_s: float, budget_s: float) -> str:
    """Return why a size can't be had on this machine in this time; nothing if it can."""
    BENCHES.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(BENCHES).free, rows * BYTES_A_ROW
    if free < needed:
        return f"needs {needed / GIB:.0f} GiB of disk, {free / GIB:.0f} are free"
    takes_s = rows / rows_per_s if rows_per_s else 0.0
    if spent_s + takes_s + AFTER_FILL_S > budget_s:
        return f"takes {takes_s:.0f} s at {rows_per_s:,.0f} rows/s, {budget_s - spent_s - AFTER_FILL_S:.0f} s are left"
    return ""


async def by_rows(sizes: list[int], budget_s: float) -> dict[str, Any]:
    """Read a history of each size, and write beside it."""
    told: dict[str, Any] = {}
    cost_us: list[float] = []
    made: list[int] = []
    began_s, rate = time.perf_counter(), 0.0
    for asked in sizes:
        rows = asked
        if why := shorter(asked, spent_s=time.perf_counter() - began_s, rows_per_s=rate, budget_s=budget_s):
            rows = int(asked * LESS)
            told[f"rows_{asked}_not_run"] = f"{rows:,} instead: {why}"
            _say(f"{asked:,} rows are not run, {told[f'rows_{asked}_not_run']}")
        async with laboratory(retention=RETENTION) as lab:
            found, cost, rate = await _of_rows(lab, rows)
        told |= found
        made.append(rows)
        cost_us.append(cost)
    if len(made) < 2:
        return told
    told["write_cost_by_rows_exponent"] = round(figures.growth_exponent(made, cost_us), 3)
    for name in reads.LIMITS_MS:
        latency_ms = [told[f"rows_{rows}_read_{name}_idle_p50_ms"] for rows in made]
        told[f"read_{name}_by_rows_exponent"] = round(figures.growth_exponent(made, latency_ms), 3)
        told[f"read_{name}_largest_over_next"] = round(latency_ms[-1] / latency_ms[-2], 2)
    return told


async def _of_rows(lab: Lab, rows: int) -> tuple[dict[str, Any], float, float]:
    """Return figures of one size, the cost of a row in µs, and the rate at which the history was made."""
    end, began_s = lab.street.midnight, time.perf_counter()
    dsn = lab.stack.service_dsns["timeseries"]
    days = max(reads.DAYS, reads.DAYS * rows // reads.ROWS)
    await history.fill(dsn, series=reads.SERIES, days=days, rows=rows, end=end, retention=RETENTION)
    filled_s = time.perf_counter() - began_s
    _say(f"{rows:,} rows: filled in {filled_s:.0f} s")
    runs = await _written(lab, seconds=max(1, WRITTEN_ROWS // lab.devices))
    told: dict[str, Any] = {
        f"rows_{rows}_filled_s": round(filled_s, 1),
        f"rows_{rows}_written_rows_per_s": figures.spread([run.rows_per_s for run in runs]),
    }
    found = await reads.measure(lab, end, rows_per_s=0, rows=rows, days=days)
    told |= {f"rows_{rows}_{name}": value for name, value in found.items() if "_p" in name}
    _say(f"{rows:,} rows: written and read after {time.perf_counter() - began_s:.0f} s")
    return told, MILLION / told[f"rows_{rows}_written_rows_per_s"]["median"], rows / filled_s


async def by_series(sizes: list[int]) -> dict[str, Any]:
    """Write the same number of rows over each number of series, and read the newest observations."""
    told: dict[str, Any] = {}
    cost_us: list[float] = []
    for series in sizes:
        async with laboratory(devices=series) as lab:
            a_second = max(1, ROWS_A_MESSAGE // series)
            seconds = max(1, WRITTEN_ROWS // (series * a_second))
            runs = await _written(lab, seconds=seconds, a_second=a_second)
            rates = [run.rows_per_s for run in runs]
            told[f"series_{series}_written_rows_per_s"] = figures.spread(rates)
            told[f"series_{series}_cpu_s_per_million_rows"] = runs[-1].cpu_s
            cost_us.append(MILLION / statistics.median(rates))
            samples = await reads.latest_of(lab, city.PARENT, min(reads.SERIES, series))
            told |= figures.latencies(f"series_{series}_latest", samples)
        _say(f"{series:,} series: {rates}")
    if len(sizes) > 1:
        told["write_cost_by_series_exponent"] = round(figures.growth_exponent(sizes, cost_us), 3)
    return told


async def _written(lab: Lab, *, seconds: int, a_second: int = 1) -> list[Measured]:
    """Write a few times; series are made before the clock runs: every one has had a reading."""
    await doors.grpc_calls(lab, seconds=1, rows=ROWS_A_MESSAGE, a_second=a_second)
    return [await doors.grpc_calls(lab, seconds=seconds, rows=ROWS_A_MESSAGE, a_second=a_second) for _ in range(PROBES)]


def _say(text: str) -> None:
    print(f"scale: {text}", file=sys.stderr, flush=True)


async def bench(rows: list[int], series: list[int], budget_s: float) -> dict[str, Any]:
    """Measure both."""
    told: dict[str, Any] = {"machine": machine.about()}
    began_s = time.perf_counter()
    if rows:
        told |= await by_rows(rows, budget_s)
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
        *(f"{name}: {value}" for name, value in told.items() if name.endswith("_not_run")),
    ]


def main() -> int:
    """Run the bench and return the exit status."""
    parser = argparse.ArgumentParser(prog="scale", description=__doc__)
    parser.add_argument("--rows", default=ROWS, help="sizes of the history, commas between; empty for none")
    parser.add_argument("--series", default=SERIES, help="numbers of series, commas between; empty for none")
    parser.add_argument("--budget-s", type=float, default=BUDGET_S, help="a size that does not fit in is made smaller")
    arguments = parser.parse_args()
    rows, series = ([int(size) for size in text.split(",") if size] for text in (arguments.rows, arguments.series))
    told = asyncio.run(bench(rows, series, arguments.budget_s))
    machine.write(OUTPUT, told)
    print("\n".join([*table(told), *limits(told), f"written to {OUTPUT}"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
