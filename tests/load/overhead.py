"""What identities and TLS cost the data path: the same load on two stacks, one with and one without, in turns.

``python -m tests.load.overhead`` prints what both do, and how many times as much security takes.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections import defaultdict

from tests.load import doors
from tests.load.lab import Lab, Measured, laboratory

REPEATS = 3
SECONDS = 60
"""Street seconds of a run of batches."""
WARM_UP_SECONDS = 5
ROWS = 5_000
SINGLES = 6_000
DOORS = ("grpc", "nats", "mqtt")


async def measure(*, repeats: int = REPEATS, seconds: int = SECONDS) -> dict[str, float]:
    """Return medians by door and side, and how many times as much security takes by them, in time and in CPU time.

    CPU time of all processes, the senders among them, says more on a machine that does other things as well.
    """
    found: defaultdict[str, list[float]] = defaultdict(list)
    async with laboratory(secure=True) as secure, laboratory(secure=False) as plain:
        sides = {"secure": secure, "plain": plain}
        for lab in sides.values():
            # What only the first run meets: new chunks, caches, connections.
            await _once(lab, WARM_UP_SECONDS)
        for repeat in range(repeats):
            for side in ("secure", "plain") if repeat % 2 else ("plain", "secure"):
                for door, measured in (await _once(sides[side], seconds)).items():
                    found[f"{door}_rows_per_s_{side}"].append(measured.rows_per_s)
                    found[f"{door}_cpu_s_{side}"].append(_cpu_s(measured))
                    for process, spent_s in measured.cpu_s.items():
                        found[f"{door}_cpu_s_{side}: {process}"].append(spent_s)
    ratios = {}
    for door in DOORS:
        plain_rows, secure_rows = found[f"{door}_rows_per_s_plain"], found[f"{door}_rows_per_s_secure"]
        plain_cpu, secure_cpu = found[f"{door}_cpu_s_plain"], found[f"{door}_cpu_s_secure"]
        ratios[f"{door}_time_ratio"] = statistics.median(plain_rows) / statistics.median(secure_rows)
        ratios[f"{door}_cpu_ratio"] = statistics.median(secure_cpu) / statistics.median(plain_cpu)
    return {name: statistics.median(values) for name, values in found.items()} | ratios


async def _once(lab: Lab, seconds: int) -> dict[str, Measured]:
    """Send by each door that differs."""
    return {
        "grpc": await doors.grpc_calls(lab, seconds=seconds, rows=ROWS),
        "nats": await doors.nats_batches(lab, seconds=seconds, rows=ROWS),
        "mqtt": await doors.mqtt_singles(lab, messages=SINGLES),
    }


def _cpu_s(measured: Measured) -> float:
    """Return CPU seconds a million rows; what has a colon is part of another line."""
    return sum(seconds for name, seconds in measured.cpu_s.items() if ":" not in name)


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
