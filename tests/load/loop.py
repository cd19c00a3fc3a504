"""Loop latency and its floor: actuation's bench, run as a process with servers and services of its own."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

BENCH = Path("services/actuation/bench/loop_latency.py")
BACKGROUNDS = (1_000, 5_000, 10_000)
FIRST_ISSUE = 5_000
"""The background of `loop_latency_p50_ms` and `loop_latency_p99_ms`."""
JUDGED = 10_000


async def measure(loops: int, *, backlog: int) -> dict[str, Any]:
    """Return latencies with each background, beside their floor, and while so many rows of a backlog are read in."""
    backgrounds = ",".join(map(str, BACKGROUNDS))
    command = [sys.executable, str(BENCH), "--json", "--loops", str(loops), "--background", backgrounds]
    process = await asyncio.create_subprocess_exec(*command, "--backlog", str(backlog), stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    if process.returncode:
        message = f"{BENCH} ended with status {process.returncode}"
        raise RuntimeError(message)
    return named(json.loads(printed.splitlines()[-1]))


def named(found: dict[str, Any]) -> dict[str, Any]:
    """Return the figures with the names of the report beside their own."""
    told = {f"loop_{name}" if name == "rss_mib" else name: value for name, value in found.items()}
    for part in ("p50", "p99"):
        told[f"loop_latency_{part}_ms"] = found[f"loop_latency_{part}_ms_at_{FIRST_ISSUE}"]
    told["loop_floor_p99_ms"] = found[f"loop_floor_p99_ms_at_{JUDGED}"]
    told["loop_over_floor"] = round(found[f"loop_latency_p99_ms_at_{JUDGED}"] / told["loop_floor_p99_ms"], 2)
    return told
