"""Publishes readings, refusals and answers, and returns when the broker has stored them.

Micro-batches: a batch that finds its lane idle goes at once; those that come while one is on its way go together, as soon
as they are worth a message or nothing is on its way any more, and under load a moment later, so that many share a message.
Small and large batches have lanes of their own, so that a single reading never waits for bulk. Readings travel over a
connection of their own, so that answers and refusals never queue behind them.

Tasks: one a message, so that a caller that is cancelled takes nobody else's readings with it.
"""

import asyncio
import contextvars
import hashlib
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.message import Message

from maasloop.api.observation.v1.events_pb2 import DeviceResponse, ReadingsQuarantined, ResponseRecorded
from maasloop.api.observation.v1.observation_pb2 import QuarantineEntry
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus import subjects
from maasloop.bus.columns import READINGS_HEADER, Columns
from maasloop.bus.connection import Bus, Stored
from maasloop.bus.envelope import Envelope
from maasloop.core.clock import Clock
from maasloop.core.domains import PERSONAL
from maasloop.core.errors import ResourceExhausted, Unavailable
from maasloop.core.ids import valid_id
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.ports import Lane, Portion, Quarantined
from maasloop.rpc.times import timestamp_from_us
from maasloop.telemetry import tracing

from .fill import StreamFill, ranks_within
from .packing import MESSAGE_MAX_BYTES, columns_of, join, parts, size_bytes
from .row_groups import DEVICES_MAX, one_after_another, properties_of, row_groups, side_by_side

LARGE_ROWS = 256
"""A batch of this many rows keeps its dictionary, and is joined with others without a look at its names."""
WORTH_A_MESSAGE_BYTES = MESSAGE_MAX_BYTES // 2
"""What waits and is this much goes also while something is on its way."""
LOADED_FROM = 4
"""Small batches that went together, from which the next ones are given time to gather: every message costs a synchronous
write, and the work of three processes."""
GATHER_S = 0.003
"""How long that is, as long as less than ``WORTH_A_MESSAGE_BYTES`` waits."""
IN_FLIGHT_MAX = 64
"""Publishes without proof yet."""
UNPROVEN_MAX_BYTES = 32 * 1024 * 1024
"""Readings that wait for their turn or for their proof; more are answered with OVERLOADED."""
PATIENCE_S = 0.8
"""Senders hear within a second that a broker does not store: they keep their readings, or the broker keeps them."""
UNKNOWN_DISTRICT = "unknown"
"""District token of a refused payload whose district could not be told."""


@dataclass(slots=True)
class _Waiting:
    columns: Columns
    receipt_time_us: int
    size: int
    done: asyncio.Future[None]
    traceparent: str


class _Place(NamedTuple):
    """What a message of readings has only one of."""

    lane: Lane
    district: str
    key: str
    door: Door

    @property
    def fact(self) -> subjects.Fact:
        return subjects.OBSERVATION_IMPORTED if self.lane is Lane.PAST else subjects.OBSERVATION_RECORDED

    @property
    def subject(self) -> str:
        return self.fact.subject(self.district, self.key)


class _Lane:
    """Batches that may go together: what is on its way, and what waits."""

    def __init__(self, place: _Place, properties: bytes = b"") -> None:
        """``properties`` are those of large batches."""
        self.place = place
        self.properties = properties
        self.under_way = 0
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0

    def add(self, waiting: _Waiting) -> None:
        """Let a batch wait."""
        self._waiting.append(waiting)
        self._waiting_bytes += waiting.size

    @property
    def idle(self) -> bool:
        """Tell whether nothing is on its way or waits."""
        return not self.under_way and not self._waiting

    @property
    def ready(self) -> bool:
        """Tell whether what waits should go."""
        return bool(self._waiting) and (not self.under_way or self._waiting_bytes >= WORTH_A_MESSAGE_BYTES)

    def take(self) -> list[_Waiting]:
        """Return those who waited longest and fit into a message, one at least."""
        taken, size, devices = 0, 0, {}
        for waiting in self._waiting:
            size += waiting.size
            if self.properties:
                devices[waiting.columns.dictionary] = waiting.columns.sizes()[0]
            if taken and (size > MESSAGE_MAX_BYTES or sum(devices.values()) > DEVICES_MAX):
                break
            taken += 1
        return self._cut(taken)

    def take_all(self) -> list[_Waiting]:
        """Return everybody who waits."""
        return self._cut(len(self._waiting))

    def _cut(self, taken: int) -> list[_Waiting]:
        together, self._waiting = self._waiting[:taken], self._waiting[taken:]
        self._waiting_bytes -= sum(waiting.size for waiting in together)
        return together


