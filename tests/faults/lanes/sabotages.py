"""Lanes that must fail: a platform with a known fault is run, and the checkers have to find it.

The same lane without the fault comes first, so that what is found is the fault and not the lane.
"""

import asyncio
import os
import sys
from collections.abc import Mapping

from tests.faults import sabotaged
from tests.faults.checkers import Verdict
from tests.faults.lab import Lab, python_path, running, scratch
from tests.faults.lanes.outcome import Outcome, Result
from tests.faults.nemesis import Nemesis
from tests.faults.power import Proof, prove, tracer

from maasloop.stack.local import service_ready
from maasloop.stack.ports import LOOPBACK, free_ports
from maasloop.stack.process import ManagedProcess
from maasloop.stack.services import Neighbours, service_environment
from maasloop.stack.state import ServiceAddresses

KILLS = 1
REST_TIMEOUT_S = 60.0
"""The same with a sabotage and without: what is only late is no find."""
TAKEN_OVER_TIMEOUT_S = 60.0
TWO_OWNERS_S = 3.0
POWER = "power loss: the acknowledgement waits for the disk"
POWER_SABOTAGE = "sabotage: sync_interval at its default"


async def sabotage(nemesis: Nemesis, name: str) -> Outcome:
    """Kill a writer with this fault between its rows and their commit, and require that it is found."""
    environment = {sabotaged.VARIABLE: name}
    modules = {"timeseries": "tests.faults.sabotaged"}
    async with running(modules=modules, environment=environment) as lab:
        verdict = await _killed_between(lab, nemesis, name)
    if name == "none":
        return Outcome.of("the sabotage lanes without a sabotage", verdict)
    return Outcome.sabotaged(f"sabotage: {name}", verdict)


async def _killed_between(lab: Lab, nemesis: Nemesis, name: str) -> Verdict:
    async with lab.load() as sampler:
        await lab.steady(sampler)
        for _ in range(KILLS):
            await asyncio.sleep(nemesis.between(1.0, 2.0))
            lab.stack.processes["timeseries"].kill9()
            nemesis.note("kill9", victim="timeseries", sabotage=name)
            await lab.ready()
    # The last lots are under way when nothing comes after them any more.
    lab.stack.processes["timeseries"].kill9()
    nemesis.note("kill9", victim="timeseries", sabotage=name)
    await lab.ready()
    return await lab.verdict(rest_timeout_s=REST_TIMEOUT_S)


async def stale_owner(nemesis: Nemesis) -> Outcome:
    """Stop the owner of the partition until another process has its lease, wake it, and judge what the two did.

    Neither notices that it lost the lease, so that the fence alone is tried.
    """
    name = "stale owner"
    environment = {sabotaged.VARIABLE: name}
    modules = {"timeseries": "tests.faults.sabotaged"}
    async with running(modules=modules, environment=environment) as lab:
        first, (second, health) = lab.stack.processes["timeseries"], _second(lab, environment)
        second.start()
        try:
            async with lab.load() as sampler:
                await lab.steady(sampler)
                await asyncio.sleep(nemesis.between(1.0, 2.0))
                first.pause()
                async with asyncio.timeout(TAKEN_OVER_TIMEOUT_S):
                    while not await asyncio.to_thread(service_ready, health):  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.2)
                await asyncio.sleep(TWO_OWNERS_S)
                first.resume()
                nemesis.note("sigcont", victim="timeseries", sabotage=name)
                await asyncio.sleep(TWO_OWNERS_S)
        finally:
            second.stop()
        verdict = await lab.verdict(rest_timeout_s=REST_TIMEOUT_S)
    return Outcome.of("SIGSTOP of the writer past its lease, another takes over", verdict)


async def unfenced_writer(nemesis: Nemesis) -> Outcome:
    """Say where the sabotage of the fence is."""
    why = (
        "two processes without the fence do no harm under steady load that a ledger could show; what a stale owner does "
        "to the balance is shown within one process by services/timeseries/tests/test_partition.py"
    )
    nemesis.note("not run", sabotage="unfenced writer")
    return Outcome.not_run("sabotage: unfenced writer", why)


def _second(lab: Lab, environment: Mapping[str, str]) -> tuple[ManagedProcess, str]:
    """Return another process of timeseries beside the one of the stack, and where it tells its health."""
    grpc, health = (f"{LOOPBACK}:{port}" for port in free_ports(2))
    addresses = lab.stack.addresses | {"timeseries": ServiceAddresses(grpc=grpc, health=health, http="")}
    neighbours = Neighbours(lab.stack.nats.url, lab.stack.service_dsns, addresses)
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
