"""`maasloop selftest`, which a cluster runs after an install, against a whole stack and against one that is broken."""

import asyncio
import contextlib
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.cli.calling import Door
from maasloop.cli.selftest.city import LAMP, City, until
from maasloop.cli.selftest.lamp import Lamp
from maasloop.cli.selftest.steps import ENDED
from maasloop.core.clock import SystemClock
from maasloop.identity.command_keys import KeySetFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from maasloop.stack.local import LocalStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

COMMAND_TIMEOUT_S = 240
WAIT_S = 90.0
RESTARTED = ("actuation", "timeseries", "ingest", "device-registry", "consent", "notification")


def _selftest(stack: "LocalStack", *options: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).parent / "maasloop"
    root = str(stack.directory.path.parent)
    return subprocess.run(
        [str(command), "--root", root, "selftest", "--wait", str(WAIT_S), *options],
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )


def test_a_whole_city_passes(shared_stack: "LocalStack") -> None:
    """Observation, command and withdrawal are shown, and what was acknowledged under load is stored once."""
    done = _selftest(shared_stack, "--load", "3", "--readings", "500", "--json")

    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 4


async def test_a_rolling_restart_leaves_no_command_open(shared_stack: "LocalStack") -> None:
    """While each service is stopped and started in turn, every command to a lamp gets an outcome, and it is proven."""
    clock = SystemClock()

    @contextlib.asynccontextmanager
    async def opened(door: Door) -> "AsyncIterator[Any]":
        async with shared_stack.channel(door.service) as channel:
            yield getattr(import_module(door.module), door.stub)(channel)

    city = City(opened, "rolling")
    lamp = Lamp(city.district, LAMP, KeySetFile(shared_stack.directory.command_keys), clock)
    await city.describe()
    await city.add_devices(lamp.installed)
    commands = []
    async with lamp.living(shared_stack.state(ready=True).mqtt_listener(), await until(city.enrol, WAIT_S)):
        for number, service in enumerate(RESTARTED):
            # Upwards only: the kernel refuses to dim a lamp that has just been raised.
            level = lamp.installed.class_level_percent + 3.0 * (number + 1)

            async def issued(level: float = level) -> Command:
                return await city.issue(level)

            command = await until(issued, WAIT_S)
            await asyncio.to_thread(shared_stack.services[service].stop)
            shared_stack.services[service].start()
            await shared_stack.wait_ready(service)
            commands.append(command.name)

            async def ended(name: str = command.name) -> bool:
                return (await city.command(name)).state in ENDED

            await until(ended, WAIT_S)
    states = [(await city.command(name)).state for name in commands]

    assert [Command.State.Name(state) for state in states] == ["STATE_VERIFIED"] * len(RESTARTED)


def test_a_city_that_cannot_act_fails(shared_stack: "LocalStack") -> None:
    """Without actuation the selftest ends with a sentence that says which step failed, under load and without."""
    shared_stack.services["actuation"].stop()
    try:
        done = _selftest(shared_stack, "--wait", "8")
        loaded = _selftest(shared_stack, "--wait", "8", "--load", "1")
    finally:
        shared_stack.services["actuation"].start()

    assert done.returncode != 0
    assert "a lamp obeys" in done.stderr
    assert loaded.returncode != 0
    assert "each command has an outcome" in loaded.stderr
