"""A demo in the middle of which every process is killed once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from maasloop.testing.providers import scratch_directory

VICTIMS = ("ingest", "timeseries", "actuation", "nats", "postgres", "device-registry", "consent", "notification")
BREAK_EVERY_S = 20
DOWN_S = 1.0
SECONDS = BREAK_EVERY_S * (len(VICTIMS) + 1)

# SUMO runs once a process, so that the demo has one of its own.
ATTACK = """
import asyncio, dataclasses, json, sys
from pathlib import Path
from rich.console import Console
from maasloop.twin.demo.stage import Demo, DemoOptions

root, every_s, down_s, seconds, *victims = sys.argv[1:]
coming_back = []

async def interfere(stack, passed_s):
    if passed_s % int(every_s) == 0 and victims:
        name = victims.pop(0)
        stack.kill9(name)
        coming_back.append(asyncio.create_task(restart(stack, name)))

async def restart(stack, name):
    await asyncio.sleep(float(down_s))
    stack.start(name)

options = DemoOptions(duration_s=int(seconds), speed=20.0)
demo = Demo(Path(root), options, Console(stderr=True), interfere=interfere)
ended = asyncio.run(demo.run())
print(json.dumps({"problems": ended.problems, "killed": len(coming_back), "summary": ended.summary.to_json()}))
"""


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_or_doubled_when_each_process_is_killed_once() -> None:
    """Kill -9 of each service, of the broker and of the database: rows equal what was acknowledged, signals stay safe."""
    with scratch_directory() as root:
        arguments = [str(root), str(BREAK_EVERY_S), str(DOWN_S), str(SECONDS), *VICTIMS]
        done = subprocess.run([sys.executable, "-c", ATTACK, *arguments], capture_output=True, text=True, check=False)
        logs = Path(root, ".maasloop", "log")
        assert done.returncode == 0, f"{done.stderr[-3000:]}\nlogs in {logs}"
    told = json.loads(done.stdout.splitlines()[-1])

    assert told["problems"] == []
    assert told["killed"] == len(VICTIMS)
    assert told["summary"]["kernel_violations"] == 0
    assert told["summary"]["commands_verified_lamps"] > 0
