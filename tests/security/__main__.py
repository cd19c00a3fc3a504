"""The lanes of security: ``python -m tests.security``; the exit status says whether all that ran held.

A lane is ``run(plan)`` of a module in ``tests/security/lanes``. Those of ``SABOTAGES`` are run once more, small, with a
fault built in, and hold when they find it. A full run has first what measures no time, two lanes at a time, and then the
others, each alone.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from tests.security import report
from tests.security.outcome import NO_SABOTAGE, Outcome, Plan
from tests.security.running import Job, alone, end_on_request, prepare, side_by_side

from maasloop.core.clock import SystemClock

SEED = 20261127
LANES = (
    "oracle",
    "revocation",
    "rpc_matrix",
    "commands",
    "audit",
    "frames",
    "canary",
    "callout",
    "readers",
    "calls",
    "overhead",
)
"""In the order of the report."""
TIMED = frozenset({"revocation", "frames", "callout", "calls", "overhead"})
"""They measure how long something takes, or what it costs others."""
SABOTAGES = {
    "wildcard-allow": "oracle",
    "no-kick": "revocation",
    "scope-join-off": "rpc_matrix",
    "step-up-off": "rpc_matrix",
    "no-nonce-check": "commands",
    "no-chain-check": "audit",
    "chunk-grant-left": "readers",
}
"""Each fault and the lane that must find it, which needs no clock for that."""
SABOTAGE_SCALE = 0.02
SHORT_SCALE = 0.01


def main() -> int:
    """Run the lanes, tell, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.security", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--scale", type=float, default=1.0, help=f"share of the cases; short is {SHORT_SCALE}")
    parser.add_argument("--only", action="append", default=[], choices=LANES, help="names of lanes")
    parser.add_argument("--sabotage", choices=tuple(SABOTAGES), help="run only this fault's lane, with the fault")
    parser.add_argument("--no-report", action="store_true", help="write neither page nor figures")
    arguments = parser.parse_args()
    prepare()
    clock = SystemClock()
    began_s = clock.monotonic_s()
    whole = not (arguments.sabotage or arguments.only)
    if arguments.sabotage:
        jobs = [_sabotaging(arguments.sabotage, arguments.seed)]
    else:
        jobs = [Job(name, Plan(arguments.seed, arguments.scale)) for name in arguments.only or LANES]
    faults = [_sabotaging(name, arguments.seed) for name in SABOTAGES] if whole else []
    outcomes = asyncio.run(_outcomes(jobs, faults, aside=whole))
    seconds = clock.monotonic_s() - began_s
    run = report.Run(
        arguments.seed,
        arguments.scale,
        seconds,
        clock.now(),
        tuple(outcomes[job] for job in jobs if job in outcomes),
        {fault.plan.sabotage: outcomes[fault] for fault in faults if fault in outcomes},
        tuple(job.lane for job in jobs if job not in outcomes),
    )
    if whole and not arguments.no_report:
        report.write(run)
    for line in report.table(run):
        _tell(line)
    return 0 if run.good else 1


def _sabotaging(fault: str, seed: int) -> Job:
    return Job(SABOTAGES[fault], Plan(seed, SABOTAGE_SCALE, fault))


async def _outcomes(jobs: Sequence[Job], faults: Sequence[Job], *, aside: bool) -> dict[Job, Outcome]:
    """Run what is there."""
    end_on_request()
    there = [job for job in (*jobs, *faults) if job.there]
    untimed = [job for job in there if aside and (job in faults or job.lane not in TIMED)]
    outcomes = dict(zip(untimed, await side_by_side(untimed, _tell_of), strict=True))
    for job in there:
        if job not in outcomes:
            outcomes[job] = await alone(job)
            _tell_of(job, outcomes[job])
    return outcomes


def _tell_of(job: Job, outcome: Outcome) -> None:
    sabotaged = f" (sabotaged: {job.plan.sabotage})" if job.plan.sabotage != NO_SABOTAGE else ""
    _tell(f"{outcome.result:8} {outcome.seconds:5.0f} s  {outcome.lane}{sabotaged}")
    for note in outcome.notes:
        _tell(f"         {note}")
    for figure, value in outcome.figures.items():
        _tell(f"         {figure}: {value}")


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
