"""Controller, kernel and field device over real traffic: in order with the kernel, found out without it."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.signals.__main__ import outcome_of, runs_of
from tests.signals.plan import Outcome, Run
from tests.signals.records import read_trips
from tests.signals.table import interval_95, summaries, table

from maasloop.twin.street.judge import judge_run

# Several processes one after the other, each of which loads SUMO, on a machine that may be busy.
pytestmark = pytest.mark.timeout(240)

SECONDS = 120

# SUMO runs once a process, and the switch that turns the clearances off exists here only.
JUMPING = """
import json, sys
from pathlib import Path
from maasloop.actuation.domain.signals import controller
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.kernel import SequenceStep
from tests.signals.one_run import perform
from tests.signals.plan import Run

def jump(sheet, state, stage, not_before_s):
    return (SequenceStep(0, {name: Aspect.GREEN if name in stage else Aspect.RED for name in sheet.group}),)

controller.way_to = jump
print(json.dumps(perform(Run.from_json(sys.argv[1]), Path(sys.argv[2])).to_json()))
"""


def _jumping(directory: Path, *, kernel: bool) -> Outcome:
    run = Run("cologne1", "maasloop", 1, SECONDS, kernel=kernel)
    command = [sys.executable, "-c", JUMPING, run.to_json(), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return Outcome.from_json(json.loads(done.stdout.strip().splitlines()[-1]))


@pytest.mark.parametrize("detection", ["area", "loops", "area-blind"])
def test_two_minutes_of_traffic_are_in_order(detection: str) -> None:
    """With each kind of detection the reader finds nothing, nothing is refused, and nobody stands still."""
    outcome = outcome_of(Run("cologne1", "maasloop", 1, SECONDS, detection))

    assert (outcome.violations, outcome.refused, outcome.gridlock) == (0, {}, "")
    assert outcome.trips > 20


def test_actuated_control_can_be_compared_with_our_clearances() -> None:
    """Over the local programme SUMO's actuated control breaks none of our rules; over the network's own it breaks some."""
    found = [outcome_of(Run("cologne3", name, 1, SECONDS)).violations for name in ("actuated-local", "actuated")]

    assert found[0] == 0 < found[1]


def test_the_control_loses_less_than_the_fixed_plan() -> None:
    """The vehicles lose less under control than under the network's own plan, with the same seed."""
    delays = [outcome_of(Run("cologne1", name, 1, SECONDS)).mean_delay_s for name in ("maasloop", "fixed")]

    assert delays[0] < delays[1]


def test_the_kernel_stops_what_the_reader_would_find(tmp_path: Path) -> None:
    """A controller that jumps from stage to stage is stopped by the kernel; without it the reader finds violations."""
    guarded = _jumping(tmp_path / "guarded", kernel=True)
    bypassed = _jumping(tmp_path / "bypassed", kernel=False)

    assert guarded.violations == 0
    assert sum(guarded.refused.values()) > 0
    assert bypassed.violations > 0


def test_a_run_can_be_judged_from_its_files(tmp_path: Path) -> None:
    """Delay and violations are the same for somebody who has the files of a run and nothing else."""
    run = Run("cologne1", "maasloop", 2, SECONDS)
    outcome = outcome_of(run, tmp_path)
    kept = tmp_path / run.name
    net = Path((kept / "net.txt").read_text(encoding="utf-8").strip())

    assert read_trips(kept / "tripinfo.xml").mean_delay_s == outcome.mean_delay_s
    assert len(judge_run(net, kept / "tls-states.xml")) == outcome.violations
    assert (kept / "vehroutes.xml").stat().st_size > 0


def test_a_dead_controller_leaves_the_street_to_its_local_programme() -> None:
    """After a kill every junction is on its local programme within a cycle, a new controller takes over, all of it safely."""
    outcome = outcome_of(Run("cologne3", "maasloop", 1, 240, kill_at=100, restart_at=190))

    assert outcome.violations == 0
    assert outcome.local_after_kill_s is not None
    assert outcome.local_after_kill_s <= 90
    assert outcome.delay_after_kill_s is not None
    assert outcome.remote_after_restart_s is not None
    assert outcome.remote_after_restart_s <= 30


def test_bands_are_in_order() -> None:
    """A site steered by bands and inputs breaks no rule, is asked for nothing it may not do, and beats its own plan."""
    outcome = outcome_of(Run("cologne1", "maasloop-bands", 1, SECONDS))

    assert (outcome.violations, outcome.refused, outcome.gridlock) == (0, {}, "")
    assert outcome.mean_delay_s < outcome_of(Run("cologne1", "local", 1, SECONDS)).mean_delay_s


def test_a_site_without_bands_returns_to_its_own_plan() -> None:
    """After a kill the dead-man time of the bands runs out, and every site is back in its plan within a cycle of that."""
    outcome = outcome_of(Run("cologne3", "maasloop-bands", 1, 200, kill_at=100))

    assert outcome.violations == 0
    assert outcome.local_after_kill_s is not None
    assert outcome.local_after_kill_s <= 62


def test_max_pressure_is_in_order() -> None:
    """The plain max-pressure goes through the same kernel and breaks no rule either."""
    outcome = outcome_of(Run("cologne3", "maxpressure", 1, SECONDS))

    assert outcome.violations == 0


def test_a_trip_that_never_departed_counts(tmp_path: Path) -> None:
    """Who never departed counts with all that it waited, and as not departed."""
    record = tmp_path / "tripinfo.xml"
    rows = (
        '<tripinfo id="a" depart="10.00" departDelay="2.00" timeLoss="4.00" waitingTime="3.00" waitingCount="1"/>',
        '<tripinfo id="b" depart="-1" departDelay="30.00" timeLoss="0.00" waitingTime="0.00" waitingCount="0"/>',
    )
    record.write_text(f"<tripinfos>{''.join(rows)}</tripinfos>", encoding="utf-8")
    trips = read_trips(record)

    assert (trips.mean_delay_s, trips.not_departed, trips.max_wait_s) == (18.0, 1, 3.0)
    assert len(trips.due_from(8.0).rows) == 2
    assert len(trips.due_from(9.0).rows) == 1


def test_an_interval_needs_two_runs() -> None:
    """One run has no interval, equal runs have none of width; the table shows both."""
    assert interval_95([1.0]) is None
    assert interval_95([2.0, 2.0]) == 0.0
    assert interval_95([1.0, 3.0]) == pytest.approx(12.71)
    assert summaries([]) == []
    assert "mean s" in table([])


def test_what_needs_no_detectors_runs_once() -> None:
    """Beside two detections the plan of the network runs once a seed, and the controller with each of them."""
    arguments = argparse.Namespace(
        scenarios="cologne1",
        controllers="fixed maasloop",
        seeds="1 2",
        detection="area loops",
        detectors_dead=0.0,
        seconds=60,
        kill_at=None,
        restart_at=None,
        platform=False,
    )
    runs = [(one.controller, one.detection, one.seed) for one in runs_of(arguments)]

    assert runs == [
        *(("fixed", "area", seed) for seed in (1, 2)),
        *(("maasloop", detection, seed) for detection in ("area", "loops") for seed in (1, 2)),
    ]
