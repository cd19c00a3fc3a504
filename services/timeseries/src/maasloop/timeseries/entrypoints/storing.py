"""Lots on their way into rows: two at a time, settled in order.

The second lot is copied while the first is, and settled after it. A failure rolls back all that is under way, and it is
made again one lot at a time, as long as neighbours need; a lot that can never be stored is taken apart, and the message
at fault becomes a dead letter. The broker is told after the commit, never before.

Tasks: one for each lot under way, which ``Storing`` awaits and which touch nothing but what is stored.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from maasloop.bus.columns import READINGS_HEADER
from maasloop.bus.connection import Bus
from maasloop.bus.consume import DEAD_LETTERS_IN_A_ROW_MAX, TooManyDeadLetters, bury
from maasloop.bus.pull import Delivery
from maasloop.bus.streams import Durable
from maasloop.core.clock import Clock
from maasloop.core.errors import InvalidArgument, Retryable, Unavailable
from maasloop.core.reasons import Reason
from maasloop.telemetry.metrics import counter, histogram
from maasloop.timeseries.domain.custody import Terms
from maasloop.timeseries.domain.partitioning import WHOLE, Share
from maasloop.timeseries.domain.sequence import Life, Seam
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.ports.writing import Fenced, KeyTaken, Lot, Message, PositionMoved, RowStore

from .messages import decode, district_of, given_up

UNDER_WAY_MAX = 2
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 1.0
TOLD_EVERY_S = 5.0
"""How often the tables hear of messages that are other partitions'."""

READINGS = counter("maasloop_timeseries_readings_total", "Readings taken from a stream.", ("stream",))
DEAD_LETTERED = counter("maasloop_timeseries_dead_letters_total", "Messages given up, by reason.", ("stream", "reason"))
LOT_SECONDS = histogram("maasloop_timeseries_lot_seconds", "Time of a lot's transaction.", ("stream",))

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """A message in hand; one that was looked up in the stream has no delivery to acknowledge."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    body: bytes
    delivery: Delivery | None
    settled: bool = False
    """Stored by the live lane already."""
    passing: bool = False
    """Another partition stores it, or did."""

    @property
    def readings(self) -> int:
        """Readings in it, as far as its header says."""
        told = self.headers.get(READINGS_HEADER, "1")
        return int(told) if told.isdigit() else 1


@dataclass(slots=True)
class _Turn:
    """Whether a lot is stored, for the lot after it."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    stored: bool = False


