"""Changes of commands for those who watch: what is durable already, then each change as it becomes durable.

No task belongs here; every watcher waits in the task of its call. A watcher that is too slow reads the tables again.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from maasloop.actuation.domain.command import Command
from maasloop.core.errors import FailedPrecondition, ResourceExhausted
from maasloop.core.reasons import Reason

WATCHERS_MAX = 64
QUEUE_MAX = 10_000
REPLAY_ROWS = 500
LIFE_INTERVAL_S = 15.0
"""A watch that has nothing to say says so this often."""

type Change = tuple[Command, int]


class Changes(Protocol):
    """Where what happened before is read."""

    async def changes(self, district: str, after_us: int, limit: int) -> Sequence[Change]:
        """Return commands in the order of their last change."""
        ...


@dataclass(slots=True, eq=False)
class _Watcher:
    district: str
    device: str
    queue: list[Change] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    missed: bool = False


class CommandFeed:
    """Hands durable changes to watchers."""

    def __init__(self, changes: Changes) -> None:
        """Replay from these changes."""
        self._changes = changes
        self._watchers: set[_Watcher] = set()

    def hear(self, changes: Sequence[Change]) -> None:
        """Take changes that became durable; the ledger calls this."""
        for watcher in self._watchers:
            mine = [one for one in changes if _concerns(watcher, one[0])]
            if mine and len(watcher.queue) + len(mine) <= QUEUE_MAX:
                watcher.queue.extend(mine)
            elif mine:
                watcher.missed = True
            if mine:
                watcher.arrived.set()

    async def watch(
        self, district: str, device: str, token: str, now_us: int
    ) -> AsyncIterator[tuple[Command | None, str]]:
        """Yield changes with the token to resume after each; nothing but the token is a sign of life."""
        if len(self._watchers) >= WATCHERS_MAX:
            raise ResourceExhausted(Reason.OVERLOADED, f"{WATCHERS_MAX} watches run already", retry_after_s=5.0)
        at_us = _position(token, now_us)
        watcher = _Watcher(district, device)
        self._watchers.add(watcher)
        try:
            yield None, str(at_us)
            watcher.missed = bool(token)
            while True:
                if watcher.missed:
                    watcher.missed = False
                    while lot := await self._changes.changes(district, at_us, REPLAY_ROWS):
                        for command, change_us in lot:
                            at_us = change_us
                            if _concerns(watcher, command):
                                yield command, str(at_us)
                queue, watcher.queue = watcher.queue, []
                watcher.arrived.clear()
                for command, change_us in queue:
                    if change_us > at_us:
                        at_us = change_us
                        yield command, str(at_us)
                if not watcher.queue and not watcher.missed and not await _arrives(watcher):
                    yield None, str(at_us)
        finally:
            self._watchers.discard(watcher)


def _concerns(watcher: _Watcher, command: Command) -> bool:
    return command.district == watcher.district and watcher.device in {"", command.device}


async def _arrives(watcher: _Watcher) -> bool:
    try:
        async with asyncio.timeout(LIFE_INTERVAL_S):
            await watcher.arrived.wait()
    except TimeoutError:
        return False
    return True


def _position(token: str, now_us: int) -> int:
    if not token:
        return now_us
    try:
        position = int(token)
    except ValueError:
        position = -1
    if not 0 <= position <= now_us + 60_000_000:
        raise FailedPrecondition(Reason.RESUME_TOKEN_EXPIRED, "resume_token is not one of ours: begin without one")
    return position
