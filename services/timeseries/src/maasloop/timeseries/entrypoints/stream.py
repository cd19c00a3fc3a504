"""The writer: from a custody stream into rows.

Messages are taken in order of their sequence without a hole. When nothing is under way, what has come is stored at once,
except that lots keep a distance that grows with their cost; while one is under way the next fills up, and begins beside it
when it is full, or when it is worth it and no more comes. Killed between the commit and its acknowledgement, messages come
again and are skipped by position.

Tasks: ``pull``, and those of ``Storing``; only ``pull`` moves the cursor.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

import structlog

from maasloop.bus.connection import Bus
from maasloop.bus.pull import Delivery, Pull, acknowledge
from maasloop.bus.streams import Durable
from maasloop.core.clock import Clock
from maasloop.telemetry.metrics import gauge
from maasloop.timeseries.domain.partitioning import WHOLE, Share
from maasloop.timeseries.domain.sequence import Cursor, Life, begins_new_epoch
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.ports.streams import StreamInfo, StreamReader
from maasloop.timeseries.ports.writing import PositionMoved, RowStore, Stored

from .gathering import READINGS_A_SECOND_LOT, Gathered, Growth, newest_behind
from .messages import district_of
from .storing import UNDER_WAY_MAX, Progress, Storing, Taken

TAKEN_AT_ONCE_MAX = 64
OUTSTANDING_MAX = 1_024
OUTSTANDING_BYTES_MAX = 8 * 1024 * 1024
TAKE_WAIT_S = 0.5
GATHER_WAIT_S = 0.02
GIVE_WAY_MAX_S = 1.0
DISTANCE_MIN_S = 0.02
DISTANCE_MAX_S = 0.25
PASSING_DISTANCE_S = 1.0
"""Totals of producers alone are stored this far apart."""
LOOK_EVERY_S = 5.0
ACKNOWLEDGED_AHEAD_MAX = 100
"""What was acknowledged and is looked at again, one message at a time."""
ACKNOWLEDGED_BEHIND_MAX = 10_000
"""What was stored and is delivered again."""
DISTANCE_SHARE = 2.0
"""Lots that are not full begin at least this many times their duration apart."""
BEHIND_READY_MAX = 50_000
"""Messages behind which the writer says that it is not ready."""

PENDING = gauge("maasloop_timeseries_pending_messages", "Messages behind the one taken last.", ("stream",))

log = structlog.get_logger(__name__)


class LaneEnded(Exception):
    """The stream is no longer what a live lane was opened on."""


class CustodyStreams(StreamReader, Protocol):
    """Streams of which messages are read, and durables that begin where they are told."""

    async def begin_durable(self, durable: Durable, after: int) -> None:
        """Make a durable anew that begins after a message."""
        ...


class Ahead(Protocol):
    """A live lane, as the writer sees it that reads the backlog."""

    async def begin(self, created: str, epoch: int) -> int:
        """Read what the lane of this life of the stream stored, and return how far; 0 where there is none."""
        ...

    async def drop(self) -> None:
        """Forget the lane: the stream was set back."""
        ...

    async def stored(self, district: str, sequence: int) -> bool:
        """Tell whether the lane stored a message; where it did not, it takes none from here on.

        Raises ``PositionMoved`` where everything is to be taken anew.
        """
        ...


class Writer:
    """The only writer of one stream, or of one share of its districts."""

    def __init__(
        self,
        *,
        bus: Bus,
        durable: Durable,
        streams: CustodyStreams,
        store: RowStore,
        handler: StoreObservations,
        clock: Clock,
        share: Share = WHOLE,
        yields_to: Callable[[], bool] | None = None,
        lane: Life | None = None,
        acknowledge_early: bool = False,
    ) -> None:
        """``share`` are the districts that it stores; messages of others pass.

        ``lane`` makes this the live lane of a stream, with positions of its own under that name.

        ``yields_to`` tells whether a writer that matters more has much to do; ``acknowledge_early``: see ``Storing``.

        A writer that yields has one lot under way, so that what it holds is soon free.
        """
        self._bus = bus
        self._durable = durable
        self._streams = streams
        self._store = store
        self._clock = clock
        self._share = share
        self._yields_to = yields_to
        self._lots = Storing(
            bus=bus,
            durable=durable,
            store=store,
            handler=handler,
            clock=clock,
            under_way_max=UNDER_WAY_MAX if yields_to is None else 1,
            share=share,
            live=lane is not None,
            acknowledge_early=acknowledge_early,
        )
        self._handler = handler
        self._lane = lane
        self._label = durable.stream if lane is None else lane.stream
        self._reconnected = asyncio.Event()
        self.ahead: Ahead | None = None
        """The live lane of the same stream, if there may be one."""
        self._cursor = Cursor(Life(durable.stream, "", 0), 0)
        self._pending = 0
        self._gathered = Gathered()
        self._growth = Growth()
        self._next_s = 0.0
        """When the next lot may begin that is not full."""
        self._look_s = 0.0
        """When to look whether the durable is still there."""
        self.stream = durable.stream

    @property
    def progress(self) -> Progress:
        """How far everything is stored."""
        return self._lots.progress

    @property
    def life(self) -> Life:
        """The life of the stream that it reads."""
        return self._cursor.life

    @property
    def taken(self) -> int:
        """The message that was taken last."""
        return self._cursor.taken

    @property
    def pending(self) -> int:
        """Messages behind it."""
        return self._pending

    async def patiently[Result](self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Try until a neighbour that does not answer at present does."""
        return await self._lots.patiently(call)

    def stand_behind(self, yields_to: Callable[[], bool] | None) -> None:
        """Let another writer of the same series go first, or no longer."""
        self._yields_to = yields_to
        self._lots.under_way_max = UNDER_WAY_MAX if yields_to is None else 1
        self._handler.stand_behind(behind=yields_to is not None)
        # What is known of series is read anew.
        self._reconnected.set()

    @property
    def busy(self) -> bool:
        """Tell whether more waits than one lot."""
        return self._lots.under_way > 1 or self._gathered.full

    async def check(self) -> str | None:
        """Return why rows do not keep up, or nothing; for a readiness probe."""
        behind = self._pending
        return f"{behind} messages behind in {self._durable.stream}" if behind > BEHIND_READY_MAX else None

    async def pull(self, stop: asyncio.Event) -> None:
        """Store what comes until ``stop`` is set, then finish what is in hand; may be run again after it ended."""
        self._gathered = Gathered()
        await self._lots.patiently(self._begin)
        forget = self._bus.on_reconnect(self._reconnected.set)
        try:
            async with Pull(
                self._bus, self._durable, outstanding_max=OUTSTANDING_MAX, bytes_max=OUTSTANDING_BYTES_MAX
            ) as pull:
                while not stop.is_set():
                    try:
                        await self._step(pull)
                    except PositionMoved:
                        await self._begin_again()
                with suppress(PositionMoved):
                    await self._finish()
                    await self._lots.close_windows(everything=True)
        finally:
            forget()
            await self._lots.roll_back()

    async def _step(self, pull: Pull) -> None:
        wait_s = GATHER_WAIT_S if self._gathered.taken or self._lots.under_way else TAKE_WAIT_S
        deliveries = await pull.take(TAKEN_AT_ONCE_MAX, wait_s=wait_s)
        # What a lot left is put right also while nothing comes.
        await self._lots.finish(UNDER_WAY_MAX)
        if self._reconnected.is_set() or await self._is_another(deliveries):
            # The broker may have come back from an older state, or with another stream of this name.
            self._reconnected.clear()
            await self._finish()
            await self._lots.patiently(self._begin)
        newest = newest_behind(deliveries, pull.waiting)
        growing = self._growth.see(newest, self._clock.monotonic_s())
        async for taken in self._in_order(deliveries):
            self._gathered.add(taken)
            if self._gathered.enough(newest - taken.sequence, self._lots.under_way_max, growing=growing):
                await self._take_on()
        if not self._gathered.taken:
            if not self._lots.under_way:
                await self._lots.pass_over(self._cursor.taken)
            await self._lots.close_windows()
            await self._look()
        if self._gathered.taken and self._worth_a_lot(idle=pull.waiting == 0 and not growing):
            await self._take_on()

    async def _is_another(self, deliveries: Sequence[Delivery]) -> bool:
        """Tell whether the stream was made again: then what seems to be stored comes for the first time."""
        if not any(each.attempt == 1 and each.stream_sequence <= self._lots.committed for each in deliveries):
            return False
        info = await self._lots.patiently(partial(self._streams.info, self._durable.stream))
        return info.created != self._cursor.life.created

    def _worth_a_lot(self, *, idle: bool) -> bool:
        """Tell whether what was gathered should be stored although more would fit into its lot."""
        if not self._gathered.own:
            return self._clock.monotonic_s() >= self._next_s + PASSING_DISTANCE_S
        if self._lots.under_way == 1:
            return idle and self._gathered.readings >= READINGS_A_SECOND_LOT
        return not self._lots.under_way and self._clock.monotonic_s() >= self._next_s

    async def _take_on(self) -> None:
        gathered, self._gathered = self._gathered, Gathered()
        await self._give_way()
        await self._lots.take_on(gathered.taken)
        distance_s = min(max(DISTANCE_SHARE * self._lots.lot_s, DISTANCE_MIN_S), DISTANCE_MAX_S)
        self._next_s = self._clock.monotonic_s() + distance_s

    async def _give_way(self) -> None:
        """Wait while the other writer has much to do, but not for ever."""
        if self._yields_to is None:
            return
        until_s = self._clock.monotonic_s() + GIVE_WAY_MAX_S
        while self._yields_to() and self._clock.monotonic_s() < until_s:
            await self._clock.sleep(GATHER_WAIT_S)

    async def _finish(self) -> None:
        """Store what is in hand."""
        if self._gathered.taken:
            await self._take_on()
        await self._lots.finish()

    async def _begin_again(self) -> None:
        """Another writer was here: what is in hand is taken from the stream again, from where that writer is."""
        self._gathered = Gathered()
        await self._lots.patiently(self._begin)

    async def _begin(self) -> None:
        """Read how far this life of the stream has been stored; a stream that was set back begins a new epoch."""
        self._growth = Growth()
        info = await self._streams.info(self._durable.stream)
        if self._lane is not None:
            await self._begin_lane(self._lane, info)
            return
        found = await self._store.stored(self._durable.stream, info.created)
        ahead = await self.ahead.begin(info.created, found.epoch) if self.ahead else 0
        if begins_new_epoch(info.last_sequence, max(found.reach, ahead)):
            if self.ahead:
                await self.ahead.drop()
            log.warning("stream_set_back", stream=self._durable.stream, last=info.last_sequence, stored=found.reach)
            found = Stored(found.epoch + 1, {}, 0, 0, 0)
        epoch, committed = found.epoch, max(found.floor, info.first_sequence - 1)
        life = Life(self._durable.stream, info.created, epoch)
        # The other partitions learn of a new epoch, and that everything before was stored in order.
        await self._store.pass_over(life, committed)
        self._cursor = Cursor(life, committed)
        self._lots.begin(life, found.positions, committed, max(found.heard, info.first_sequence - 1))
        await self._handler.take_over()
        await self._stand()
        log.info("writer_begins", stream=self._durable.stream, after=committed, epoch=epoch)

    async def _begin_lane(self, lane: Life, info: StreamInfo) -> None:
        found = await self._store.stored(lane.stream, lane.created)
        committed = found.floor
        if info.created != lane.created or found.epoch != lane.epoch or begins_new_epoch(info.last_sequence, committed):
            raise LaneEnded(lane.stream)
        if not found.positions:
            raise LaneEnded(lane.stream)
        self._cursor = Cursor(lane, committed)
        self._lots.begin(lane, found.positions, committed)
        log.info("live_lane_begins", stream=self._durable.stream, after=committed)

    async def _stand(self) -> None:
        """Make the durable of a partition anew where it is missing, or stands elsewhere than the tables."""
        if await self._astray():
            await self._streams.begin_durable(self._durable, self._lots.committed)
            log.info("durable_made", durable=self._durable.name, after=self._lots.committed)

    async def _astray(self) -> bool:
        """Tell whether the durable does not go on where the tables say; that of the only partition is declared."""
        if self._share.partitions == 1 or self._lane is not None:
            return False
        self._look_s = self._clock.monotonic_s() + LOOK_EVERY_S
        floor = await self._streams.ack_floor(self._durable.stream, self._durable.name)
        ahead = floor - self._lots.committed
        return floor < 0 or not -ACKNOWLEDGED_BEHIND_MAX <= ahead <= ACKNOWLEDGED_AHEAD_MAX

    async def _look(self) -> None:
        """See now and then whether the durable is still there; the stream may have been made again."""
        if self._clock.monotonic_s() >= self._look_s and await self._lots.patiently(self._astray):
            await self._begin_again()

    async def _in_order(self, deliveries: Sequence[Delivery]) -> AsyncIterator[Taken]:
        """Yield what is to be stored, without a hole; acknowledge what is stored already, or by others."""
        passed = []
        for delivery in sorted(deliveries, key=lambda each: each.stream_sequence):
            sequence = delivery.stream_sequence
            self._pending = delivery.pending
            if sequence <= self._lots.committed:
                passed.append(delivery)
                continue
            async for hole in self._holes(sequence):
                yield hole
            if self._cursor.take(sequence):
                taken = await self._sifted(Taken(sequence, delivery.subject, delivery.headers, delivery.body, delivery))
                if taken is None:
                    passed.append(delivery)
                else:
                    yield taken
        await acknowledge(self._bus, passed)
        PENDING.labels(self._label).set(self._pending)

    async def _sifted(self, taken: Taken) -> Taken | None:
        """Return a message as it is to be stored; nothing where another partition does, or did."""
        district = district_of(taken.subject)
        if not self._share.owns(district) or self._handler.holds(district, taken.sequence):
            hears = self._lots.hears and not self._handler.heard(taken.sequence)
            return replace(taken, passing=True) if hears else None
        settled = self.ahead is not None and await self.ahead.stored(district, taken.sequence)
        return replace(taken, settled=True) if settled else taken

    async def _holes(self, sequence: int) -> AsyncIterator[Taken]:
        """Look up what was not delivered before a message; most often there is nothing."""
        holes, found = self._cursor.holes_before(sequence), 0
        if not holes:
            return
        at = holes.start
        while at < holes.stop:
            look = partial(self._streams.some_from, self._durable.stream, at, holes.stop)
            at, messages = await self._lots.patiently(look)
            found += len(messages)
            for each in messages:
                if self._cursor.take(each.sequence):
                    taken = await self._sifted(Taken(each.sequence, each.subject, each.headers, each.body, None))
                    if taken is not None:
                        yield taken
        log.info("holes_looked_up", stream=self._durable.stream, count=len(holes), found=found)