class BusPublisher:
    """The one producer of this process."""

    def __init__(self, bus: Bus, clock: Clock, *, bulk: Bus | None = None, fill: StreamFill | None = None) -> None:
        """Count as a producer of its own: a restart begins at 0 under another name.

        Readings go over ``bulk``, everything else over ``bus``; ``fill`` tells how full their streams are.
        """
        self.producer = f"ingest-{secrets.token_hex(6)}"
        self._bus = bus
        self._bulk = bulk or bus
        self._fill = fill or StreamFill(bus)
        self._clock = clock
        self._source = f"maasloop/{self.producer}"
        self._acknowledged: defaultdict[str, int] = defaultdict(int)
        self._lanes: dict[tuple[_Place, bytes], _Lane] = {}
        self._in_flight = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._unproven_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def ranks_admitted(self, lane: Lane) -> int:
        """Return how many of ``RANKS`` have room, by the bytes under way and by how full the lane's stream is."""
        return min(ranks_within(self._unproven_bytes / UNPROVEN_MAX_BYTES), self._fill.ranks_admitted(lane))

    async def record(self, portion: Portion) -> None:
        """Publish accepted readings."""
        columns = columns_of(portion)
        place = _Place(portion.lane, portion.district, portion.key, portion.door)
        size = size_bytes(columns)
        if self._unproven_bytes + size > UNPROVEN_MAX_BYTES:
            message = "too many readings wait for the broker"
            raise ResourceExhausted(Reason.OVERLOADED, message, retry_after_s=1.0)
        self._unproven_bytes += size
        properties = b""
        if portion.count >= LARGE_ROWS:
            properties = properties_of(columns) if size <= MESSAGE_MAX_BYTES else b""
            if not properties:
                await self._record_alone(place, columns, portion.receipt_time_us, size)
                return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(columns, portion.receipt_time_us, size, done, tracing.inject())
        lane = self._lanes.get((place, properties))
        if lane is None:
            lane = self._lanes[place, properties] = _Lane(place, properties)
        lane.add(waiting)
        self._go(lane)
        await done

    async def _record_alone(self, place: _Place, columns: Columns, receipt_time_us: int, size: int) -> None:
        try:
            for part in parts(columns):
                await self._publish(place, part, receipt_time_us)
        finally:
            self._unproven_bytes -= size

    def _go(self, lane: _Lane) -> None:
        """Begin a message, if what waits should go; it takes along what comes until it is its turn."""
        if lane.ready:
            lane.under_way += 1
            name = f"publish {lane.place.district} {lane.place.key}"
            # In no caller's context: the message belongs to all who wait for it.
            task = asyncio.create_task(self._publish_waiting(lane), name=name, context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif lane.idle:
            self._lanes.pop((lane.place, lane.properties), None)

    async def _publish_waiting(self, lane: _Lane) -> None:
        taken = lane.take()
        try:
            self._go(lane)
            messages = _messages(lane, taken)
            if len(messages) == 1:
                await self._publish_together(lane, *messages[0])
            else:
                await asyncio.gather(*(self._publish_together(lane, *each) for each in messages))
            if not lane.properties and len(taken) >= LOADED_FROM:
                await self._clock.sleep(GATHER_S)
        except Exception as error:
            self._fail(taken, error)
            raise
        finally:
            lane.under_way -= 1
        self._go(lane)

    async def _publish_together(self, lane: _Lane, together: Sequence[_Waiting], joined: Columns) -> None:
        """Publish a message and tell everybody who waits for it."""
        try:
            with tracing.follow("publish_readings", _told(together), domain=lane.place.key, batches=len(together)):
                for part in parts(joined):
                    await self._publish(lane.place, part, together[0].receipt_time_us)
        except Exception as error:
            self._fail(together, error)
            if isinstance(error, Unavailable):
                # Nobody waits for a broker that does not store.
                self._fail(lane.take_all(), error)
            return
        for waiting in together:
            self._unproven_bytes -= waiting.size
            if not waiting.done.done():
                waiting.done.set_result(None)

    def _fail(self, together: Sequence[_Waiting], error: Exception) -> None:
        for waiting in together:
            self._unproven_bytes -= waiting.size
            if not waiting.done.done():
                waiting.done.set_exception(error)
                # A caller that was cancelled meanwhile asks no more.
                waiting.done.exception()

    async def refuse_consent(self, district: str, door: Door, count: int) -> None:
        """Publish how many personal readings were refused."""
        message = PackedObservationsRecorded(receipt_time_us=self._clock.now_us(), refused_consent_count=count)
        await self._count_and_send(_Place(Lane.PERSONAL, district, PERSONAL, door), message, count)

    async def shed(self, district: str, door: Door, count: int) -> None:
        """Publish how many readings were shed, where personal ones travel: that stream is the last to be full."""
        message = PackedObservationsRecorded(receipt_time_us=self._clock.now_us(), shed_count=count)
        await self._count_and_send(_Place(Lane.PERSONAL, district, PERSONAL, door), message, count)

    async def give_up(self, district: str, door: Door, message_id: str) -> None:
        """Publish that a payload became a dead letter, as one reading and once for each ``message_id``."""
        message = PackedObservationsRecorded(receipt_time_us=self._clock.now_us(), dead_lettered_count=1)
        place = _Place(Lane.PERSONAL, district or UNKNOWN_DISTRICT, PERSONAL, door)
        ce_id = hashlib.sha256(f"dead letter {message_id}".encode()).hexdigest()[:32]
        await self._count_and_send(place, message, 1, ce_id)

    async def _publish(self, place: _Place, columns: Columns, receipt_time_us: int) -> None:
        message = PackedObservationsRecorded(receipt_time_us=receipt_time_us, row_groups=row_groups(columns))
        columns.pack(message.observations)
        await self._count_and_send(place, message, len(columns))

    async def _count_and_send(
        self, place: _Place, message: PackedObservationsRecorded, count: int, ce_id: str | None = None
    ) -> None:
        message.district, message.domain, message.door = place.district, place.key, place.door
        message.producer, message.reading_count = self.producer, count
        async with self._in_flight:
            message.producer_total = self._acknowledged[place.lane] + count
            headers = {READINGS_HEADER: str(count)}
            try:
                stored = await self._send(
                    self._bulk, place.fact, place.subject, ce_id or secrets.token_hex(16), message, headers
                )
            except ResourceExhausted:
                self._fill.found_full(place.lane)
                raise
        if ce_id is None or not stored.repeated:
            self._acknowledged[place.lane] += count

    async def quarantine(self, quarantined: Quarantined) -> None:
        """Publish refused readings under an id made of them, so that a repetition is dropped by the broker."""
        payload, content_type = quarantined.payload, quarantined.content_type
        if quarantined.rows is not None:
            payload = columns_of(quarantined.rows).packed().SerializeToString()
            content_type = "application/protobuf; type=maasloop.api.observation.v1.ObservationColumns"
        known_district = quarantined.district if valid_id(quarantined.district) else ""
        told = (quarantined.door, known_district, quarantined.device, quarantined.reason, quarantined.receipt_time_us)
        ce_id = hashlib.sha256(repr(told).encode() + payload).hexdigest()[:32]
        entry = QuarantineEntry(
            name=f"quarantineEntries/{ce_id}",
            receipt_time=timestamp_from_us(quarantined.receipt_time_us),
            door=quarantined.door,
            district=known_district,
            device=quarantined.device,
            reason=quarantined.reason,
            detail=quarantined.detail,
            reading_count=quarantined.reading_count,
            content_type=content_type,
            payload=payload,
        )
        count = quarantined.reading_count
        total = self._acknowledged["QUARANTINE"] + count
        message = ReadingsQuarantined(entry=entry, producer=self.producer, producer_total=total)
        fact = subjects.OBSERVATION_QUARANTINED
        subject = fact.subject(known_district or UNKNOWN_DISTRICT, quarantined.door)
        stored = await self._send(self._bus, fact, subject, ce_id, message, {READINGS_HEADER: str(count)})
        if not stored.repeated:
            self._acknowledged["QUARANTINE"] += count

    async def respond(self, district: str, device: str, body: bytes, receipt_time_us: int) -> None:
        """Publish a device's answer."""
        message = ResponseRecorded(
            district=district,
            response=DeviceResponse.FromString(body),
            receipt_time=timestamp_from_us(receipt_time_us),
        )
        fact = subjects.RESPONSE_RECORDED
        ce_id = hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()[:32]
        await self._send(self._bus, fact, fact.subject(district, device), ce_id, message, {})

    async def _send(
        self, bus: Bus, fact: subjects.Fact, subject: str, ce_id: str, message: Message, more: Mapping[str, str]
    ) -> Stored:
        envelope = Envelope(ce_id, fact.message, self._source, self._clock.now_us(), tracing.inject())
        return await bus.store(
            subject, message.SerializeToString(), {**envelope.headers(), **more}, patience_s=PATIENCE_S
        )


def _told(together: Sequence[_Waiting]) -> str:
    """Return the trace of a message: that of the first who is recorded, or of the first who has any."""
    told = [waiting.traceparent for waiting in together if waiting.traceparent]
    return next((one for one in told if tracing.sampled(one)), told[0] if told else "")


def _messages(lane: _Lane, taken: Sequence[_Waiting]) -> Sequence[tuple[Sequence[_Waiting], Columns]]:
    """Return what goes as messages, with those who wait for each: one, or one a dictionary where large batches overlap."""
    if not taken:
        return ()
    if not lane.properties:
        return [(taken, join([waiting.columns for waiting in taken]))]
    by_dictionary: defaultdict[bytes, list[_Waiting]] = defaultdict(list)
    for waiting in taken:
        by_dictionary[waiting.columns.dictionary].append(waiting)
    batches = [one_after_another([waiting.columns for waiting in each]) for each in by_dictionary.values()]
    joined = side_by_side(batches)
    return [(taken, joined)] if joined is not None else list(zip(by_dictionary.values(), batches, strict=True))
