"""Who may write: the writers of a partition run while this process holds the lease on it, and are fenced off after.

The lease says when to begin and when to stop. What a process does that believes in a lease it has lost, because it was
paused or cut off, is caught by the fence: it is raised to the token of the lease before the writers read how far things
are stored, and each of their transactions requires that token. A process that is fenced stops its writers, counts it, and
waits for the lease like any other.

Into how many partitions the districts are divided, the process decides that started last. The others write no more from
that moment, and wait until they are started with the new number; what they had in hand is stored by the new ones.

Tasks: one renews the lease, and one a writer; all end with the lease.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from maasloop.core.clock import Clock
from maasloop.core.errors import Conflict, Retryable
from maasloop.telemetry.metrics import counter, gauge
from maasloop.timeseries.ports.writing import Displaced, Fence, Fenced

PAUSE_S = 0.5
DISPLACED_PAUSE_S = 5.0

HELD = gauge(
    "maasloop_timeseries_partition_held", "1 while this process holds the lease on a partition.", ("partition",)
)
ENDED = counter(
    "maasloop_timeseries_partition_ended_total",
    "Times that writers were stopped because the partition is no longer theirs, by cause: lease_lost or fenced.",
    ("partition", "cause"),
)

log = structlog.get_logger(__name__)

type Pull = Callable[[asyncio.Event], Awaitable[None]]
"""Stores what comes until the event is set, then finishes what is in hand."""


class Lease(Protocol):
    """What one process holds at a time."""

    async def take(self) -> int:
        """Wait until it is ours, and return its revision."""
        ...

    async def keep(self) -> None:
        """Renew it until it is lost."""
        ...

    async def renew(self) -> int:
        """Prove that it is ours; raises ``Conflict`` where it is not."""
        ...

    async def give_up(self) -> None:
        """Let others have it."""
        ...


class Partition:
    """The writers of one partition."""

    def __init__(self, number: int, *, lease: Lease, fence: Fence, pulls: Mapping[str, Pull], clock: Clock) -> None:
        """``pulls`` are the writers by name, which can be run again after they were cancelled."""
        self._number = number
        self._displaced: str | None = None
        self._lease = lease
        self._fence = fence
        self._pulls = pulls
        self._clock = clock
        self.writing = False
        """The writers run."""

    async def check(self) -> str | None:
        """Return why nothing is written from here, or nothing; for a readiness probe."""
        if self.writing:
            return None
        return self._displaced or f"this process does not hold the lease on partition {self._number}"

    async def pull(self, stop: asyncio.Event) -> None:
        """Run the writers whenever the lease is ours, until ``stop`` is set; what is in hand is then finished."""
        while not stop.is_set():
            if not await self._begin(stop):
                continue
            self._tell(writing=True)
            try:
                await self._write(stop)
            finally:
                self._tell(writing=False)
        await self._lease.give_up()

    async def _begin(self, stop: asyncio.Event) -> bool:
        """Wait for the lease and raise the fence; false where ``stop`` is set before, or it is lost again."""
        beginning = asyncio.create_task(self._take(), name="take lease")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([beginning, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not beginning.done():
                return False
            await beginning
        except Displaced as error:
            await self._stand_aside(error)
            return False
        except (Conflict, Fenced, Retryable) as error:
            log.warning("partition_not_begun", partition=self._number, why=str(error))
            await self._clock.sleep(PAUSE_S)
            return False
        finally:
            for task in (beginning, stopping):
                task.cancel()
            await asyncio.gather(beginning, stopping, return_exceptions=True)
        return True

    async def _stand_aside(self, error: Displaced) -> None:
        """Let the process have the lease that writes for the partition of this number now."""
        if self._displaced is None:
            log.warning("partition_displaced", partition=self._number, why=str(error))
        self._displaced = str(error)
        await self._lease.give_up()
        await self._clock.sleep(DISPLACED_PAUSE_S)

    async def _take(self) -> None:
        await self._fence.admit()
        token = await self._lease.take()
        try:
            await self._fence.advance(token)
        except Fenced as fenced:
            # Either it went to somebody else meanwhile, or the bucket was lost and its revisions began again.
            await self._lease.renew()
            token = fenced.newest + 1
            await self._fence.advance(token)
        self._displaced = None
        log.info("partition_begins", partition=self._number, token=token)

    async def _write(self, stop: asyncio.Event) -> None:
        """Run the writers until they have finished, or are no longer to run."""
        keeping = asyncio.create_task(self._lease.keep(), name="keep lease")
        writing = asyncio.create_task(self._run(stop), name="write")
        try:
            await asyncio.wait([keeping, writing], return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                await writing
                return
            self._ended("lease_lost")
        except Fenced as error:
            self._ended("fenced", why=str(error))
            await self._clock.sleep(PAUSE_S)
        finally:
            for task in (keeping, writing):
                task.cancel()
            await asyncio.gather(keeping, writing, return_exceptions=True)

    async def _run(self, stop: asyncio.Event) -> None:
        """Run the writers; the first that fails ends all, and its error is raised."""
        try:
            async with asyncio.TaskGroup() as group:
                for name, pull in self._pulls.items():
                    group.create_task(_run(pull, stop), name=name)
        except ExceptionGroup as errors:
            # One that says that the partition is not ours explains what the others say.
            fenced, others = errors.split(Fenced)
            raise (fenced or errors).exceptions[0] from others

    def _tell(self, *, writing: bool) -> None:
        self.writing = writing
        HELD.labels(str(self._number)).set(int(writing))

    def _ended(self, cause: str, **why: str) -> None:
        ENDED.labels(str(self._number), cause).inc()
        log.warning("partition_ended", partition=self._number, cause=cause, **why)


async def _run(pull: Pull, stop: asyncio.Event) -> None:
    await pull(stop)
