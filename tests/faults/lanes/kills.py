"""Kill -9 of each process under load, and processes that stand still: how soon the old rate is back."""

import asyncio
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.checkers import slope
from tests.faults.lab import Lab
from tests.faults.lanes.outcome import Outcome
from tests.faults.nemesis import Nemesis
from tests.faults.recovery import BEFORE_S, percentile, recovery_s
from tests.faults.sampling import Sampler

from maasloop.stack.process import descendants

KINDS = ("ingest", "timeseries", "nats", "postgres")
LIMITS_S: Mapping[str, float] = {"ingest": 3.0, "timeseries": 3.0, "nats": 5.0, "postgres": 10.0}
"""Longest recovery to 90 % of the rate."""
RECOVERY_TIMEOUT_S = 40.0
PAUSE_S = (4.0, 9.0)
"""How long a process is stopped."""
SLOPE_MIN_S = 60.0
"""A line through less says nothing."""
RESIDENT_MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Least:
    """What a run must reach to count."""

    kills: int = 1
    """Of each process."""
    readings: int = 1
    """Acknowledged in all."""


async def kills(
    lab: Lab,
    nemesis: Nemesis,
    *,
    rounds: int,
    name: str = "kill -9 of each process",
    between_s: float = 2.5,
    batch: int = 100,
    least: Least = Least(),
    timed: bool = True,
) -> Outcome:
    """Kill every kind once a round, at any moment, and judge everything at the end.

    ``batch`` is the readings of a gRPC call, which make the rate. Where other things run beside the lane, as tests do, a
    recovery is told but not ``timed``: it lasts as long as they let it.
    """
    times: defaultdict[str, list[float]] = defaultdict(list)
    killed: Counter[str] = Counter()
    async with lab.load(grpc_readings=batch) as sampler:
        usual = sampler.usual
        for victim in nemesis.victims(KINDS, rounds):
            await asyncio.sleep(nemesis.between(between_s * 0.6, between_s * 1.4))
            fault_s = lab.clock.monotonic_s()
            lab.stack.processes[victim].kill9()
            killed[victim] += 1
            took = await recovered(sampler, fault_s, usual)
            nemesis.note("kill9", victim=victim, recovery_s=took, usual=round(usual))
            if took is not None:
                times[victim].append(took)
    verdict = await lab.verdict()
    figures: dict[str, Any] = {
        f"kills of each (at least {least.kills})": ", ".join(f"{kind} {killed[kind]}" for kind in KINDS),
        f"acknowledged readings (at least {least.readings:,})": f"{verdict.acknowledged:,}",
        "usual readings/s": round(usual),
        "rollup buckets compared": verdict.buckets,
        **{
            f"recovery of {kind}, s (p50/p99/max{f'; p99 at most {LIMITS_S[kind]:.0f}' if timed else ''})": _told(
                times[kind]
            )
            for kind in KINDS
        },
        **footprints(sampler),
    }
    met = {
        "enough kills of each process": all(killed[kind] >= least.kills for kind in KINDS),
        "enough readings": verdict.acknowledged >= least.readings,
        "rollups were compared": verdict.buckets > 0,
        "every process came back to the old rate": all(len(times[kind]) == killed[kind] for kind in KINDS),
    }
    met["every process within 256 MiB"] = all(
        value <= RESIDENT_MAX_BYTES / 1024**2 for name, value in figures.items() if name.startswith("peak RSS")
    )
    if timed:
        met |= _in_time(times)
    return Outcome.of(name, verdict, requirements=met, figures=figures)


def _in_time(times: Mapping[str, list[float]]) -> dict[str, bool]:
    return {
        f"{kind}: p99 of recovery at most {limit_s:.0f} s": percentile(times.get(kind, []), 0.99) <= limit_s
        for kind, limit_s in LIMITS_S.items()
    }


async def recovered(
    sampler: Sampler, fault_s: float, before: float, *, timeout_s: float = RECOVERY_TIMEOUT_S
) -> float | None:
    """Wait until the old rate is back, and return how long that took; None when it does not come back."""
    deadline_s = fault_s + timeout_s
    while sampler.samples[-1].at_s < deadline_s:
        await asyncio.sleep(0.1)
        took = recovery_s(sampler.samples[-2_000:], fault_s, before)
        if took is not None:
            return took
    return None


def _told(values: list[float]) -> str:
    shares = (percentile(values, 0.5), percentile(values, 0.99), max(values, default=0.0))
    return "/".join(f"{value:.2f}" for value in shares)


def footprints(sampler: Sampler) -> dict[str, Any]:
    """Return the highest memory of each kind, and slopes of what ran long enough for a line."""
    found: dict[str, Any] = {}
    for (name, _), footprint in sampler.footprints.items():
        if name == "load":
            continue
        peak = round(max(footprint.resident_bytes) / 1024**2)
        found[f"peak RSS of {name}, MiB"] = max(peak, found.get(f"peak RSS of {name}, MiB", 0))
        if footprint.at_s[-1] - footprint.at_s[0] >= SLOPE_MIN_S:
            per_hour = 3600 * slope(footprint.at_s, footprint.resident_bytes) / 1024**2
            found[f"slope of {name}, MiB/h and descriptors/h"] = (
                f"{per_hour:.1f} and {3600 * slope(footprint.at_s, footprint.descriptors):.1f}"
            )
    return found


async def stops(lab: Lab, nemesis: Nemesis) -> Outcome:
    """SIGSTOP of each process for some seconds: nothing is lost, and all go on when it does."""
    figures: dict[str, Any] = {}
    never = 0
    async with lab.load() as sampler:
        usual = sampler.usual
        for victim in nemesis.victims(KINDS, 1):
            pause_s = nemesis.between(*PAUSE_S)
            _signal(lab, victim, stop=True)
            await asyncio.sleep(pause_s)
            _signal(lab, victim, stop=False)
            took = await recovered(sampler, lab.clock.monotonic_s(), usual)
            nemesis.note("sigstop", victim=victim, pause_s=round(pause_s, 2), recovery_s=took)
            never += took is None
            figures[f"{victim} stopped {pause_s:.1f} s, back after, s"] = None if took is None else round(took, 2)
            await asyncio.sleep(BEFORE_S)
    verdict = await lab.verdict()
    return Outcome.of("SIGSTOP of each process", verdict, requirements={"all came back": never == 0}, figures=figures)


def _signal(lab: Lab, victim: str, *, stop: bool) -> None:
    """Stop or wake a process; of PostgreSQL its sessions as well, which do the work."""
    process = lab.stack.processes[victim]
    for pid in (process.pid, *descendants(process.pid)):
        os.kill(pid, signal.SIGSTOP if stop else signal.SIGCONT)
