"""Restarting what exits by itself, with a growing pause and a limit, and what lives on but can no longer write.

Services are crash-only: one that cannot go on ends, and its supervisor starts it again, the first time at once. What
ends again and again is given up, and the stack with it, because half a city is worse than a word in the terminal.

A full disk is nobody's fault and heals without an operator: a server whose volume has no room is not started before
there is some, and that counts as no failure. nats-server marks a stream that met a full disk as broken until the server
is started again, also when space has come back; so what says of itself that it is broken is killed once there is room.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maasloop.core.clock import Clock
from maasloop.stack.errors import StackError
from maasloop.stack.process import ManagedProcess

POLL_S = 0.05
"""Pause between two looks at a process."""
PAUSE_FIRST_S = 0.5
"""Wait before the second restart in a row; it doubles with each. The first comes at once."""
PAUSE_MAX_S = 10.0
"""Longest wait before a restart."""
RESTARTS_MAX = 5
"""Restarts of a process that never runs steadily, before the stack is given up."""
STEADY_S = 15.0
"""A run this long forgives earlier exits."""
ROOM_MIN_BYTES = 64 * 1024**2
"""Free space from which a server is started on its volume: recovery writes, too."""
ROOM_POLL_S = 1.0
"""Pause between two looks at a full volume."""
QUESTION_S = 1.0
"""Pause between two questions to a process how it is."""
LOGS_S = 1.0
"""Pause between two looks at the sizes of logs."""
BROKEN_ANSWERS = 2
"""Answers in a row by which a process is broken."""


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

    def pause_s(self, first_s: float) -> float:
        """Return how long to wait before the start that follows the exit counted last."""
        return 0.0 if self.restarts <= 1 else min(PAUSE_MAX_S, first_s * (1 << (self.restarts - 2)))


@dataclass(slots=True)
class Supervisor:
    """Watches processes; those held back (killed or stopped on purpose) are left alone."""

    processes: Mapping[str, ManagedProcess]
    clock: Clock
    restarted: Callable[[str], Awaitable[None]]
    pause_first_s: float = PAUSE_FIRST_S
    volumes: Mapping[str, Path] = field(default_factory=dict)
    """By process, the directory that it must be able to write to."""
    broken: Mapping[str, Callable[[], str | None]] = field(default_factory=dict)
    """By process, what asks it why only a restart helps; None while it is well or does not answer."""
    told: Callable[[str], None] = lambda _: None
    held_back: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Restart what exits until cancelled; raise ``StackError`` when one exits too often."""
        async with asyncio.TaskGroup() as group:
            for name, process in self.processes.items():
                group.create_task(self._watch(name, process), name=f"watch-{name}")
            for name, ask in self.broken.items():
                group.create_task(self._question(name, ask), name=f"question-{name}")
            group.create_task(self._cap_logs(), name="logs")

    async def _watch(self, name: str, process: ManagedProcess) -> None:
        history = History(started_s=self.clock.monotonic_s())
        while True:
            await asyncio.sleep(POLL_S)
            if process.alive or name in self.held_back:
                continue
            if await self._wait_for_room(name):
                history.restarts = 0
            if not history.note_exit(self.clock.monotonic_s()):
                raise StackError(
                    name,
                    f"ended {history.restarts} times, last with status {process.exit_status}\n{process.log_tail()}",
                    log_path=process.log_path,
                    next_step="read the log file",
                )
            await asyncio.sleep(history.pause_s(self.pause_first_s))
            if not process.alive and name not in self.held_back:
                process.start()
                history.started_s = self.clock.monotonic_s()
                await self.restarted(name)

    async def _wait_for_room(self, name: str) -> bool:
        """Return when the volume of a process has room; say whether it had none."""
        if self._roomy(name):
            return False
        self.told(f"{name} waits: no space left on {self.volumes[name]}")
        while not self._roomy(name):  # noqa: ASYNC110 - a file system sends no event
            await asyncio.sleep(ROOM_POLL_S)
        return True

    async def _question(self, name: str, ask: Callable[[], str | None]) -> None:
        process, answers = self.processes[name], 0
        while True:
            await asyncio.sleep(QUESTION_S)
            why = await asyncio.to_thread(ask) if process.alive and name not in self.held_back else None
            answers = answers + 1 if why else 0
            if answers >= BROKEN_ANSWERS and self._roomy(name):
                self.told(f"{name} is started again: {why}")
                process.kill9()
                answers = 0

    async def _cap_logs(self) -> None:
        while True:
            await asyncio.sleep(LOGS_S)
            for process in self.processes.values():
                await asyncio.to_thread(process.cap_log)

    def _roomy(self, name: str) -> bool:
        volume = self.volumes.get(name)
        return volume is None or not volume.exists() or shutil.disk_usage(volume).free >= ROOM_MIN_BYTES
