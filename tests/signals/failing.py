"""What failing parts cost, as tables for the report: each run beside the one of the same seed in which nothing failed."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from tests.signals.plan import Outcome, Run

NOTHING = "-"
_DEAD = (
    "network",
    "controller",
    "detection",
    "detectors dead",
    "runs",
    "none dead, mean delay s",
    "mean delay s",
    "more",
    "most s",
    "p99 wait s",
    "longest wait s",
    "violations",
    "gridlocks",
)
_KILLED = (
    "network",
    "controller",
    "detection",
    "killed at s",
    "restarted at s",
    "runs",
    "all local after s",
    "in control again after s",
    "trips after: mean delay s",
    "of the local programme's",
    "most",
    "violations",
    "gridlocks",
)


def sound(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the runs in which nothing failed."""
    return [one for one in outcomes if not one.run.detectors_dead and one.run.kill_at is None]


def dead_detectors(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a table of the runs with dead detectors; of means both are of the seeds that ran with none dead, too."""
    by_run = {one.run: one for one in outcomes}
    rows = []
    for runs in _together([one for one in outcomes if one.run.detectors_dead]):
        pairs = [(by_run.get(replace(one.run, detectors_dead=0.0)), one) for one in runs]
        both = [(whole.mean_delay_s, one.mean_delay_s) for whole, one in pairs if whole is not None]
        whole_s, dead_s = (statistics.fmean(each) for each in zip(*both, strict=True)) if both else (None, None)
        run = runs[0].run
        rows.append(
            (
                *_of(run),
                f"{run.detectors_dead:.0%}",
                str(len(both) or len(runs)),
                _number(whole_s),
                _number(dead_s if both else statistics.fmean(one.mean_delay_s for one in runs)),
                f"{dead_s / whole_s - 1.0:+.0%}" if whole_s and dead_s else NOTHING,
                _number(max(one.mean_delay_s for one in runs)),
                *_worst(runs),
                *_found(runs),
            )
        )
    return _table(_DEAD, rows)


def killed(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a table of the runs whose controllers were killed, beside the same seeds under the local programme."""
    local_s = {
        (one.run.scenario, one.run.seed, one.run.kill_at): one.delay_after_kill_s
        for one in outcomes
        if one.run.controller == "local"
    }
    rows = []
    for runs in _together([one for one in outcomes if one.run.kill_at is not None and one.run.controller != "local"]):
        run = runs[0].run
        after_s = [one.delay_after_kill_s for one in runs if one.delay_after_kill_s is not None]
        beside = [(one, local_s.get((one.run.scenario, one.run.seed, one.run.kill_at))) for one in runs]
        shares = [one.delay_after_kill_s / other for one, other in beside if one.delay_after_kill_s and other]
        rows.append(
            (
                *_of(run),
                str(run.kill_at),
                str(run.restart_at or NOTHING),
                str(len(runs)),
                _latest([one.local_after_kill_s for one in runs]),
                _latest([one.remote_after_restart_s for one in runs]) if run.restart_at else NOTHING,
                _number(statistics.fmean(after_s) if after_s else None),
                _number(statistics.fmean(shares) if shares else None),
                _number(max(shares, default=None)),
                *_found(runs),
            )
        )
    return _table(_KILLED, rows)


def _together(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """Return the runs that differ by their seeds only."""
    found: dict[Run, list[Outcome]] = {}
    for one in outcomes:
        found.setdefault(replace(one.run, seed=0), []).append(one)
    return list(found.values())


def _of(run: Run) -> tuple[str, str, str]:
    return run.scenario, run.controller, run.detection


def _worst(runs: Sequence[Outcome]) -> tuple[str, str]:
    return f"{max(one.p99_wait_s for one in runs):.0f}", f"{max(one.max_wait_s for one in runs):.0f}"


def _found(runs: Sequence[Outcome]) -> tuple[str, str]:
    return str(sum(one.violations for one in runs)), str(sum(bool(one.gridlock) for one in runs))


def _latest(seconds: Sequence[int | None]) -> str:
    """Return the largest; where one of them never came, nothing is as late as that."""
    return "never" if any(each is None for each in seconds) else str(max(each for each in seconds if each is not None))


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    head = ["", "| " + " | ".join(titles) + " |", "|---|---|---|" + "---:|" * (len(titles) - 3)]
    return [*head, *("| " + " | ".join(row) + " |" for row in rows)]
