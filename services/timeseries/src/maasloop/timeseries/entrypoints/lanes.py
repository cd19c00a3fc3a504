"""Two lanes of one stream: while a writer reads a backlog, what comes now is stored beside it.

A writer that is far behind goes on in order, and a second one, the live lane, begins behind the newest message of that
moment with a position of its own. The first reads everything: of the messages that the live lane stored it counts only
what counts in order, the totals of producers and the payloads of devices. Where it meets a message that the live lane did
not store yet, it has caught up: the live lane ends with what it has in hand, and the first goes on alone. So every message
is stored by one of them, each by compare-and-set, and no transaction joins them.

Tasks: one for each lane; only the first decides that the live lane ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from maasloop.bus.connection import Bus
from maasloop.bus.streams import Durable
from maasloop.core.clock import Clock
from maasloop.core.errors import Retryable
from maasloop.timeseries.domain.partitioning import Share
from maasloop.timeseries.domain.sequence import Life, Seam
from maasloop.timeseries.ports.writing import PositionMoved, SeamStore

from .storing import Progress
from .stream import CustodyStreams, LaneEnded, Writer

BEHIND_MESSAGES = 1_000
BEHIND_US = 30 * 1_000_000
"""A message that was stored this long ago, with so many behind it, is a backlog."""
CHECK_S = 1.0

log = structlog.get_logger(__name__)


type Close = Callable[[], Awaitable[None]]
"""Closes what a writer holds open."""


@dataclass(frozen=True, slots=True)
class _Live:
    """A live lane that runs."""

    writer: Writer
    task: asyncio.Task[None]
    stop: asyncio.Event
    close: Close


class Lanes:
    """The writer of one stream, in one lane or two."""

    def __init__(
        self,
        *,
        bus: Bus,
        writer: Writer,
        durable: Durable,
        streams: CustodyStreams,
        store: SeamStore,
        clock: Clock,
        make_live: Callable[[Durable, Life], tuple[Writer, Close]],
        behind_messages: int = BEHIND_MESSAGES,
        behind_us: int = BEHIND_US,
    ) -> None:
        """``make_live`` returns the writer of the live lane, with an index and connections of its own."""
        self._bus = bus
        self._writer = writer
        self._durable = durable
        self._streams = streams
        self._store = store
        self._clock = clock
        self._make_live = make_live
        self._behind_messages = behind_messages
        self._behind_us = behind_us
        self._lane = Life(self._name, "", 0)
        self._seam: Seam | None = None
        self._inherited: Sequence[tuple[Share, Seam]] = ()
        self._live: _Live | None = None
        self._changing = asyncio.Lock()
        self.stream = durable.stream
        writer.ahead = self

    @property
    def _name(self) -> str:
        """The name of the live lane's positions; the stream's name stands before the stroke."""
        return f"{self._durable.stream}/{self._durable.name}"

    @property
    def live(self) -> bool:
        """Tell whether a live lane runs."""
        return self._live is not None

    @property
    def progress(self) -> Progress:
        """What is stored, by both lanes."""
        return self._writer.progress

    @property
    def busy(self) -> bool:
        """Tell whether more waits than one lot."""
        return self._writer.busy or (self._live is not None and self._live.writer.busy)

    async def check(self) -> str | None:
        """Return why rows do not keep up, or nothing; a backlog beside a live lane is no reason."""
        return await (self._writer if self._live is None else self._live.writer).check()

    async def pull(self, stop: asyncio.Event) -> None:
        """Store what comes until ``stop`` is set, then finish what is in hand."""
        main = asyncio.create_task(self._writer.pull(stop), name=f"write {self.stream}")
        try:
            while not main.done():
                await asyncio.wait([main], timeout=CHECK_S)
                if not stop.is_set() and not main.done():
                    try:
                        await self._look()
                    except Retryable as error:
                        log.info("lanes_not_looked_at", stream=self.stream, reason=error.message)
            await main
            await self._end(finish=True)
        finally:
            main.cancel()
            await asyncio.gather(main, return_exceptions=True)
            await self._end(finish=False)

    async def begin(self, created: str, epoch: int) -> int:
        """Read what the lane of this life of the stream stored, and return how far; 0 where there is none."""
        lane = Life(self._name, created, epoch)
        if self._live is not None and lane != self._lane:
            await self._end(finish=False)
        self._inherited = await self._store.inherited(Life(self.stream, created, epoch))
        async with self._changing:
            if self._live is None:
                self._lane, self._seam = lane, await self._store.seam(lane)
            self._tell()
        return 0 if self._seam is None else self._seam.upto

    async def drop(self) -> None:
        """Forget the lane: the stream was set back."""
        await self._end(finish=False)
        self._seam = None
        self._inherited = ()
        self._tell()

    async def stored(self, district: str, sequence: int) -> bool:
        """Tell whether a lane stored a message; where this one did not, it takes none from here on."""
        if any(seam.holds(sequence) and share.owns(district) for share, seam in self._inherited):
            return True
        if self._seam is None or sequence <= self._seam.after:
            return False
        if not self._seam.holds(sequence):
            # Also where the live lane is ending already: what it has in hand is then known.
            await self._end(finish=True)
        return self._seam is not None and self._seam.holds(sequence)

    async def _look(self) -> None:
        """Open a lane where there is a backlog, and close one that the first has passed."""
        if self._live is not None:
            if self._live.task.done() or self._passed():
                await self._end(finish=True)
            return
        if self._seam is not None and self._passed():
            await self._store.close_seam(self._lane)
            log.info("live_lane_closed", stream=self.stream, upto=self._seam.upto)
            self._seam = None
            self._tell()
            self._writer.stand_behind(None)
        if self._writer.pending > self._behind_messages and await self._is_old():
            async with self._changing:
                await self._open()

    def _passed(self) -> bool:
        """Tell whether the first lane has stored as much as the live one."""
        return self._seam is not None and self.progress.committed >= self._seam.upto

    async def _is_old(self) -> bool:
        message = await self._streams.first_from(self.stream, self._writer.taken + 1)
        return message is not None and self._clock.now_us() - message.stored_us >= self._behind_us

    async def _open(self) -> None:
        """Begin the live lane behind the newest message, or go on with the one that is there."""
        lane = Life(self._name, self._writer.life.created, self._writer.life.epoch)
        if self._seam is None:
            after = (await self._streams.info(self.stream)).last_sequence
            await self._store.open_seam(lane, after)
        seam = await self._store.seam(lane)
        durable = await self._consumer(0 if seam is None else seam.upto)
        # From here to the end nothing waits: what the first has taken lies before the seam, and stays there.
        life = self._writer.life
        if seam is None or self._writer.taken > seam.upto or (life.created, life.epoch) != (lane.created, lane.epoch):
            return
        self._lane, self._seam = lane, seam
        (writer, close), stop = self._make_live(durable, lane), asyncio.Event()
        writer.progress.heard = self._advance
        task = asyncio.create_task(writer.pull(stop), name=f"live {self.stream}")
        self._live = _Live(writer, task, stop, close)
        self._tell()
        self._writer.stand_behind(lambda: writer.busy)
        log.info("live_lane_opens", stream=self.stream, after=seam.upto, backlog=self._writer.pending)

    async def _consumer(self, after: int) -> Durable:
        """Make the durable of the live lane anew."""
        durable = Durable(f"{self._durable.name}-live", self.stream, self._durable.service, max_ack_pending=4_096)
        await self._streams.begin_durable(durable, after)
        return durable

    def _advance(self, sequence: int) -> None:
        """The live lane stored something."""
        if self._seam is not None and sequence > self._seam.upto:
            self._seam = Seam(self._seam.after, sequence)
        self._tell()

    def _tell(self) -> None:
        self.progress.advance_live(self._seam)

    async def _end(self, *, finish: bool) -> None:
        """End the live lane: with what it has in hand, or at once. What it stored stays known."""
        async with self._changing:
            live = self._live
            if live is None:
                return
            live.stop.set()
            if not finish:
                live.task.cancel()
            ended = (await asyncio.gather(live.task, return_exceptions=True))[0]
            self._live = None
            await live.close()
            if not finish:
                return
            # A commit whose answer was lost shows in the table only.
            self._seam = await self._writer.patiently(lambda: self._store.seam(self._lane))
            self._tell()
            log.info("live_lane_ends", stream=self.stream, seam=self._seam)
            with suppress(Retryable):
                await self._bus.api(f"CONSUMER.DELETE.{self.stream}.{self._durable.name}-live")
        if isinstance(ended, LaneEnded):
            raise PositionMoved(self.stream)
        if isinstance(ended, BaseException):
            raise ended
