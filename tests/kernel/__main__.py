"""A million random requests at the safety kernel for signals: ``make kernel``.

Streets of real junctions and of made-up ones play whatever the kernel permits, and a plain reading of each second judges them
(``chance.py``, ``reading.py``). Of two small junctions every request at every state is judged (``exhaustive.py``). With
``--sabotage RULE`` the kernel permits what breaks that rule: the run must fail then.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tests.kernel import exhaustive, sheets
from tests.kernel.chance import Found, lot
from tests.load import machine

from maasloop.actuation.domain.signals.kernel import RefusalReason

REPORT = Path(".maasloop") / "bench" / "kernel.json"
REQUESTS = 1_000_000
LOT = 10_000
"""Requests of one lot; each has a seed of its own."""
SHOWN_MAX = 5


def run(requests: int, seed: int, workers: int, sabotage: str = "") -> tuple[Found, list[exhaustive.Explored]]:
    """Ask by chance in lots, and everything of small junctions, on so many processes, with progress."""
    networks = sheets.of_networks()
    sizes = [LOT] * (requests // LOT) + ([requests % LOT] if requests % LOT else [])
    whole, told_s = Found(), time.monotonic()
    with ProcessPoolExecutor(workers) as pool:
        ask = partial(lot, networks=networks, sabotage=sabotage)
        small = [pool.submit(exhaustive.whole, conflict=conflict, broken=sabotage) for conflict in (True, False)]
        for found in pool.map(ask, range(seed, seed + len(sizes)), sizes):
            whole.add(found)
            if time.monotonic() - told_s > 10.0:
                told_s = time.monotonic()
                print(f"kernel: {whole.asked:,} requests, {len(whole.breaches)} breaches", file=sys.stderr, flush=True)
        return whole, [one.result() for one in small]


def main() -> int:
    """Ask, print what came of it, and return the exit status."""
    parser = argparse.ArgumentParser(prog="kernel", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sabotage", choices=[reason.value for reason in RefusalReason], default="")
    arguments = parser.parse_args()
    began_s = time.monotonic()
    found, small = run(arguments.requests, arguments.seed, arguments.workers, arguments.sabotage)
    told = {
        "machine": machine.about(),
        "seed": arguments.seed,
        "sabotage": arguments.sabotage,
        "requests": found.asked,
        "permitted": found.permitted,
        "streets": found.streets,
        "street_seconds": found.seconds,
        "refused": dict(sorted(found.refused.items())),
        "breaches": len(found.breaches),
        "exhaustive": [asdict(one) for one in small],
        "took_s": round(time.monotonic() - began_s),
    }
    machine.write(REPORT, told)
    for name, value in told.items():
        print(f"{name:16} {json.dumps(value)}")
    print("\n".join(found.breaches[:SHOWN_MAX]))
    never = [reason.value for reason in RefusalReason if not found.refused[reason]]
    print(f"reasons that never occurred: {', '.join(never) or 'none'}")
    return 1 if found.breaches or any(one.differences for one in small) else 0


if __name__ == "__main__":
    sys.exit(main())
