"""Delay, waiting and safety of signal controllers over SUMO: ``python -m tests.signals --help``.

Every run has a process of its own. Delays and violations are recomputed from the files that SUMO wrote.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tests.load import machine
from tests.signals.plan import (
    CONTROLLERS,
    DETECTIONS,
    ON_PLATFORM,
    STREET_SECONDS,
    UNDETECTED,
    WITHOUT_PRIORITY,
    Outcome,
    Run,
)
from tests.signals.table import road_users_table, summaries, table

from maasloop.twin.street.scenario import load_scenario, unpacked

BENCH = Path(".maasloop/bench").resolve()
SCENARIOS = "cologne1 cologne3 cologne8 ingolstadt1 ingolstadt7 grid4x4"
RUN_TIMEOUT_S = 3_600.0


def outcome_of(run: Run, keep: Path | None = None) -> Outcome:
    """Perform a run in a process of its own; its files stay in ``keep``."""
    with tempfile.TemporaryDirectory(prefix="maasloop-signals-") as scratch:
        directory = str(keep / run.name if keep is not None else Path(scratch))
        module = "tests.signals.platform" if run.platform else "tests.signals.one_run"
        command = [sys.executable, "-m", module, run.to_json(), directory]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False)
    if done.returncode != 0:
        message = f"{run.name} failed:\n{done.stderr[-2_000:]}"
        raise RuntimeError(message)
    return Outcome.from_json(json.loads(done.stdout.strip().splitlines()[-1]))


def runs_of(arguments: argparse.Namespace) -> Iterator[Run]:
    """Return the runs that the command line names; what needs no detectors runs once, whatever the detections are."""
    detections = arguments.detection.split()
    wanted = [
        (scenario, controller, detection)
        for scenario in arguments.scenarios.split()
        for controller in arguments.controllers.split()
        for detection in (detections[:1] if controller in UNDETECTED else detections)
    ]
    for scenario, controller, detection in wanted:
        for seed in arguments.seeds.split():
            yield Run(
                scenario=scenario,
                controller=controller,
                seed=int(seed),
                seconds=arguments.seconds,
                detection=detection,
                detectors_dead=arguments.detectors_dead,
                kill_at=arguments.kill_at,
                platform=arguments.platform and controller in ON_PLATFORM,
                restart_at=arguments.restart_at,
            )


def check(arguments: argparse.Namespace) -> None:
    """Raise ``LookupError`` with what the command line names and is not there, before anything runs for long."""
    if arguments.platform and (arguments.detection != "loops" or arguments.detectors_dead):
        message = "the platform hears living loops only: --detection loops without --detectors-dead"
        raise LookupError(message)
    detections = set(arguments.detection.split())
    if not detections or detections - set(DETECTIONS):
        message = f"no detection {arguments.detection!r}; known: {', '.join(DETECTIONS)}"
        raise LookupError(message)
    if arguments.keep and len(detections) > 1:
        message = "the kept files of a run are those of one detection"
        raise LookupError(message)
    unknown = set(arguments.controllers.split()) - set(CONTROLLERS)
    if unknown:
        message = f"no controller {', '.join(sorted(unknown))}; known: {', '.join(CONTROLLERS)}"
        raise LookupError(message)
    for name in arguments.scenarios.split():
        with unpacked(load_scenario(name).net) as net:
            if b"<tlLogic" not in net.read():
                message = f"the network of {name} has no signals"
                raise LookupError(message)


def main() -> int:
    """Run the bench and return the exit status: 1 where our controller broke a rule of the street."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenarios", default=SCENARIOS, help="of the wheel by name, or paths to a .sumocfg")
    parser.add_argument("--seeds", default="1 2 3")
    parser.add_argument(
        "--controllers", default="fixed actuated maxpressure maasloop maasloop-bands", help=", ".join(CONTROLLERS)
    )
    parser.add_argument("--detection", default="area", help=f"one or more of {', '.join(DETECTIONS)}")
    parser.add_argument("--detectors-dead", type=float, default=0.0, help="share of the detectors that are silent")
    parser.add_argument("--kill-at", type=int, help="street second from which nobody decides any more")
    parser.add_argument("--restart-at", type=int, help="street second from which somebody decides again")
    parser.add_argument("--seconds", type=int, default=STREET_SECONDS)
    parser.add_argument("--keep", action="store_true", help=f"keep the files of each run below {BENCH}/signals/")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--inprocess", action="store_true", help="controller and kernel as a library: the default")
    way.add_argument("--platform", action="store_true", help=f"{', '.join(ON_PLATFORM)} through the six services")
    arguments = parser.parse_args()
    try:
        check(arguments)
    except LookupError as error:
        parser.error(str(error))
    about = {**machine.about(), "sumo": version("libsumo")}
    outcomes: list[Outcome] = []
    for run in runs_of(arguments):
        outcomes.append(outcome_of(run, BENCH / "signals" if arguments.keep else None))
        last = outcomes[-1]
        locked = f", {last.gridlock}" if last.gridlock else ""
        print(f"{run.name}: {last.mean_delay_s:.2f} s, {last.violations} violations{locked}", flush=True)
        told = {"machine": about, "runs": [one.to_json() for one in outcomes], "scenarios": summaries(outcomes)}
        machine.write(BENCH / "signals.json", told)
    print(table(outcomes))
    print(road_users_table(outcomes), end="")
    ours = [
        one
        for one in outcomes
        if one.run.controller in {"maasloop", "maasloop-bands", WITHOUT_PRIORITY, "maxpressure", "local"}
    ]
    return 1 if any(one.violations for one in ours) else 0


if __name__ == "__main__":
    sys.exit(main())
