"""The owner's side of a projection: a snapshot in lots, then each change, with no gap between them.

A resource's present revision tells when it changed last. A reader that holds everything up to revision ``r`` lacks
exactly the resources whose revision is higher, so a snapshot and the changes after it are one and the same read, and
nothing is kept for a reader but the number it is at: it may be slow, and the owner may have any number of instances.
A resource that changes twice between two reads is sent once, as it is then.

No task belongs to this module; every watcher waits in the task of its call, for a change of this process or for
``POLL_INTERVAL_S``, after which changes of other instances are seen too.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple, Protocol

from maasloop.core.errors import FailedPrecondition, ResourceExhausted
from maasloop.core.reasons import Reason
from maasloop.telemetry import metrics

from .owning import Changed

POLL_INTERVAL_S = 0.5
WATCHERS_MAX = 64

_watchers = metrics.gauge("maasloop_owner_watchers", "Watches that run")


class Reader(Protocol):
    """Where a watch reads: ``Owner``."""

    async def head(self) -> int:
        """Return the last committed revision."""
        ...

    async def changes(self, after: int, upto: int) -> Sequence[Changed]:
        """Return the next lot of resources whose revision lies in (after, upto]; empty if there is none."""
        ...


class WatchLot(NamedTuple):
    """Part of a snapshot, or changes."""

    bodies: Sequence[bytes]
    revision: int
    """Everything up to here was sent."""
    snapshot_complete: bool


class Watching:
    """Serves watches of one owner."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._changed = asyncio.Event()
        self._running = 0

    def wake(self) -> None:
        """Let watchers look at once; called after a commit."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self, resume_revision: int) -> AsyncGenerator[WatchLot]:
        """Yield lots for ever; ends only with an error or with its caller, who closes it (``aclosing``)."""
        if self._running >= WATCHERS_MAX:
            raise ResourceExhausted(Reason.OVERLOADED, f"{WATCHERS_MAX} watches run already", retry_after_s=5.0)
        self._running += 1
        _watchers.inc()
        try:
            async with aclosing(self._lots(resume_revision)) as lots:
                async for lot in lots:
                    yield lot
        finally:
            self._running -= 1
            _watchers.dec()

    async def _lots(self, resume_revision: int) -> AsyncGenerator[WatchLot]:
        head = await self._reader.head()
        if resume_revision > head:
            message = f"revision {resume_revision} was never given (the last is {head}): begin with a snapshot"
            raise FailedPrecondition(Reason.RESUME_TOKEN_EXPIRED, message)
        at = resume_revision
        while lot := await self._reader.changes(at, head):
            at = lot[-1].revision
            yield WatchLot([change.body for change in lot], at, at == head)
        if at < head or resume_revision == head:
            # The last revisions were changed again meanwhile, or there was nothing to send.
            yield WatchLot([], head, snapshot_complete=True)
        async with aclosing(self._changes(head)) as lots:
            async for lot_after in lots:
                yield lot_after

    async def _changes(self, at: int) -> AsyncGenerator[WatchLot]:
        while True:
            changed = self._changed
            head = await self._reader.head()
            while lot := await self._reader.changes(at, head):
                at = lot[-1].revision
                yield WatchLot([change.body for change in lot], at, snapshot_complete=True)
            if at < head:
                at = head
                continue
            try:
                async with asyncio.timeout(POLL_INTERVAL_S):
                    await changed.wait()
            except TimeoutError:
                continue
