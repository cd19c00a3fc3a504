"""A demo in which actuation is away for a while: the street goes on by itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from maasloop.testing.providers import scratch_directory

KILLED_AT_S, LOOKED_AT_S, BACK_AT_S, SECONDS = 40, 135, 140, 240

# SUMO runs once a process, so that the demo has one of its own. It notes who rules each junction, second by second.
ABSENCE = """
import asyncio, json, sys
from pathlib import Path
from rich.console import Console
from maasloop.twin.demo.stage import Demo, DemoOptions
from maasloop.twin.street.signals import SignalDevice

killed_at_s, back_at_s, seconds = (int(one) for one in sys.argv[2:])
devices, remote = [], {}
make = SignalDevice.__init__

def noted(device, *arguments, **keywords):
    make(device, *arguments, **keywords)
    devices.append(device)

SignalDevice.__init__ = noted

async def interfere(stack, passed_s):
    remote[passed_s] = sum(device.remote for device in devices)
    if passed_s == killed_at_s:
        stack.kill9("actuation")
    if passed_s == back_at_s:
        stack.start("actuation")

options = DemoOptions(duration_s=seconds, speed=20.0, scenario="cologne8", decision_deadline_s=0.25)
ended = asyncio.run(Demo(Path(sys.argv[1]), options, Console(stderr=True), interfere=interfere).run())
told = {"problems": ended.problems, "remote": remote, "summary": ended.summary.to_json()}
print(json.dumps(told))
"""


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_the_street_is_on_its_local_programme_while_actuation_is_down() -> None:
    """Commands run out, every junction rules itself in order, and is taken up again when actuation is back."""
    with scratch_directory() as root:
        arguments = [str(root), *(str(second) for second in (KILLED_AT_S, BACK_AT_S, SECONDS))]
        done = subprocess.run([sys.executable, "-c", ABSENCE, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr[-3000:]}\nlogs in {Path(root, '.maasloop', 'log')}"
    told = json.loads(done.stdout.splitlines()[-1])
    remote = {int(second): count for second, count in told["remote"].items()}

    assert told["problems"] == []
    assert remote[KILLED_AT_S] > 0
    assert all(remote[second] == 0 for second in range(LOOKED_AT_S, BACK_AT_S))
    assert max(remote[second] for second in range(BACK_AT_S, SECONDS)) > 0
    assert told["summary"]["kernel_violations"] == 0
    assert told["summary"]["lamp_floor_violations"] == 0
