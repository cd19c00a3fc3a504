"""The writer: from a custody stream into rows.

Messages are taken in order of their sequence without a hole. While one lot is being stored the next is made ready. A lot
that cannot be stored at present is tried until it can; one that can never be is taken apart, and the message at fault
becomes a dead letter. The broker is told after the commit, never before: killed between the two, the messages come again
and are skipped by position.

Tasks: ``pull``, and one for the commit under way, which it awaits and which alone never moves the cursor back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

import structlog

from maasloop.bus.columns import READINGS_HEADER
from maasloop.bus.connection import Bus
from maasloop.bus.consume import DEAD_LETTERS_IN_A_ROW_MAX, TooManyDeadLetters, bury
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import Durable
from maasloop.core.clock import Clock
from maasloop.core.errors import Retryable
from maasloop.telemetry.metrics import counter, gauge, histogram
from maasloop.timeseries.domain.sequence import Cursor, Life, begins_new_epoch
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.ports.streams import StreamBrowser
from maasloop.timeseries.ports.writing import KeyTaken, Lot, Message, PositionMoved, RowStore

from .messages import decode, given_up

MESSAGES_A_LOT_MAX = 64
BYTES_A_LOT_MAX = 4 * 1024 * 1024
OUTSTANDING_MAX = 96
"""Messages in memory: at 512 KiB each this bounds the process."""
TAKE_WAIT_S = 0.5
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0
BEHIND_READY_MAX = 50_000
"""Messages behind which the writer says that it is not ready."""

READINGS = counter("maasloop_timeseries_readings_total", "Readings taken from a stream.", ("stream",))
DEAD_LETTERED = counter("maasloop_timeseries_dead_letters_total", "Messages given up, by reason.", ("stream", "reason"))
LOT_SECONDS = histogram("maasloop_timeseries_lot_seconds", "Time of a lot's transaction.", ("stream",))
PENDING = gauge("maasloop_timeseries_pending_messages", "Messages behind the one taken last.", ("stream",))

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A message in hand; one that was looked up in the stream has no delivery to acknowledge."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    body: bytes
    delivery: Delivery | None


class _Outcome(Enum):
    """What became of a lot."""

    STORED = "stored"
    APART = "apart"
    """Its messages are stored one by one, and what was made ready meanwhile has to be made again."""
    MOVED = "moved"
    """Another writer was here: everything in hand is taken from the stream again."""


@dataclass(slots=True)
class _Pending:
    """A lot and the messages it was made of."""

    lot: Lot
    taken: Sequence[_Taken]


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A commit that runs."""

    task: asyncio.Task[_Outcome]
    taken: Sequence[_Taken]


@dataclass(slots=True)
class _Progress:
    """Wakes those who wait for something to be stored."""

    committed: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def advance(self, sequence: int) -> None:
        self.committed = max(self.committed, sequence)
        self.changed.set()
        self.changed = asyncio.Event()


