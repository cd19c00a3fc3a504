"""What security costs: rows a second and the latency of the loop, with it and without, in turns on the same machine."""

import asyncio
import json
import statistics
import sys

from tests.faults.lab import ROOT
from tests.load import overhead
from tests.security.outcome import Outcome, Plan

RATIO_MAX, LOOP_RATIO_MAX = 1.1, 1.2
REPEATS, STREET_SECONDS = 3, 40
LOOPS = 400
LOOPS_A_SECOND = 40
BACKGROUND, DEVICES = 1_000, 1_000
BENCH = ROOT / "services" / "actuation" / "bench" / "loop_latency.py"
ORDER = (True, False, False, True)
"""With security or without: each kind is first once, so that a machine that tires favours none."""


async def run(plan: Plan) -> Outcome:
    """Measure both."""
    rows = await overhead.measure(repeats=plan.cases(REPEATS), seconds=max(2, plan.cases(STREET_SECONDS)))
    p99_ms: dict[bool, list[float]] = {True: [], False: []}
    for secure in ORDER:
        p99_ms[secure].append(await _loop_p99_ms(max(40, plan.cases(LOOPS)), secure=secure))
    loop_ratio = statistics.median(p99_ms[True]) / statistics.median(p99_ms[False])
    worst = max(value for name, value in rows.items() if name.endswith("_time_ratio"))
    worst_cpu = max(value for name, value in rows.items() if name.endswith("_cpu_ratio"))
    return Outcome.of(
        "what security costs",
        {
            f"rows a second: at most {RATIO_MAX} times as long": worst <= RATIO_MAX,
            f"the loop's p99: at most {LOOP_RATIO_MAX} times as long": loop_ratio <= LOOP_RATIO_MAX,
        },
        figures={
            "auth_overhead_ratio": round(worst, 3),
            "auth_cpu_ratio": round(worst_cpu, 3),
            "loop_p99_ratio": round(loop_ratio, 3),
        },
        notes=(
            *(f"{name}: {value:,.3f}" for name, value in rows.items()),
            f"loop p99 with security {p99_ms[True]} ms, without {p99_ms[False]} ms",
        ),
    )


async def _loop_p99_ms(loops: int, *, secure: bool) -> float:
    """Run the bench of the loop in a process of its own."""
    command = [sys.executable, str(BENCH), "--json", "--loops", str(loops), "--rate", str(LOOPS_A_SECOND)]
    command += ["--background", str(BACKGROUND), "--devices", str(DEVICES), *(["--secure"] if secure else [])]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
    if process.returncode:
        message = f"{BENCH} ended with status {process.returncode}"
        raise RuntimeError(message)
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found["loop_latency_p99_ms"]
