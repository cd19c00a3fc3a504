"""Lanes that must fail: a platform with a known fault is run, and the checkers have to find it.

The same lane without the fault comes beside it, so that what is found is the fault and not the lane.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.faults import sabotaged
from tests.faults.city import DEVICES_A_DISTRICT
from tests.faults.lab import STEADY_TIMEOUT_S, Lab, python_path, running, scratch, until
from tests.faults.lanes.outcome import Outcome, Result
from tests.faults.nemesis import Nemesis
from tests.faults.power import Proof, prove, tracer

from maasloop.bus.connection import Bus
from maasloop.bus.streams import OBSERVATION_ROWS, OBSERVATIONS
from maasloop.stack.local import service_ready
from maasloop.stack.ports import LOOPBACK, free_ports
from maasloop.stack.process import ManagedProcess
from maasloop.stack.services import service_environment
from maasloop.stack.state import ServiceAddresses
from maasloop.testing.buses import core_bus

MODULES = {"timeseries": "tests.faults.sabotaged"}
ACK_WAIT_S = 5
"""When the broker delivers again in these lanes; on the platform after 30 s."""
REST_TIMEOUT_S = 4.0 * ACK_WAIT_S
"""The same with a sabotage and without: what is only late is no find."""
TAKEN_OVER_TIMEOUT_S = 60.0
TWO_OWNERS_S = 3.0
BATCHES = 10
OOST, WEST = 0, DEVICES_A_DISTRICT
"""A device of each district."""
BETWEEN = "kill -9 between the rows and their commit"
STALE_OWNER = "SIGSTOP of the writer past its lease, another takes over"
POWER = "power loss: the acknowledgement waits for the disk"
POWER_SABOTAGE = "sabotage: sync_interval at its default"
NOTE = f"the broker delivers again after {ACK_WAIT_S} s in this lane instead of {OBSERVATION_ROWS.ack_wait_s} s"


async def between(nemesis: Nemesis, fault: str = sabotaged.NONE) -> Outcome:
    """End a writer between the rows of the newest message and their commit; a fault makes it a platform that breaks."""
    with scratch() as root:
        end = root / "end"
        environment = {sabotaged.VARIABLE: fault, sabotaged.END: str(end)}
        async with running(modules=MODULES, environment=environment, directory=root) as lab:
            async with core_bus(lab.stack, "faults-between") as bus:
                await _make_durable(bus)
            for _ in range(BATCHES):
                await lab.send(OOST + nemesis.random.randrange(DEVICES_A_DISTRICT))
                await lab.send(WEST + nemesis.random.randrange(DEVICES_A_DISTRICT))
            await lab.rest()
            await _killed_between(lab, end)
            nemesis.note("kill9", victim="timeseries", at="between rows and commit", sabotage=fault)
            return Outcome.of(BETWEEN, await lab.verdict(rest_timeout_s=REST_TIMEOUT_S), notes=(NOTE,))


async def _killed_between(lab: Lab, end: Path) -> None:
    """Let the process end with the next message, after which none comes that would show a hole."""
    process = lab.stack.processes["timeseries"]
    before = process.pid
    end.touch()  # noqa: ASYNC240 - a file of no bytes
    await lab.send(OOST)
    await until(lambda: process.alive and process.pid != before, STEADY_TIMEOUT_S)
    await lab.ready()


async def sabotage(nemesis: Nemesis, fault: str) -> Outcome:
    """Require that the lane finds a fault."""
    found = await between(nemesis, fault)
    assert found.verdict is not None
    return Outcome.sabotaged(f"sabotage: {fault}", found.verdict, notes=found.notes)


async def stale_owner(nemesis: Nemesis) -> Outcome:
    """Stop the owner of the partition until another process has its lease, wake it, and judge what the two did."""
    return await _two_owners(nemesis, sabotaged.STALE_OWNER)


async def unfenced_writer(nemesis: Nemesis) -> Outcome:
    """Do the same with writers that have no fence, and require that it is found."""
    found = await _two_owners(nemesis, sabotaged.UNFENCED_WRITER)
    assert found.verdict is not None
    return Outcome.sabotaged(f"sabotage: {sabotaged.UNFENCED_WRITER}", found.verdict)


async def _two_owners(nemesis: Nemesis, fault: str) -> Outcome:
    """Let an owner that stood still store what comes next, which the present owner has not seen.

    Neither notices that it lost the lease, so that the fence alone is tried: positions and windows do not refuse what
    the stale one does. What the present owner stored was freed, so that it finds no hole before what it is given, and
    what it is given are repetitions, which are in no window. What it remembers of the producer is wrong.
    """
    environment = {sabotaged.VARIABLE: fault}
    async with running(modules=MODULES, environment=environment) as lab:
        stale, (owner, health) = lab.stack.processes["timeseries"], _second(lab, environment)
        async with core_bus(lab.stack, "faults-owners") as bus:
            before, _ = await lab.send(OOST), await lab.send(WEST)
            await lab.rest()
            owner.start()
            try:
                stale.pause()
                async with asyncio.timeout(TAKEN_OVER_TIMEOUT_S):
                    while not await asyncio.to_thread(service_ready, health):  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.2)
                # Who stands still is delivered nothing: what it asked for is forgotten with the durable.
                await _make_durable(bus)
                await lab.send(WEST)
                await lab.rest()
                await _free(lab, bus)
                owner.pause()
                await _make_durable(bus)
                await lab.send_again(before)
                stale.resume()
                nemesis.note("sigcont", victim="timeseries", sabotage=fault)
                await asyncio.sleep(TWO_OWNERS_S)
                owner.resume()
                await lab.send(WEST)
                await lab.rest()
            finally:
                owner.stop()
        verdict = await lab.verdict(rest_timeout_s=REST_TIMEOUT_S)
    return Outcome.of(STALE_OWNER, verdict)


async def _make_durable(bus: Bus) -> None:
    """Make the writer's durable anew, which delivers again soon."""
    place = f"{OBSERVATION_ROWS.stream}.{OBSERVATION_ROWS.name}"
    await bus.api(f"CONSUMER.DELETE.{place}")
    config = replace(OBSERVATION_ROWS, ack_wait_s=ACK_WAIT_S).config()
    body = {"stream_name": OBSERVATION_ROWS.stream, "config": config}
    answer = await bus.api(f"CONSUMER.DURABLE.CREATE.{place}", body)
    assert "error" not in answer, answer


