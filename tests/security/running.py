"""Runs lanes: one alone in this process, or two at a time, each in a process of its own.

``python -m tests.security.running`` is such a process: a ``Job`` as JSON on standard input, its outcome on the last line of
standard output.
"""

import asyncio
import importlib
import importlib.util
import json
import logging
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog
from tests.faults.lab import ROOT
from tests.security.outcome import Outcome, Plan, Result

from maasloop.core.clock import SystemClock

AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Job:
    """A lane and how it is to run."""

    lane: str
    plan: Plan

    @property
    def there(self) -> bool:
        """Whether the lane's module is there."""
        return importlib.util.find_spec(f"tests.security.lanes.{self.lane}") is not None


async def alone(job: Job) -> Outcome:
    """Run a lane here."""
    began_s = SystemClock().monotonic_s()
    try:
        outcome: Outcome = await importlib.import_module(f"tests.security.lanes.{job.lane}").run(job.plan)
    except Exception:  # noqa: BLE001, RUF100 - one lane that fails does not keep the others from running
        outcome = Outcome(job.lane, Result.FAILED, notes=(traceback.format_exc(limit=6),))
    return replace(outcome, seconds=SystemClock().monotonic_s() - began_s)


async def side_by_side(jobs: Sequence[Job], tell: Callable[[Job, Outcome], None]) -> list[Outcome]:
    """Run lanes that measure no time, the first two first, and tell of each as it ends."""
    room = asyncio.Semaphore(AT_ONCE)

    async def run(job: Job) -> Outcome:
        async with room:
            outcome = await _aside(job)
        tell(job, outcome)
        return outcome

    return await asyncio.gather(*(run(job) for job in jobs))


async def _aside(job: Job) -> Outcome:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, cwd=ROOT, stdin=pipe, stdout=pipe)
    try:
        printed, _ = await child.communicate(json.dumps(asdict(job)).encode())
    except asyncio.CancelledError:
        child.terminate()
        await child.wait()
        raise
    if child.returncode or not printed:
        return Outcome(job.lane, Result.FAILED, notes=(f"its process ended with status {child.returncode}",))
    told: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return Outcome(**{**told, "result": Result(told["result"]), "notes": tuple(told["notes"])})


def prepare() -> None:
    """Let a process that runs lanes keep quiet: parts of services run in it, and what they log of each call hides the rest."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def end_on_request() -> None:
    """Let SIGTERM cancel the task: who ends us wants processes gone, too."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _child() -> None:
    end_on_request()
    asked = json.load(sys.stdin)
    outcome = await alone(Job(asked["lane"], Plan(**asked["plan"])))
    sys.stdout.write(f"\n{json.dumps(asdict(outcome))}\n")


if __name__ == "__main__":
    prepare()
    asyncio.run(_child())
