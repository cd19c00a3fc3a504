"""A rolling restart under load: each service is asked to end and starts again, in turn, as an upgrade replaces pods."""

from collections.abc import Mapping
from typing import Any

from tests.faults.lab import SERVICES, Lab, until
from tests.faults.lanes.kills import recovered
from tests.faults.lanes.outcome import Outcome
from tests.faults.nemesis import Nemesis

READINGS_PER_S_MIN = 2_000
RESTART_TIMEOUT_S = 60.0


async def rolling(lab: Lab, nemesis: Nemesis, *, timed: bool = True) -> Outcome:
    """Restart every service once: what was acknowledged is stored once, and the old rate comes back each time.

    Where other things run beside the lane the rate is told, and not required (not ``timed``).
    """
    figures: dict[str, Any] = {}
    async with lab.load() as sampler:
        usual = sampler.usual
        for service in SERVICES:
            began_s = lab.clock.monotonic_s()
            await _restarted(lab, service)
            took = await recovered(sampler, began_s, usual)
            nemesis.note("restart", service=service, recovery_s=took)
            figures[f"{service} restarted, old rate back after, s"] = None if took is None else round(took, 2)
    verdict = await lab.verdict()
    met: Mapping[str, bool] = {"every restart came back to the old rate": None not in figures.values()}
    if timed:
        met = {**met, f"at least {READINGS_PER_S_MIN:,} readings/s": usual >= READINGS_PER_S_MIN}
    told = {"usual readings/s": round(usual), "acknowledged readings": f"{verdict.acknowledged:,}", **figures}
    return Outcome.of("rolling restart of every service", verdict, requirements=met, figures=told)


async def _restarted(lab: Lab, service: str) -> None:
    """Ask a service to end, and return when the one that the supervisor started in its place is ready."""
    process = lab.stack.processes[service]
    before = process.pid
    process.request_stop()
    await until(lambda: process.alive and process.pid != before, RESTART_TIMEOUT_S)
    await lab.ready()
