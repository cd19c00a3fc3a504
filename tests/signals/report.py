"""Writes the figures of the last bench of signal controllers into ``docs/reports/signals.md``."""

import json
import sys
from pathlib import Path
from typing import Any

from tests.signals.__main__ import BENCH

REPORT = Path("docs/reports/signals.md")
_COLUMNS = (
    ("network", "scenario"),
    ("controller", "controller"),
    ("detection", "detection"),
    ("runs", "runs"),
    ("mean delay s", "mean_delay_s"),
    ("± 95 %", "interval_95_s"),
    ("least", "least_s"),
    ("most", "most_s"),
    ("p99 wait s", "p99_wait_s"),
    ("longest wait s", "max_wait_s"),
    ("stops", "stops"),
    ("never departed", "not_departed"),
    ("violations", "violations"),
    ("gridlocks", "gridlocks"),
    ("decision p99 ms", "decision_ms_p99"),
)
_BY_KIND = (
    ("trips", "trips"),
    ("mean delay s", "mean_delay_s"),
    ("mean wait s", "mean_wait_s"),
    ("longest wait s", "max_wait_s"),
    ("longest red s", "red_called_s"),
    ("met green", "met_green"),
    ("all served after s", "back_s"),
)
_HEAD = """# Signal controllers over SUMO

Written by `make report-signals` from the last `make bench-signals`. Delay is the mean of timeLoss + departDelay over all trips,
those that never departed among them. Violations are found by a reader of the recorded signal states that shares no code with
controller and kernel, by our clearances: the fixed and actuated baselines keep the network's own, shorter ones, and are counted by
the same rules. A gridlock is a vehicle that stands for more than 300 s in one stop, or a queue that does not leave in 180 s of its
own green. Waits, gridlocks and decision times are the worst of the runs.

"""


def page(told: dict[str, Any]) -> str:
    """Return the report."""
    about = told["machine"]
    seconds = {run["seconds"] for run in told["runs"]}
    place = f"{about['cores']} cores, {about['processor']}, load before {about['load_average_before']}"
    runs = f"SUMO {about['sumo']}, {max(seconds)} street seconds a run"
    lines = [
        f"Measured {about['time']} at commit `{about['commit']}`: {place}, {runs}.",
        "",
        "| " + " | ".join(title for title, _ in _COLUMNS) + " |",
        "|---|---|---|" + "---:|" * (len(_COLUMNS) - 3),
    ]
    for one in told["scenarios"]:
        cells = ["-" if one[name] is None else f"{one[name]}" for _, name in _COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return _HEAD + "\n".join([*lines, *_road_users(told["scenarios"])]) + "\n"


def _road_users(scenarios: list[dict[str, Any]]) -> list[str]:
    """Return the table by kind of road user; nothing where there are only cars."""
    rows = [(one, kind, row) for one in scenarios for kind, row in one.get("road_users", {}).items()]
    if not rows:
        return []
    titles = ["network", "controller", "detection", "who", *(title for title, _ in _BY_KIND)]
    lines = ["", "| " + " | ".join(titles) + " |", "|---|---|---|---|" + "---:|" * len(_BY_KIND)]
    for one, kind, row in rows:
        cells = [
            str(one["scenario"]),
            one["controller"],
            one["detection"],
            kind,
            *(f"{row.get(name, '-')}" for _, name in _BY_KIND),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> int:
    """Write the report and return the exit status."""
    told = json.loads((BENCH / "signals.json").read_text(encoding="utf-8"))
    REPORT.write_text(page(told), encoding="utf-8")
    print(f"written to {REPORT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