class Writer:
    """The only writer of one stream."""

    def __init__(
        self,
        *,
        bus: Bus,
        durable: Durable,
        streams: StreamBrowser,
        store: RowStore,
        handler: StoreObservations,
        clock: Clock,
        acknowledge_early: bool = False,
    ) -> None:
        """``acknowledge_early`` is a sabotage for tests: it tells the broker before the commit."""
        self._bus = bus
        self._durable = durable
        self._streams = streams
        self._store = store
        self._handler = handler
        self._clock = clock
        self._acknowledge_early = acknowledge_early
        self._cursor = Cursor(Life(durable.stream, "", 0), 0, 0)
        self._pending = 0
        self._given_up = 0
        self._under_way: _UnderWay | None = None
        self.stream = durable.stream
        self.progress = _Progress()

    async def check(self) -> str | None:
        """Return why rows do not keep up, or nothing; for a readiness probe."""
        behind = self._pending
        return f"{behind} messages behind in {self._durable.stream}" if behind > BEHIND_READY_MAX else None

    async def pull(self, stop: asyncio.Event) -> None:
        """Store what comes until ``stop`` is set, then finish the lot in hand."""
        await self._patiently(self._begin)
        reconnected = asyncio.Event()
        forget = self._bus.on_reconnect(reconnected.set)
        try:
            async with Pull(self._bus, self._durable, outstanding_max=OUTSTANDING_MAX) as pull:
                await self._loop(pull, stop, reconnected)
        finally:
            forget()

    async def _loop(self, pull: Pull, stop: asyncio.Event, reconnected: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                deliveries = await pull.take(MESSAGES_A_LOT_MAX, wait_s=TAKE_WAIT_S)
                if self._under_way is not None and self._under_way.task.done():
                    # What it left is put right also while nothing comes.
                    await self._finish()
                if reconnected.is_set():
                    # The broker may have come back from an older state.
                    reconnected.clear()
                    await self._finish()
                    await self._patiently(self._begin)
                for part in _parts(await self._in_order(deliveries)):
                    if await self._take_on(part) is _Outcome.MOVED:
                        break
            await self._finish()
        finally:
            if self._under_way is not None:
                self._under_way.task.cancel()
                await asyncio.gather(self._under_way.task, return_exceptions=True)

    async def _take_on(self, part: Sequence[_Taken]) -> _Outcome:
        """Make a lot ready while the one before is being stored, and begin to store it."""
        made = await self._made(part)
        outcome = await self._finish()
        if outcome is _Outcome.APART:
            made = await self._made(part)
        if outcome is not _Outcome.MOVED and made is None:
            outcome = await self._one_by_one(part)
        if outcome is not _Outcome.MOVED and made is not None:
            task = asyncio.create_task(self._commit(made), name=f"commit {self._durable.stream}")
            self._under_way = _UnderWay(task, part)
        return outcome

    async def _finish(self) -> _Outcome:
        """Wait for the commit under way, and put right what it left: the cursor moves back only while nothing runs."""
        if self._under_way is None:
            return _Outcome.STORED
        outcome, taken = await self._under_way.task, self._under_way.taken
        self._under_way = None
        if outcome is _Outcome.APART:
            return await self._one_by_one(taken)
        if outcome is _Outcome.MOVED:
            await self._move(taken)
        return outcome

    async def _move(self, taken: Sequence[_Taken]) -> None:
        """Begin from what another writer has stored."""
        await self._patiently(self._begin)
        await _acknowledge([each for each in taken if each.sequence <= self._cursor.committed])

    async def _begin(self) -> None:
        """Read how far this life of the stream has been stored; a stream that was set back begins a new epoch."""
        info = await self._streams.info(self._durable.stream)
        epoch, positions = await self._store.positions(self._durable.stream, info.created)
        committed = max(positions.values(), default=0)
        if begins_new_epoch(info.last_sequence, committed):
            log.warning("stream_set_back", stream=self._durable.stream, last=info.last_sequence, stored=committed)
            epoch, positions, committed = epoch + 1, {}, 0
        committed = max(committed, info.first_sequence - 1)
        life = Life(self._durable.stream, info.created, epoch)
        self._cursor = Cursor(life, committed, committed)
        self._handler.restart(positions)
        self.progress.advance(committed)
        log.info("writer_begins", stream=self._durable.stream, after=committed, epoch=epoch)

    async def _in_order(self, deliveries: Sequence[Delivery]) -> list[_Taken]:
        """Return what is to be stored, without a hole; acknowledge what is stored already."""
        taken: list[_Taken] = []
        for delivery in sorted(deliveries, key=lambda each: each.stream_sequence):
            sequence = delivery.stream_sequence
            self._pending = delivery.pending
            if sequence <= self._cursor.committed:
                await delivery.ack()
                continue
            for hole in await self._patiently(partial(self._holes, sequence)):
                self._cursor.take(hole.sequence)
                taken.append(hole)
            if self._cursor.take(sequence):
                taken.append(_Taken(sequence, delivery.subject, delivery.headers, delivery.body, delivery))
        PENDING.labels(self._durable.stream).set(self._pending)
        return taken

    async def _holes(self, sequence: int) -> list[_Taken]:
        """Look up what was not delivered before a message; most often there is nothing."""
        holes = self._cursor.holes_before(sequence)
        if not holes:
            return []
        info = await self._streams.info(self._durable.stream)
        found = []
        for hole in range(max(holes.start, info.first_sequence), holes.stop):
            message = await self._streams.get(self._durable.stream, hole)
            if message is not None:
                found.append(_Taken(hole, message.subject, message.headers, message.body, None))
        log.info("holes_looked_up", stream=self._durable.stream, count=len(holes), found=len(found))
        return found

    async def _made(self, taken: Sequence[_Taken]) -> _Pending | None:
        """Make a lot ready, or nothing where one of its messages is at fault."""
        try:
            messages = [decode(each.sequence, each.subject, each.body) for each in taken]
            lot = await self._patiently(lambda: self._handler.prepare(self._cursor.life, messages))
        except Exception:
            log.exception("lot_taken_apart", stream=self._durable.stream, first=taken[0].sequence)
            return None
        return _Pending(lot, taken)

    async def _commit(self, made: _Pending) -> _Outcome:
        if self._acknowledge_early:
            await _acknowledge(made.taken)
        try:
            await self._patiently(lambda: self._stored(made.lot))
        except PositionMoved:
            return _Outcome.MOVED
        except Exception:
            log.exception("lot_taken_apart", stream=self._durable.stream, first=made.taken[0].sequence)
            return _Outcome.APART
        await self._settled(made.taken, made.lot)
        self._given_up = 0
        return _Outcome.STORED

    async def _stored(self, lot: Lot) -> None:
        with LOT_SECONDS.labels(self._durable.stream).time():
            try:
                try:
                    await self._handler.commit(lot)
                except KeyTaken:
                    # The index was wrong about what is new: another writer was here.
                    await self._handler.commit(lot, compare_all=True)
            except PositionMoved:
                # A commit whose answer was lost looks like this.
                _, positions = await self._store.positions(lot.life.stream, lot.life.created)
                if any(positions.get(district, -1) != sequence for district, (_, sequence) in lot.positions.items()):
                    raise

    async def _settled(self, taken: Sequence[_Taken], lot: Lot) -> None:
        self._cursor.commit(each.sequence for each in taken)
        self.progress.advance(self._cursor.committed)
        READINGS.labels(self._durable.stream).inc(sum(message.terms.accepted for message in lot.messages))
        if not self._acknowledge_early:
            await _acknowledge(taken)

    async def _one_by_one(self, taken: Sequence[_Taken]) -> _Outcome:
        """Store what can be stored of a lot that cannot, and give the rest up."""
        await self._patiently(self._restart)
        for each in taken:
            try:
                await self._store_or_give_up(each)
            except PositionMoved:
                await self._move(taken)
                return _Outcome.MOVED
        return _Outcome.APART

    async def _store_or_give_up(self, taken: _Taken) -> None:
        try:
            await self._store_alone(decode(taken.sequence, taken.subject, taken.body), taken)
            self._given_up = 0
        except PositionMoved:
            raise
        except Exception as error:
            await self._patiently(self._restart)
            await self._give_up(taken, error)

    async def _store_alone(self, message: Message, taken: _Taken) -> None:
        lot = await self._patiently(lambda: self._handler.prepare(self._cursor.life, [message]))
        await self._patiently(lambda: self._stored(lot))
        await self._settled([taken], lot)

    async def _give_up(self, taken: _Taken, error: Exception) -> None:
        """Make a dead letter, and let the position pass it."""
        delivery = taken.delivery or self._undelivered(taken)
        self._given_up += 1
        if self._given_up > DEAD_LETTERS_IN_A_ROW_MAX:
            message = f"{self._given_up} messages of {self._durable.stream} in a row could not be stored"
            raise TooManyDeadLetters(message) from error
        await self._patiently(lambda: bury(self._bus, self._durable, delivery, error))
        DEAD_LETTERED.labels(self._durable.stream, getattr(error, "reason", "INTERNAL")).inc()
        readings = delivery.headers.get(READINGS_HEADER, "1")
        count = int(readings) if readings.isdigit() else 1
        await self._store_alone(given_up(taken.sequence, taken.subject, count), taken)

    def _undelivered(self, taken: _Taken) -> Delivery:
        nobody = self._bus.client.new_inbox()
        return Delivery(taken.subject, taken.headers, taken.body, taken.sequence, 1, 0, 0, nobody, self._bus)

    async def _restart(self) -> None:
        life = self._cursor.life
        _, positions = await self._store.positions(life.stream, life.created)
        self._handler.restart(positions)

    async def _patiently[Result](self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Try until a neighbour that does not answer at present does."""
        pause_s = PAUSE_FIRST_S
        while True:
            try:
                return await call()
            except Retryable as error:
                log.warning("writer_waits", stream=self._durable.stream, reason=error.message, pause_s=pause_s)
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)


async def _acknowledge(taken: Sequence[_Taken]) -> None:
    for each in taken:
        if each.delivery is not None:
            await each.delivery.ack()


def _parts(taken: Sequence[_Taken]) -> Iterator[Sequence[_Taken]]:
    """Cut what was taken into lots of bounded bytes."""
    start = size = 0
    for place, each in enumerate(taken):
        size += len(each.body)
        if size > BYTES_A_LOT_MAX and place > start:
            yield taken[start:place]
            start, size = place, len(each.body)
    if start < len(taken):
        yield taken[start:]
