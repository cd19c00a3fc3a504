"""Lanes that must fail: a platform with a known fault is run, and the checkers have to find it.

The same lane without the fault comes first, so that what is found is the fault and not the lane.
"""

import asyncio

from tests.faults import sabotaged
from tests.faults.checkers import Verdict
from tests.faults.lab import Lab, running, scratch
from tests.faults.lanes.outcome import Outcome, Result
from tests.faults.nemesis import Nemesis
from tests.faults.power import Proof, prove, tracer

KILLS = 1
REST_TIMEOUT_S = 12.0
"""A platform that lost something may never come to rest."""
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
    return await lab.verdict(rest_timeout_s=REST_TIMEOUT_S if name != "none" else 60.0)


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