async def _free(lab: Lab, bus: Bus) -> None:
    """Free all messages, which are stored, as timeseries does when a stream needs the space."""
    lab.freed = (await lab.evidence()).in_streams
    answer = await bus.api(f"STREAM.PURGE.{OBSERVATIONS.name}")
    assert "error" not in answer, answer


def _second(lab: Lab, environment: Mapping[str, str]) -> tuple[ManagedProcess, str]:
    """Return another process of timeseries beside the one of the stack, and where it tells its health."""
    grpc, public, health = (f"{LOOPBACK}:{port}" for port in free_ports(3))
    addresses = lab.stack.addresses | {"timeseries": ServiceAddresses(grpc=grpc, public=public, health=health)}
    neighbours = replace(lab.stack.neighbours, services=addresses)
    own = {"PYTHONPATH": python_path(), **environment, **service_environment("timeseries", neighbours)}
    process = ManagedProcess(
        "timeseries-second",
        [sys.executable, "-m", "tests.faults.sabotaged"],
        log_path=lab.directory / "timeseries-second.log",
        environment=os.environ | own,
    )
    return process, health


async def power_loss(nemesis: Nemesis, *, sync_always: bool) -> Outcome:
    """Prove by the broker's system calls what survives a power cut, or that the default does not."""
    name = POWER if sync_always else POWER_SABOTAGE
    if tracer() is None:
        return Outcome.not_run(name, "strace is not installed, or tracing is not allowed here")
    with scratch() as directory:
        proof = await prove(directory / "nats", sync_always=sync_always)
    nemesis.note("power", sync_always=sync_always, synced=proof.synced_before, seen=proof.seen)
    held = proof.good if sync_always else _caught(proof)
    note = f"{proof.synced_before} of {proof.acknowledged} acknowledgements left after the sync of their message"
    return Outcome(name, Result.HELD if held else Result.BROKEN, notes=(note, "strace proof; no lossy store was run"))


def _caught(proof: Proof) -> bool:
    return not proof.good and proof.seen == proof.acknowledged
