"""Kernel, controller and field device over real traffic: in order with the kernel, found out without it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Several processes one after the other, each of which loads SUMO, on a machine that may be busy.
pytestmark = pytest.mark.timeout(240)

BENCH = Path(__file__).parents[2] / "bench" / "signals.py"

# SUMO runs once a process, and the switch that turns the kernel off exists here only.
SABOTAGE = """
import importlib.util, json, sys, tempfile
from dataclasses import asdict
from pathlib import Path
spec = importlib.util.spec_from_file_location("bench_signals", sys.argv[1])
bench = importlib.util.module_from_spec(spec)
sys.modules["bench_signals"] = bench
spec.loader.exec_module(bench)
from maasloop.actuation.domain.signals import controller
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.kernel import Permitted, SequenceStep, judge

def jump(sheet, state, stage, not_before_s):
    return (SequenceStep(0, {name: Aspect.GREEN if name in stage else Aspect.RED for name in sheet.group}),)

controller.way_to = jump
permit = judge if sys.argv[2] == "kernel" else lambda sheet, state, request: Permitted(request)
with tempfile.TemporaryDirectory() as directory:
    print(json.dumps(asdict(bench.run_controlled("cologne1", 1, 120, Path(directory), permit))))
"""


def _run(*command: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    outcome = json.loads(done.stdout.strip().splitlines()[-1])
    return dict(outcome[0] if isinstance(outcome, list) else outcome)


def test_two_minutes_of_traffic_are_in_order() -> None:
    """Under control the judge finds nothing, and the vehicles lose no more than under the fixed plan."""
    common = (str(BENCH), "--scenario", "cologne1", "--seed", "1", "--seconds", "120", "--json")
    controlled = _run(*common, "--control", "maasloop")
    fixed = _run(*common, "--control", "fixed")
    assert controlled["violations"] == 0
    assert controlled["refused"] == 0
    assert controlled["delay_s"] < fixed["delay_s"]


def test_the_kernel_stops_what_the_judge_would_find() -> None:
    """A controller that jumps from stage to stage is stopped by the kernel; without it the judge finds violations."""
    guarded = _run("-c", SABOTAGE, str(BENCH), "kernel")
    bypassed = _run("-c", SABOTAGE, str(BENCH), "nothing")
    assert guarded["violations"] == 0
    assert guarded["refused"] > 0
    assert bypassed["violations"] > 0
