"""How far districts are stored, whoever stores them.

What this process writes itself it knows at once. Of the districts of other partitions, and while another process has the
partition, the tables tell: they are read while somebody waits, for all who wait together.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from maasloop.core.clock import Clock
from maasloop.core.errors import Retryable
from maasloop.timeseries.domain.partitioning import WHOLE, Share
from maasloop.timeseries.ports.accounting import Settled, SettledReader

READ_EVERY_S = 0.1
CHANGE_MAX_S = 1.0
"""Another process may take the partition meanwhile."""

log = structlog.get_logger(__name__)


class Progress(Protocol):
    """How far the writer of a stream is."""

    @property
    def newest(self) -> int:
        """The newest message that is stored."""
        ...

    def holds(self, sequence: int) -> bool:
        """Tell whether a message is stored."""
        ...

    @property
    def changed(self) -> asyncio.Event:
        """Set when that changes, and replaced."""
        ...


class StoredProgress:
    """What is stored of streams, by district."""

    def __init__(
        self,
        writers: Mapping[str, Progress],
        settled: SettledReader,
        clock: Clock,
        *,
        share: Share = WHOLE,
        writing: Callable[[], bool],
    ) -> None:
        """``writers`` are those of this process by stream, which store the districts of ``share`` while ``writing``."""
        self._writers = writers
        self._reader = settled
        self._clock = clock
        self._share = share
        self._writing = writing
        self._settled: Mapping[str, Settled] = {}
        self._read_s = float("-inf")
        self._reading = asyncio.Lock()

    async def newest(self, stream: str, district: str) -> int:
        """Return a message up to which everything of a district is stored, the last one where that is known; 0: nothing."""
        if self._own(district):
            return self._writers[stream].newest
        return (await self._tables())[stream].newest(district)

    async def wait(self, stream: str, district: str, sequence: int) -> None:
        """Wait until a message of a district is stored."""
        while True:
            if self._own(district):
                progress = self._writers[stream]
                if progress.holds(sequence):
                    return
                try:
                    async with asyncio.timeout(CHANGE_MAX_S):
                        await progress.changed.wait()
                except TimeoutError:
                    continue
            else:
                try:
                    if (await self._tables())[stream].holds(district, sequence):
                        return
                except Retryable as error:
                    log.info("progress_unknown", stream=stream, reason=error.message)
                await self._clock.sleep(READ_EVERY_S)

    def _own(self, district: str) -> bool:
        return self._writing() and self._share.owns(district)

    async def _tables(self) -> Mapping[str, Settled]:
        async with self._reading:
            if self._clock.monotonic_s() - self._read_s >= READ_EVERY_S:
                self._settled = await self._reader.settled()
                self._read_s = self._clock.monotonic_s()
        return self._settled
