"""Kernel, controller and field device over SUMO in one process: delay, violations and decision time per scenario.

Run ``python services/actuation/bench/signals.py --help``. A decision on street second t acts from t + 1. Baselines are
the network's own fixed plan and SUMO's actuated control over the same phases; every run has a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

from maasloop.actuation.domain.signals.controller import Ask, Controller, Release
from maasloop.actuation.domain.signals.estimate import LoopReading
from maasloop.actuation.domain.signals.kernel import Permitted, SequenceRequest, Verdict, forget, judge, record
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.twin.street import signals
from maasloop.twin.street.delay import mean_delay_s
from maasloop.twin.street.judge import judge_run
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.simulation import SimulationOptions, StreetSimulation
from maasloop.twin.street.site import Junction, Site, read_site

SCENARIOS = ("cologne1", "cologne3", "cologne8", "ingolstadt1", "ingolstadt7", "grid4x4")
RUN_TIMEOUT_S = 1_800.0
GREEN_MIN_S = 5
GREEN_MAX_S = 50

Permit = Callable[[Sheet, JunctionState, SequenceRequest], Verdict]


@dataclass(frozen=True)
class Outcome:
    """What one run gave."""

    scenario: str
    control: str
    seed: int
    seconds: int
    delay_s: float
    violations: int
    wait_max_s: float
    decision_ms_p99: float
    refused: int
    releases: int


class Desk:
    """One junction: data sheet, controller and state on one side, the field device on the other."""

    def __init__(self, junction: Junction, permit: Permit) -> None:
        """Begin in the local programme."""
        self.device = signals.SignalDevice(junction)
        self.sheet = read_sheet(junction.sheet)
        self.controller = Controller(self.sheet)
        self.permit = permit
        self.state: JunctionState | None = None
        self.times_ms: list[float] = []
        self.wait_max_s = 0.0
        self.answers: Counter[str] = Counter()
        self.releases = 0

    def decide(self, second: int, readings: dict[str, LoopReading], shown: str) -> None:
        """Hear one second, decide, ask the kernel, and hand what it permits to the field."""
        began = time.thread_time()
        aspects = self.sheet.read_state(shown)
        called = self.controller.hear(second, readings, aspects)
        if self.state is None:
            self.state = JunctionState.first_seen(self.sheet, second, aspects)
        self.state = self.state.observe(second, aspects, called)
        decision = self.controller.decide(self.state)
        if isinstance(decision, Ask):
            self._ask(second, decision.request, self.state)
        elif isinstance(decision, Release):
            self.device.release(second + 1)
            self.state = forget(self.state)
            self.releases += 1
        self.times_ms.append((time.thread_time() - began) * 1_000.0)
        for group in self.state.groups.values():
            if group.called_since_s is not None:
                self.wait_max_s = max(self.wait_max_s, second - max(group.since_s, group.called_since_s))

    def _ask(self, second: int, request: SequenceRequest, state: JunctionState) -> None:
        verdict = self.permit(self.sheet, state, request)
        if not isinstance(verdict, Permitted):
            self.answers[verdict.reason] += 1
            return
        steps = tuple((int(step.offset_s), self.sheet.state_text(step.aspects)) for step in request.steps)
        answer = self.device.accept(
            signals.Sequence(
                f"{self.sheet.junction}-{second}",
                self.sheet.state_text(request.start_state),
                int(request.not_before_s),
                int(request.expires_s),
                steps,
            )
        )
        self.answers[answer] += 1
        self.state = record(state, verdict) if answer is signals.Answer.ACCEPTED else forget(state)


def run_controlled(scenario: str, seed: int, seconds: int, work_dir: Path, permit: Permit = judge) -> Outcome:
    """Run the controller over one scenario in this process."""
    site = read_site(load_scenario(scenario))
    street = StreetSimulation(site, seed=seed, duration_s=seconds, work_dir=work_dir)
    desks = {junction.id: Desk(junction, permit) for junction in site.junctions}
    with street:
        for _ in range(seconds):
            for junction_id, desk in desks.items():
                street.show(junction_id, desk.device.tick(street.second + 1))
            second = street.step()
            loops = {name: LoopReading(one.count, one.occupancy) for name, one in street.loop_readings().items()}
            states = street.signal_states()
            for junction_id, desk in desks.items():
                mine = {detector.id: loops[detector.id] for detector in desk.sheet.detectors}
                desk.decide(second, mine, states[junction_id])
    times_ms = sorted(one for desk in desks.values() for one in desk.times_ms)
    return Outcome(
        scenario=scenario,
        control="maasloop",
        seed=seed,
        seconds=seconds,
        delay_s=mean_delay_s(street.tripinfo),
        violations=len(judge_run(site.scenario.net, street.states_file)),
        wait_max_s=max((desk.wait_max_s for desk in desks.values()), default=0.0),
        decision_ms_p99=times_ms[int(len(times_ms) * 0.99)] if times_ms else 0.0,
        refused=sum(count for desk in desks.values() for name, count in desk.answers.items() if name != "ACCEPTED"),
        releases=sum(desk.releases for desk in desks.values()),
    )


def run_baseline(scenario: str, control: str, seed: int, seconds: int, work_dir: Path) -> Outcome:
    """Run the network's own plan (``fixed``) or SUMO's actuated control of its phases in this process."""
    site = read_site(load_scenario(scenario))
    work_dir.mkdir(parents=True, exist_ok=True)
    additional = (_actuated_programmes(site, work_dir),) if control == "actuated" else ()
    options = SimulationOptions(own_programmes=True, record_states=False, additional=additional)
    street = StreetSimulation(site, seed=seed, duration_s=seconds, work_dir=work_dir, options=options)
    with street:
        for _ in range(seconds):
            street.step()
    return Outcome(scenario, control, seed, seconds, mean_delay_s(street.tripinfo), 0, 0.0, 0.0, 0, 0)


def _actuated_programmes(site: Site, work_dir: Path) -> Path:
    root = ET.Element("additional")
    for junction in site.junctions:
        attributes = {"id": junction.tls, "type": "actuated", "programID": "actuated", "offset": "0"}
        logic = ET.SubElement(root, "tlLogic", attributes)
        for phase in junction.network.phases:
            bounds = {} if "y" in phase.state else {"minDur": str(GREEN_MIN_S), "maxDur": str(GREEN_MAX_S)}
            ET.SubElement(logic, "phase", {"duration": str(phase.duration_s), "state": phase.state, **bounds})
    path = work_dir / "actuated.add.xml"
    ET.ElementTree(root).write(path)
    return path


def _child(scenario: str, control: str, seed: int, seconds: int) -> Outcome:
    command = [sys.executable, __file__, "--one", scenario, control, str(seed), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=True)
    return Outcome(**json.loads(done.stdout.strip().splitlines()[-1]))


def _one(scenario: str, control: str, seed: int, seconds: int) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="maasloop-signals-") as directory:
        if control == "maasloop":
            return run_controlled(scenario, seed, seconds, Path(directory))
        return run_baseline(scenario, control, seed, seconds, Path(directory))


def _table(outcomes: Sequence[Outcome]) -> str:
    lines = [
        f"{'scenario':12} {'control':9} {'mean s':>7} {'min':>7} {'max':>7} {'violations':>10} {'wait s':>6} {'p99 ms':>6}"
    ]
    for scenario in dict.fromkeys(one.scenario for one in outcomes):
        for control in dict.fromkeys(one.control for one in outcomes):
            runs = [one for one in outcomes if (one.scenario, one.control) == (scenario, control)]
            delays = [one.delay_s for one in runs]
            worst = max(one.wait_max_s for one in runs)
            slowest = max(one.decision_ms_p99 for one in runs)
            lines.append(
                f"{scenario:12} {control:9} {mean(delays):7.1f} {min(delays):7.1f} {max(delays):7.1f}"
                f" {sum(one.violations for one in runs):10} {worst:6.0f} {slowest:6.2f}"
            )
    return "\n".join(lines)


def main() -> None:
    """Run what the command line names and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", action="append", help="may be given again; all benchmark scenarios if left out")
    parser.add_argument("--seed", action="append", type=int, help="may be given again; 7 if left out")
    parser.add_argument("--seconds", type=int, default=1_800)
    parser.add_argument("--control", action="append", choices=("maasloop", "fixed", "actuated"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        scenario, control, seed, seconds = arguments.one
        print(json.dumps(asdict(_one(scenario, control, int(seed), int(seconds)))))
        return
    outcomes = [
        _child(scenario, control, seed, arguments.seconds)
        for scenario in arguments.scenario or SCENARIOS
        for control in arguments.control or ("maasloop", "fixed", "actuated")
        for seed in arguments.seed or [7]
    ]
    print(json.dumps([asdict(one) for one in outcomes]) if arguments.json else _table(outcomes))


if __name__ == "__main__":
    main()
