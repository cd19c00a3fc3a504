"""Restarting what exits by itself, with a growing pause and a limit.

Services are crash-only: one that cannot go on ends, and its supervisor starts it again. What ends again and again is
given up, and the stack with it, because half a city is worse than a word in the terminal.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from maasloop.core.clock import Clock
from maasloop.stack.errors import StackError
from maasloop.stack.process import ManagedProcess

POLL_S = 0.2
"""Pause between two looks at a process."""
PAUSE_FIRST_S = 0.5
"""Wait before the first restart; it doubles with each."""
PAUSE_MAX_S = 10.0
"""Longest wait before a restart."""
RESTARTS_MAX = 5
"""Restarts of a process that never runs steadily, before the stack is given up."""
STEADY_S = 60.0
"""A run this long forgives earlier exits."""


@dataclass(slots=True)
class History:
    """How often one process was restarted of late."""

    restarts: int = 0
    started_s: float = 0.0

    def note_exit(self, now_s: float) -> bool:
        """Count an exit; return whether another start is allowed. A steady run wipes the slate clean."""
        if now_s - self.started_s > STEADY_S:
            self.restarts = 0
        self.restarts += 1
        return self.restarts <= RESTARTS_MAX


@dataclass(slots=True)
class Supervisor:
    """Watches processes; those held back (killed or stopped on purpose) are left alone."""

    processes: Mapping[str, ManagedProcess]
    clock: Clock
    restarted: Callable[[str], Awaitable[None]]
    pause_first_s: float = PAUSE_FIRST_S
    held_back: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Restart what exits until cancelled; raise ``StackError`` when one exits too often."""
        async with asyncio.TaskGroup() as group:
            for name, process in self.processes.items():
                group.create_task(self._watch(name, process), name=f"watch-{name}")

    async def _watch(self, name: str, process: ManagedProcess) -> None:
        history = History(started_s=self.clock.monotonic_s())
        while True:
            await asyncio.sleep(POLL_S)
            if process.alive or name in self.held_back:
                continue
            if not history.note_exit(self.clock.monotonic_s()):
                raise StackError(
                    name,
                    f"ended {history.restarts} times, last with status {process.exit_status}\n{process.log_tail()}",
                    log_path=process.log_path,
                    next_step="read the log file",
                )
            await asyncio.sleep(min(PAUSE_MAX_S, self.pause_first_s * (1 << history.restarts)))
            if not process.alive and name not in self.held_back:
                process.start()
                history.started_s = self.clock.monotonic_s()
                await self.restarted(name)