class _Waits(Exception):
    """The lot before was not stored, so this one must not be."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    task: asyncio.Task[None]
    turn: _Turn
    taken: Sequence[Taken]


@dataclass(slots=True)
class Progress:
    """Wakes those who wait for something to be stored."""

    committed: int = 0
    """Everything up to here is stored."""
    live: Seam | None = None
    """What a live lane has stored beyond."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    heard: Callable[[int], None] | None = None
    """Is told what is stored."""

    @property
    def newest(self) -> int:
        """The newest message that is stored."""
        return self.committed if self.live is None else max(self.committed, self.live.upto)

    def holds(self, sequence: int) -> bool:
        """Tell whether a message is stored."""
        return sequence <= self.committed or (self.live is not None and self.live.holds(sequence))

    def advance(self, sequence: int) -> None:
        """Everything up to here is stored."""
        self.committed = max(self.committed, sequence)
        if self.heard is not None:
            self.heard(sequence)
        self._wake()

    def advance_live(self, live: Seam | None) -> None:
        """Say what a live lane has stored."""
        self.live = live
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Storing:
    """Stores lots of one stream. Raises ``PositionMoved`` where another writer was here, with nothing under way.

    Raises ``Fenced`` where the stream is another process's.
    """

    def __init__(
        self,
        *,
        bus: Bus,
        durable: Durable,
        store: RowStore,
        handler: StoreObservations,
        clock: Clock,
        under_way_max: int = UNDER_WAY_MAX,
        share: Share = WHOLE,
        live: bool = False,
        acknowledge_early: bool = False,
    ) -> None:
        """``live`` leaves to the other lane what counts in order; totals of producers are counted by partition 0.

        ``acknowledge_early`` is a sabotage for tests: it tells the broker before the commit.
        """
        self._live = live
        self.hears = not live and share.partition == 0
        """Totals of producers are counted, of all districts."""
        self._bus = bus
        self._durable = durable
        self._store = store
        self._handler = handler
        self._clock = clock
        self.under_way_max = under_way_max
        self._acknowledge_early = acknowledge_early
        self._life = Life(durable.stream, "", 0)
        self._given_up = 0
        self._told = 0
        """Up to here the tables know that everything is stored."""
        self._tell_s = 0.0
        self._lots: deque[_UnderWay] = deque()
        self.progress = Progress()
        self.committed = 0
        """Everything of this life of the stream up to here is stored."""
        self.lot_s = 0.0
        """How long the lot took that was stored last."""

    @property
    def under_way(self) -> int:
        """Lots that are being stored."""
        return len(self._lots)

    def begin(self, life: Life, positions: Mapping[str, int], committed: int, heard: int | None = None) -> None:
        """Begin from what is stored; nothing is under way. ``heard``: ``committed`` where nothing else is known."""
        self._life = life
        self.committed = committed
        self._told = committed
        self._handler.restart(positions, committed if heard is None else heard)
        self.progress.advance(committed)

    async def pass_over(self, sequence: int) -> None:
        """Say that nothing up to here is to be stored, with nothing in hand; the tables hear of it now and then."""
        if sequence > self.committed and not self._life.live:
            self._advance(sequence)
        if self._told < self.committed and not self._life.live and self._clock.monotonic_s() >= self._tell_s:
            self._tell_s = self._clock.monotonic_s() + TOLD_EVERY_S
            with suppress(Retryable):
                await self._store.pass_over(self._life, self.committed)
                self._told = self.committed

    async def take_on(self, taken: Sequence[Taken]) -> None:
        """Make a lot ready, wait until there is room for one, and begin to store it."""
        if self._handler.in_doubt:
            await self.finish()
            await self.patiently(self._handler.take_over)
        lot = await self._made(taken)
        again = await self.finish(self.under_way_max - 1 if lot is not None else 0)
        if lot is None or again:
            # It cannot be made, or rests on what is no longer so.
            await self._store_again(taken)
            return
        turn, before = _Turn(), self._lots[-1].turn if self._lots else None
        task = asyncio.create_task(self._store_lot(lot, taken, turn, before), name=f"store {self._durable.stream}")
        self._lots.append(_UnderWay(task, turn, taken))

    async def finish(self, under_way_max: int = 0) -> bool:
        """Wait until at most so many lots are under way; true where they had to be made again."""
        again = False
        while self._lots and (len(self._lots) > under_way_max or self._lots[0].turn.ended.is_set()):
            await asyncio.wait([self._lots[0].task])
            error = self._lots[0].task.exception()
            if error is None:
                self._lots.popleft()
                continue
            failed = [each.taken for each in self._lots]
            await self.roll_back()
            if isinstance(error, PositionMoved | Fenced):
                raise error
            again = True
            log.warning("lots_made_again", stream=self._durable.stream, lots=len(failed), why=repr(error))
            for taken in failed:
                await self._store_again(taken)
        return again

    async def close_windows(self, *, everything: bool = False) -> None:
        """Merge what is held back of classes of which nothing comes, or all of it."""
        if self._lots:
            return
        try:
            await self._handler.take_over()
            await self._handler.close_windows(everything=everything)
        except (Retryable, PositionMoved) as error:
            log.warning("windows_stay_open", stream=self._durable.stream, why=repr(error))

    async def roll_back(self) -> None:
        """End what is under way."""
        lots, self._lots = self._lots, deque()
        for each in lots:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in lots), return_exceptions=True)

    async def _made(self, taken: Sequence[Taken]) -> Lot | None:
        """Make a lot ready, or nothing where one of its messages is at fault."""
        try:
            # Nobody else holds the messages: their columns go as soon as they are joined.
            return await self.patiently(lambda: self._handler.prepare(self._life, list(map(self._decoded, taken))))
        except PositionMoved:
            await self.roll_back()
            raise
        except Exception:
            log.exception("lot_taken_apart", stream=self._durable.stream, first=taken[0].sequence)
            return None

    def _decoded(self, taken: Taken) -> Message:
        try:
            message = decode(taken.sequence, taken.subject, taken.body)
        except InvalidArgument:
            if not (taken.settled or taken.passing):
                raise
            # It became a dead letter elsewhere.
            found = Message(taken.sequence, district_of(taken.subject), Terms())
            return replace(found, settled=taken.settled, passing=taken.passing)
        if taken.passing:
            return replace(message, columns=None, counts=(), device="", passing=True)
        if not self.hears:
            message = replace(message, producer="", producer_total=0)
        if taken.settled:
            return replace(message, columns=None, settled=True)
        return replace(message, counts=()) if self._live else message

    async def _store_lot(self, lot: Lot, taken: Sequence[Taken], turn: _Turn, before: _Turn | None) -> None:
        async def wait() -> None:
            if before is not None:
                await before.ended.wait()
                if not before.stored:
                    raise _Waits

        try:
            if self._acknowledge_early:
                await acknowledge(taken)
            began_s = self._clock.monotonic_s()
            with LOT_SECONDS.labels(self._durable.stream).time():
                await self._handler.commit(lot, wait)
            self.lot_s = self._clock.monotonic_s() - began_s
            turn.stored = True
        finally:
            turn.ended.set()
        self._given_up = 0
        await self._settled(taken, lot)

    async def _settled(self, taken: Sequence[Taken], lot: Lot) -> None:
        self._advance(taken[-1].sequence)
        self._told = max(self._told, lot.floor or 0)
        READINGS.labels(self._durable.stream).inc(
            sum(message.terms.accepted for message in lot.messages if not (message.settled or message.passing))
        )
        if not self._acknowledge_early:
            await acknowledge(taken)

    async def _store_again(self, taken: Sequence[Taken]) -> None:
        """Store a lot alone; what can be stored of a lot that cannot, is, and the rest is given up."""
        try:
            await self._store_alone(taken)
        except (PositionMoved, Fenced):
            raise
        except Exception:
            log.exception("lot_taken_apart", stream=self._durable.stream, first=taken[0].sequence)
            for each in taken:
                await self._store_or_give_up(each)

    async def _store_or_give_up(self, taken: Taken) -> None:
        try:
            await self._store_alone([taken])
            self._given_up = 0
        except (PositionMoved, Fenced):
            raise
        except Exception as error:
            await self._give_up(taken, error)

    async def _store_alone(self, taken: Sequence[Taken], instead: Message | None = None) -> None:
        """Store messages with nothing else under way, or ``instead`` of the only one."""
        await self.patiently(partial(self._try_alone, taken, instead))

    async def _try_alone(self, taken: Sequence[Taken], instead: Message | None) -> None:
        try:
            await self._store_left(taken, instead, compare_all=False)
        except KeyTaken:
            # The index was wrong about what is new: rows came from elsewhere, and maybe these messages were stored.
            try:
                await self._store_left(taken, instead, compare_all=True)
            except KeyTaken as error:
                why = "another transaction stores the same keys"
                raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, why, {"neighbour": "database"}) from error

    async def _store_left(self, taken: Sequence[Taken], instead: Message | None, *, compare_all: bool) -> None:
        """Store those messages that are not stored: what another writer did meanwhile must not count twice."""
        left = await self._left(taken)
        if not left:
            return
        messages = [instead] if instead else [self._decoded(each) for each in left]
        lot = await self._handler.prepare(self._life, messages)
        await self._handler.commit(lot, compare_all=compare_all)
        await self._settled(left, lot)

    async def _left(self, taken: Sequence[Taken]) -> Sequence[Taken]:
        """Begin from what is stored, and return what is not; a commit whose answer was lost shows here."""
        await self._handler.take_over()
        found = await self._store.stored(self._life.stream, self._life.created)
        self._handler.restart(found.positions, found.heard)
        left = [each for each in taken if not self._is_stored(each)]
        if stored := [each for each in taken if self._is_stored(each)]:
            self._advance(stored[-1].sequence)
            await acknowledge(stored)
        return left

    def _is_stored(self, taken: Taken) -> bool:
        if taken.passing:
            return self._handler.heard(taken.sequence)
        return self._handler.holds(district_of(taken.subject), taken.sequence)

    def _advance(self, sequence: int) -> None:
        self.committed = max(self.committed, sequence)
        self.progress.advance(sequence)

    async def _give_up(self, taken: Taken, error: Exception) -> None:
        """Make a dead letter, and let the position pass it."""
        delivery = taken.delivery or self._undelivered(taken)
        self._given_up += 1
        if self._given_up > DEAD_LETTERS_IN_A_ROW_MAX:
            message = f"{self._given_up} messages of {self._durable.stream} in a row could not be stored"
            raise TooManyDeadLetters(message) from error
        await self.patiently(lambda: bury(self._bus, self._durable, delivery, error))
        DEAD_LETTERED.labels(self._durable.stream, getattr(error, "reason", "INTERNAL")).inc()
        await self._store_alone([taken], given_up(taken.sequence, taken.subject, taken.readings))

    def _undelivered(self, taken: Taken) -> Delivery:
        nobody = self._bus.client.new_inbox()
        return Delivery(taken.subject, taken.headers, taken.body, taken.sequence, 1, 0, 0, nobody, self._bus)

    async def patiently[Result](self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Try until a neighbour that does not answer at present does."""
        pause_s = PAUSE_FIRST_S
        while True:
            try:
                return await call()
            except Retryable as error:
                log.warning("writer_waits", stream=self._durable.stream, reason=error.message, pause_s=pause_s)
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)


async def acknowledge(taken: Sequence[Taken]) -> None:
    """Tell the broker that messages are stored."""
    for each in taken:
        if each.delivery is not None:
            await each.delivery.ack()
