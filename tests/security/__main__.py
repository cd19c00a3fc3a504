"""The lanes of security: ``python -m tests.security``; the exit status says whether all that ran held.

A lane is ``run(plan)`` of a module in ``tests/security/lanes``. Those of ``SABOTAGES`` are run once more, small, with a
fault built in, and hold when they find it.
"""

import argparse
import asyncio
import importlib
import importlib.util
import logging
import signal
import sys
import traceback
from dataclasses import replace

import structlog
from tests.security import report
from tests.security.outcome import NO_SABOTAGE, Outcome, Plan, Result

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
    "overhead",
)
"""In this order."""
SABOTAGES = {
    "wildcard-allow": "oracle",
    "no-kick": "revocation",
    "scope-join-off": "rpc_matrix",
    "step-up-off": "rpc_matrix",
    "no-nonce-check": "commands",
    "no-chain-check": "audit",
    "chunk-grant-left": "readers",
}
"""Each fault and the lane that must find it."""
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
    # Parts of services run in this process, and what they tell of each call would hide the table.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    clock = SystemClock()
    began_s = clock.monotonic_s()
    if arguments.sabotage:
        plans = [(SABOTAGES[arguments.sabotage], Plan(arguments.seed, SABOTAGE_SCALE, arguments.sabotage))]
    else:
        plans = [(name, Plan(arguments.seed, arguments.scale)) for name in arguments.only or LANES]
    outcomes, absent = asyncio.run(_collect(plans))
    caught: dict[str, Outcome] = {}
    if not (arguments.sabotage or arguments.only):
        caught = asyncio.run(_sabotages(arguments.seed))
    seconds = clock.monotonic_s() - began_s
    run = report.Run(arguments.seed, arguments.scale, seconds, clock.now(), tuple(outcomes), caught, tuple(absent))
    if not (arguments.no_report or arguments.only or arguments.sabotage):
        report.write(run)
    for line in report.table(run):
        _tell(line)
    return 0 if run.good else 1


async def _collect(plans: list[tuple[str, Plan]]) -> tuple[list[Outcome], list[str]]:
    _end_on_request()
    outcomes, absent = [], []
    for name, plan in plans:
        if _is_there(name):
            outcomes.append(await _tried(name, plan))
        else:
            absent.append(name)
            _tell(f"{'absent':8}         {name}: there is no tests/security/lanes/{name}.py")
    return outcomes, absent


async def _sabotages(seed: int) -> dict[str, Outcome]:
    _end_on_request()
    plans = {name: Plan(seed, SABOTAGE_SCALE, name) for name in SABOTAGES}
    return {name: await _tried(SABOTAGES[name], plan) for name, plan in plans.items() if _is_there(SABOTAGES[name])}


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(f"tests.security.lanes.{name}") is not None


def _end_on_request() -> None:
    task = asyncio.current_task()
    assert task is not None
    # Who ends us wants processes gone, too.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _tried(name: str, plan: Plan) -> Outcome:
    began_s = SystemClock().monotonic_s()
    try:
        outcome: Outcome = await importlib.import_module(f"tests.security.lanes.{name}").run(plan)
    except Exception:  # noqa: BLE001, RUF100 - one lane that fails does not keep the others from running
        outcome = Outcome(name, Result.FAILED, notes=(traceback.format_exc(limit=6),))
    outcome = replace(outcome, seconds=SystemClock().monotonic_s() - began_s)
    sabotaged = f" (sabotaged: {plan.sabotage})" if plan.sabotage != NO_SABOTAGE else ""
    _tell(f"{outcome.result:8} {outcome.seconds:5.0f} s  {outcome.lane}{sabotaged}")
    for note in outcome.notes:
        _tell(f"         {note}")
    for figure, value in outcome.figures.items():
        _tell(f"         {figure}: {value}")
    return outcome


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
