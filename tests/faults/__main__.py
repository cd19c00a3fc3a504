"""The fault lanes: ``python -m tests.faults [ci|short|long]``; the exit status says whether all that ran held."""

import argparse
import asyncio
import contextlib
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from tests.faults import report, sabotaged
from tests.faults.lab import Lab, running
from tests.faults.lanes import devices, disks, kills, links, replays, rolls, sabotages
from tests.faults.lanes.outcome import Outcome, Result
from tests.faults.nemesis import Nemesis

from maasloop.core.clock import SystemClock
from maasloop.stack.errors import StackError

LONG = kills.Least(kills=50, readings=5_000_000)
LONG_BETWEEN_S = 4.5
"""Mean time from a recovery to the next kill: 200 times that and a recovery of 1.5 s are 20 minutes."""
LONG_BATCH = 150
"""Readings of a gRPC call: 7,500 readings/s in all, of which three quarters suffice."""
SEED = 20261124

type InLab = Callable[[Lab, Nemesis], Awaitable[Outcome]]
type Alone = Callable[[Nemesis], Awaitable[Outcome]]


def _kills(rounds: int, name: str, *, timed: bool = True) -> InLab:
    return lambda lab, nemesis: kills.kills(lab, nemesis, rounds=rounds, name=name, timed=timed)


async def _many_kills(lab: Lab, nemesis: Nemesis) -> Outcome:
    name = f"{LONG.kills} kills -9 of each process"
    return await kills.kills(
        lab, nemesis, rounds=LONG.kills, name=name, between_s=LONG_BETWEEN_S, batch=LONG_BATCH, least=LONG
    )


def _sabotage(name: str) -> Alone:
    return lambda nemesis: sabotages.sabotage(nemesis, name)


def _disk(volume: str) -> Alone:
    return lambda nemesis: disks.full_disk(nemesis, volume)


def _power(*, sync_always: bool) -> Alone:
    return lambda nemesis: sabotages.power_loss(nemesis, sync_always=sync_always)


DIRECT: dict[str, InLab] = {
    "kills": _kills(2, "kill -9 of each process"),
    "rolls": rolls.rolling,
    "stops": kills.stops,
    "slow": devices.slow_consumers,
    "replays": replays.replays,
    "clocks": devices.clock_steps,
    "poison": devices.poison,
}
"""Lanes that share one city without proxies, in this order."""
LINKED: dict[str, InLab] = {"black-holes": links.black_holes, "toxics": links.toxics}
ALONE: dict[str, Alone] = {
    "disk-nats": _disk("nats"),
    "disk-postgres": _disk("postgres"),
    "power": _power(sync_always=True),
    "sabotage-sync": _power(sync_always=False),
    "between": sabotages.between,
    "sabotage-acknowledged": _sabotage(sabotaged.ACKNOWLEDGED_EARLY),
    "sabotage-position": _sabotage(sabotaged.POSITION_EARLY),
    "stale-owner": sabotages.stale_owner,
    "sabotage-unfenced": sabotages.unfenced_writer,
}
HISTORIES = Path(".maasloop/faults")
CI = ("kills", "rolls", "between", "power", "sabotage-sync")
SMALL: dict[str, InLab] = {
    "kills": _kills(1, "kill -9 of each process, once", timed=False),
    "rolls": lambda lab, nemesis: rolls.rolling(lab, nemesis, timed=False),
}
MANY: dict[str, InLab] = {"kills": _many_kills}


def main() -> int:
    """Run the lanes of one kind."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("kind", choices=["ci", "short", "long"])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=[*DIRECT, *LINKED, *ALONE],
        help="names of lanes; all others are left out",
    )
    parser.add_argument("--no-report", action="store_true", help="leave docs/reports/faults.md as it is")
    parser.add_argument("--sabotage", choices=list(sabotaged.SABOTAGES), help="a fault in the lane 'between'")
    arguments = parser.parse_args()
    if arguments.sabotage:
        ALONE["between"] = lambda nemesis: sabotages.between(nemesis, arguments.sabotage)
    clock = SystemClock()
    began_s = clock.monotonic_s()
    outcomes = asyncio.run(_collect(arguments.kind, arguments.seed, arguments.only))
    seconds = clock.monotonic_s() - began_s
    # A page tells of all lanes or of none.
    if arguments.kind in report.TITLES and not (arguments.no_report or arguments.only or arguments.sabotage):
        report.write(report.Run(arguments.kind, arguments.seed, seconds, clock.now(), outcomes))
    broken = [outcome.lane for outcome in outcomes if outcome.result is Result.BROKEN]
    _tell(f"{len(outcomes)} lanes in {seconds:.0f} s, seed {arguments.seed}; broken: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


async def _collect(kind: str, seed: int, only: list[str]) -> list[Outcome]:
    running_lanes = asyncio.current_task()
    assert running_lanes is not None
    # Who ends us wants processes and mounts gone, too.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running_lanes.cancel)
    return [outcome async for outcome in _lanes(kind, seed, only)]


async def _lanes(kind: str, seed: int, only: list[str]) -> AsyncIterator[Outcome]:
    history = HISTORIES / f"{kind}.jsonl"
    history.parent.mkdir(parents=True, exist_ok=True)
    history.unlink(missing_ok=True)
    _tell(f"seed {seed}; history in {history}")

    def wanted(name: str) -> bool:
        return name in only if only else kind != "ci" or name in CI

    def nemesis(name: str) -> Nemesis:
        # Each lane has a random sequence of its own, so that one alone does what it does among all.
        found = Nemesis(seed, history)
        found.random.seed(f"{seed} {name}")
        found.note("lane", name=name, seed=seed)
        return found

    direct = {"ci": SMALL, "short": DIRECT, "long": MANY}[kind]
    for lanes, linked in ((direct, False), (LINKED if kind == "short" else {}, True)):
        chosen = {name: lane for name, lane in lanes.items() if wanted(name)}
        try:
            async with contextlib.AsyncExitStack() as exits:
                lab = await exits.enter_async_context(running(linked=linked)) if chosen else None
                for name, lane in chosen.items():
                    assert lab is not None
                    yield await _tried(name, lane(lab, nemesis(name)), lab)
        except StackError:
            yield Outcome("the city starts", Result.BROKEN, notes=(traceback.format_exc(limit=2),))
    for name, alone in ({} if kind == "long" else ALONE).items():
        if wanted(name):
            yield await _tried(name, alone(nemesis(name)))


async def _tried(name: str, work: Awaitable[Outcome], lab: Lab | None = None) -> Outcome:
    began_s = SystemClock().monotonic_s()
    try:
        outcome = await work
    except Exception:  # noqa: BLE001, RUF100 - one lane that fails does not keep the others from running
        outcome = Outcome(name, Result.BROKEN, notes=(traceback.format_exc(limit=4),))
    outcome = replace(outcome, seconds=SystemClock().monotonic_s() - began_s)
    _tell(f"{outcome.result:8} {outcome.seconds:5.0f} s  {outcome.lane}")
    if outcome.result is Result.BROKEN:
        verdict = outcome.verdict
        _tell(f"         {verdict.wrong() if verdict else ''} {verdict.examples if verdict else ''}")
        _tell("         " + "\n         ".join(outcome.notes))
        if lab is not None:
            _tell(f"         the supervisor said: {lab.told[-6:]}")
    for note in outcome.notes if outcome.result is not Result.BROKEN else ():
        _tell(f"         {note}")
    for figure, value in outcome.figures.items():
        _tell(f"         {figure}: {value}")
    return outcome


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
