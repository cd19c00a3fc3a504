"""Writes figures and pictures of benches of signal controllers into ``docs/reports/signals.md`` and ``docs/reports/signals/``.

The figures are those of one ``signals.json`` or more, of which a later one replaces runs of an earlier one; pictures of trips,
a corridor and a junction need runs whose files were kept (``KEEP=1``).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.signals import failing, pictures
from tests.signals.__main__ import BENCH
from tests.signals.plan import Outcome, Run
from tests.signals.records import read_trips
from tests.signals.table import summaries

from maasloop.twin.street.judge import read_states
from maasloop.twin.street.network import load_network

REPORT = Path("docs/reports/signals.md")
PICTURES = Path("docs/reports/signals")
OURS = "maasloop"
FROM_S = 1_800
"""What is drawn of an hour begins in the middle of it."""
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

Written by `make report-signals` from benches that `make bench-signals` ran. Delay is the mean of timeLoss + departDelay over all trips,
those that never departed among them. Violations are found by a reader of the recorded signal states that shares no code with
controller and kernel, by our clearances: the fixed and actuated baselines keep the network's own, shorter ones, and are counted by
the same rules. A gridlock is a vehicle that stands for more than 300 s in one stop, or a queue that does not leave in 180 s of its
own green. Waits and decision times are the worst of the runs.

"""


def page(benches: Sequence[dict[str, Any]], drawn: Sequence[tuple[str, Path]] = ()) -> str:
    """Return the report."""
    outcomes = together(benches)
    lines = [_measured(bench) for bench in benches]
    lines += [f"\n![{title}]({path.relative_to(REPORT.parent)})" for title, path in drawn]
    lines += [
        "",
        "| " + " | ".join(title for title, _ in _COLUMNS) + " |",
        "|---|---|---|" + "---:|" * (len(_COLUMNS) - 3),
    ]
    scenarios = summaries(failing.sound(outcomes))
    for one in scenarios:
        cells = ["-" if one[name] is None else f"{one[name]}" for _, name in _COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    for title, rows in (
        ("By kind of road user", _road_users(scenarios)),
        ("A share of the detectors is dead", failing.dead_detectors(outcomes)),
        ("The controllers are killed", failing.killed(outcomes)),
    ):
        lines += ["", f"## {title}", *rows] if rows else []
    return _HEAD + "\n".join(lines) + "\n"


def together(benches: Sequence[dict[str, Any]]) -> list[Outcome]:
    """Return the runs of all benches, each once and as the last one gave it, controllers of a network beside one another."""
    found = {outcome.run: outcome for bench in benches for outcome in map(Outcome.from_json, bench["runs"])}
    networks = list(dict.fromkeys(run.scenario for run in found))
    controllers = list(pictures.COLORS)

    def order(outcome: Outcome) -> tuple[int, int, str, str, float, int, int]:
        run = outcome.run
        known = controllers.index(run.controller) if run.controller in controllers else len(controllers)
        failed = run.detectors_dead, run.kill_at or 0
        return networks.index(run.scenario), known, run.controller, run.detection, *failed, run.seed

    return sorted(found.values(), key=order)


def _measured(bench: dict[str, Any]) -> str:
    """Return a line about a bench: what ran, when, of which commit, on what."""
    about, runs = bench["machine"], bench["runs"]
    what = [
        ", ".join(dict.fromkeys(str(run[name]) for run in runs)) for name in ("scenario", "controller", "detection")
    ]
    failed = [f", {run['detectors_dead']:.0%} of the detectors dead" for run in runs if run["detectors_dead"]]
    failed += [f", killed at {run['kill_at']} s" for run in runs if run["kill_at"] is not None]
    what.append("".join(dict.fromkeys(failed)))
    place = f"{about['cores']} cores, {about['processor']}, load before {about['load_average_before']}"
    return (
        f"- {what[0]}; {what[1]}; {what[2]}{what[3]}: {len(runs)} runs, {about['time']}, commit `{about['commit']}`: {place}, "
        f"SUMO {about['sumo']}, {max(run['seconds'] for run in runs)} street seconds a run."
    )


def draw(outcomes: Sequence[Outcome], kept: Path, to: Path = PICTURES) -> list[tuple[str, Path]]:
    """Draw what there is into a directory and return the title and the place of each picture."""
    made = {"delays": ("Mean delay by controller", pictures.delays(summaries(failing.sound(outcomes))))}
    runs = {run.controller: kept / run.name for run in _kept(outcomes, kept)}
    if OURS in runs:
        scenario, ours = next(run.scenario for run in _kept(outcomes, kept)), runs[OURS]
        waits_s = {
            controller: [trip.wait_s for trip in read_trips(path / "tripinfo.xml").rows]
            for controller, path in runs.items()
        }
        made["waits"] = ("How long trips stand", pictures.waits(scenario, waits_s))
        net = load_network(Path((ours / "net.txt").read_text(encoding="utf-8").strip()))
        states = pictures.by_junction(read_states(ours / "tls-states.xml"))
        journeys = pictures.read_journeys(ours / "vehroutes.xml")
        way = pictures.corridor(net, journeys)
        begin_s = min(second for shown in states.values() for second, _ in shown) + FROM_S
        title = f"{scenario}: who drives along the busiest way, {OURS}"
        made["corridor"] = (title, pictures.space_time(title, way, journeys, states, begin_s))
        junction = next(iter(way.signals.values()), (min(states), 0))[0]
        title = f"{scenario}: what {junction[:40]} shows, {OURS}"
        made["junction"] = (title, pictures.timeline(title, states[junction], begin_s))
    to.mkdir(parents=True, exist_ok=True)
    for name, (_, svg) in made.items():
        (to / f"{name}.svg").write_text(svg, encoding="utf-8")
    return [(title, to / f"{name}.svg") for name, (title, _) in made.items()]


def _kept(outcomes: Sequence[Outcome], kept: Path) -> list[Run]:
    """Return the runs of the network of which the files of most controllers were kept, one of each controller."""
    by_network: dict[str, dict[str, Run]] = {}
    for outcome in outcomes:
        if (kept / outcome.run.name / "vehroutes.xml").exists():
            by_network.setdefault(outcome.run.scenario, {}).setdefault(outcome.run.controller, outcome.run)
    return list(max(by_network.values(), key=len, default={}).values())


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "benches", nargs="*", type=Path, default=[BENCH / "signals.json"], help="signals.json of benches"
    )
    parser.add_argument("--kept", type=Path, default=BENCH / "signals", help="where the files of runs were kept")
    arguments = parser.parse_args()
    benches = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.benches]
    drawn = draw(together(benches), arguments.kept)
    REPORT.write_text(page(benches, drawn), encoding="utf-8")
    print(f"written to {REPORT} and {PICTURES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
