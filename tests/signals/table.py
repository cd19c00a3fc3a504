"""The figures of several runs together: mean, spread and 95 % interval by scenario and controller."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from tests.signals.plan import Outcome
from tests.signals.road_users import summary

# Student's t for 95 %, two-sided, by degrees of freedom; beyond the table the normal value is close enough.
_T95 = (
    12.71,
    4.30,
    3.18,
    2.78,
    2.57,
    2.45,
    2.36,
    2.31,
    2.26,
    2.23,
    2.20,
    2.18,
    2.16,
    2.14,
    2.13,
    2.12,
    2.11,
    2.10,
    2.09,
)
_T95_BEYOND = 2.0
_HEAD = (
    "scenario",
    "controller",
    "detection",
    "runs",
    "mean s",
    "± 95 %",
    "least",
    "most",
    "p99 wait",
    "max wait",
    "stops",
)
_USERS = ("trips", "mean s", "mean wait", "max wait", "red s", "green", "back s")
_MORE = ("not dep.", "violations", "gridlocks", "red s", "ms p99")


def interval_95(values: Sequence[float]) -> float | None:
    """Return half the width of the 95 % interval of a mean; none of a single value."""
    if len(values) < 2:
        return None
    t = _T95[len(values) - 2] if len(values) - 2 < len(_T95) else _T95_BEYOND
    return t * statistics.stdev(values) / math.sqrt(len(values))


def summaries(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return one summary for each scenario, controller and detection, in the order of the runs."""
    together: dict[tuple[str, str, str], list[Outcome]] = {}
    for one in outcomes:
        together.setdefault((one.run.scenario, one.run.controller, one.run.detection), []).append(one)
    found = []
    for (scenario, controller, detection), runs in together.items():
        delays = [one.mean_delay_s for one in runs]
        half = interval_95(delays)
        found.append(
            {
                "scenario": scenario,
                "controller": controller,
                "detection": detection,
                "runs": len(runs),
                "mean_delay_s": round(statistics.fmean(delays), 2),
                "interval_95_s": None if half is None else round(half, 2),
                "least_s": round(min(delays), 2),
                "most_s": round(max(delays), 2),
                "p99_wait_s": max(one.p99_wait_s for one in runs),
                "max_wait_s": max(one.max_wait_s for one in runs),
                "stops": round(statistics.fmean(one.stops for one in runs), 2),
                "not_departed": sum(one.not_departed for one in runs),
                "violations": sum(one.violations for one in runs),
                "gridlocks": sum(bool(one.gridlock) for one in runs),
                "red_called_max_s": max(one.red_called_max_s for one in runs),
                "decision_ms_p99": round(max(one.decision_ms_p99 for one in runs), 2),
                "road_users": summary([one.road_users for one in runs]),
            }
        )
    return found


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the summaries as a table; p99 and largest waits, red and decision times are the worst of the runs."""
    rows = [(*_HEAD, *_MORE)]
    for one in summaries(outcomes):
        half = one["interval_95_s"]
        rows.append(
            (
                str(one["scenario"])[-24:],
                one["controller"],
                one["detection"],
                str(one["runs"]),
                f"{one['mean_delay_s']:.1f}",
                "-" if half is None else f"{half:.1f}",
                f"{one['least_s']:.1f}",
                f"{one['most_s']:.1f}",
                f"{one['p99_wait_s']:.0f}",
                f"{one['max_wait_s']:.0f}",
                f"{one['stops']:.2f}",
                str(one["not_departed"]),
                str(one["violations"]),
                str(one["gridlocks"]),
                f"{one['red_called_max_s']:.0f}",
                f"{one['decision_ms_p99']:.1f}",
            )
        )
    return _aligned(rows)


def road_users_table(outcomes: Sequence[Outcome]) -> str:
    """Return one row for each kind of road user; nothing where there are only cars."""
    rows = [("scenario", "controller", "detection", "who", *_USERS)]
    for one in summaries(outcomes):
        rows.extend(
            (str(one["scenario"])[-24:], one["controller"], one["detection"], kind, f"{row['trips']:.0f}", *_cells(row))
            for kind, row in one["road_users"].items()
        )
    return f"{_aligned(rows)}\n" if len(rows) > 1 else ""


def _cells(row: dict[str, float]) -> tuple[str, ...]:
    """Write the figures of a kind of road user; what it does not have is left open."""
    names = ("mean_delay_s", "mean_wait_s", "max_wait_s", "red_called_s", "met_green", "back_s")
    return tuple(f"{row[name]:.2f}" if name in row else "-" for name in names)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
