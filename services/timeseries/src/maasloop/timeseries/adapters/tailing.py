"""Messages of the custody streams as readers follow them: after they are stored, and without a say in their custody.

A watch has a consumer of its own for each stream, which the broker forgets when nobody asks it any more. A message is
passed on when the writer has committed it.

A watch that does not keep up is dropped and never waited for by anybody: what waits for it is bounded in messages and
bytes, and when there was no room for a while it ends with CALLER_TOO_SLOW. A caller who reads is told so; the call of one
who does not read at all is cancelled, because a status would lie behind the answers that he does not take.

Tasks: one a stream and watch, ended with the watch.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from maasloop.api.observation.v1.events_pb2 import ObservationsRecorded
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import parse_packed, read_columns
from maasloop.bus.connection import Bus
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import OBSERVATIONS, PERSONAL, Durable
from maasloop.bus.subjects import OBSERVATION_RECORDED
from maasloop.core.errors import FailedPrecondition, ResourceExhausted, Unavailable
from maasloop.core.reasons import Reason
from maasloop.telemetry import metrics
from maasloop.timeseries.ports.reading import Seen

from .streams import Streams

SIGN_OF_LIFE_S = 10.0
QUEUE_MAX = 64
QUEUE_BYTES_MAX = 1024 * 1024
OUTSTANDING_MAX = 8
OUTSTANDING_BYTES_MAX = 2 * 1024 * 1024
"""Twice the largest message of the streams."""
WATCHES_MAX = 64
SLOW_AFTER_S = 10.0
"""A watch ends when there was no room for its next message for so long."""
TELL_S = 1.0
"""Time that a caller who is too slow gets to take his status."""
ALIVE_CHECK_S = 5.0
FORGOTTEN_AFTER_S = 60
NANOSECONDS = 1_000_000_000
WATCHED = (OBSERVATIONS.name, PERSONAL.name)


class Progress(Protocol):
    """How far districts are stored."""

    async def newest(self, stream: str, district: str) -> int:
        """Return a message up to which everything of a district is stored; 0 where nothing is."""
        ...

    async def wait(self, stream: str, district: str, sequence: int) -> None:
        """Wait until a message of a district is stored."""
        ...


_dropped = metrics.counter(
    "maasloop_timeseries_watches_dropped_total", "Watches ended because their caller was too slow", ["told"]
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Stored:
    stream: str
    delivery: Delivery


class _Queue:
    """Messages that wait for one watch: at most ``QUEUE_MAX`` and, beyond the first, ``QUEUE_BYTES_MAX``."""

    def __init__(self) -> None:
        self._waiting: deque[_Stored] = deque()
        self._bytes = 0
        self._end: Exception | None = None
        self._changed = asyncio.Event()

    async def put(self, stored: _Stored) -> None:
        """Wait for room and add a message."""
        size = len(stored.delivery.body)
        while self._waiting and (len(self._waiting) >= QUEUE_MAX or self._bytes + size > QUEUE_BYTES_MAX):
            await self._changed.wait()
        self._waiting.append(stored)
        self._bytes += size
        self._tell()

    def end(self, error: Exception) -> None:
        """Forget what waits; the watch ends with an error."""
        self._waiting.clear()
        self._bytes = 0
        self._end = self._end or error
        self._tell()

    async def get(self) -> _Stored:
        """Wait for a message and return it, or raise what the watch ends with."""
        while not self._waiting:
            if self._end is not None:
                raise self._end
            await self._changed.wait()
        stored = self._waiting.popleft()
        self._bytes -= len(stored.delivery.body)
        self._tell()
        return stored

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class StreamTail:
    """Follows streams for watches."""

    def __init__(
        self,
        bus: Bus,
        streams: Streams,
        progress: Progress,
        *,
        slow_after_s: float = SLOW_AFTER_S,
        tell_s: float = TELL_S,
    ) -> None:
        """``progress`` tells what is stored."""
        self._bus = bus
        self._streams = streams
        self._progress = progress
        self._slow_after_s = slow_after_s
        self._tell_s = tell_s
        self.running = 0
        self.dropped = 0

    @asynccontextmanager
    async def follow(self, district: str, after: Mapping[str, int] | None) -> AsyncIterator[AsyncIterator[Seen]]:
        """Yield what is stored from now on, or after a token."""
        if self.running >= WATCHES_MAX:
            message = f"{WATCHES_MAX} watches run already"
            raise ResourceExhausted(Reason.OVERLOADED, message, retry_after_s=5.0)
        self.running += 1
        pumps: list[asyncio.Task[None]] = []
        try:
            start = await self._start(district, after)
            queue, caller = _Queue(), asyncio.current_task()
            pumps = [
                asyncio.create_task(self._pump(stream, district, sequence, queue, caller), name=f"watch {stream}")
                for stream, sequence in start.items()
            ]
            yield _seen(queue, start)
        finally:
            self.running -= 1
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _start(self, district: str, after: Mapping[str, int] | None) -> dict[str, int]:
        start = {}
        for stream in WATCHED:
            info = await self._streams.info(stream)
            if after is None:
                # Before the writer has begun, nothing tells what of the stream is stored.
                start[stream] = await self._progress.newest(stream, district) or info.last_sequence
                continue
            start[stream] = after.get(stream, info.last_sequence)
            if not info.first_sequence - 1 <= start[stream] <= info.last_sequence:
                message = f"{stream} does not hold what came after the token any more"
                raise FailedPrecondition(Reason.RESUME_TOKEN_EXPIRED, message)
        return start

    async def _pump(
        self, stream: str, district: str, after: int, queue: _Queue, caller: asyncio.Task[object] | None
    ) -> None:
        try:
            await self._pass_on(stream, district, after, queue)
        except ResourceExhausted as error:
            queue.end(error)
            self.dropped += 1
            # A caller in the middle of a write that nobody takes does not come back to be told.
            told = "no"
            try:
                await asyncio.sleep(self._tell_s)
                if caller is not None:
                    caller.cancel()
            except asyncio.CancelledError:
                told = "yes"
                raise
            finally:
                _dropped.labels(told).inc()
                _log.warning("watch_dropped", district=district, stream=stream, reason=error.reason, told=told)
        except Exception as error:
            queue.end(error)

    async def _pass_on(self, stream: str, district: str, after: int, queue: _Queue) -> None:
        name = await self._consumer(stream, [OBSERVATION_RECORDED.wildcard(district)], after)
        durable = Durable(name, stream, "timeseries")
        async with Pull(self._bus, durable, outstanding_max=OUTSTANDING_MAX, bytes_max=OUTSTANDING_BYTES_MAX) as pull:
            while True:
                taken = await pull.take(OUTSTANDING_MAX, wait_s=ALIVE_CHECK_S)
                if not taken:
                    await self._require_consumer(stream, name)
                for delivery in taken:
                    await self._progress.wait(stream, district, delivery.stream_sequence)
                    await self._put(queue, _Stored(stream, delivery))

    async def _put(self, queue: _Queue, stored: _Stored) -> None:
        try:
            async with asyncio.timeout(self._slow_after_s):
                await queue.put(stored)
        except TimeoutError:
            message = (
                f"there was no room for the next message for {self._slow_after_s:g} s: read faster, or select less"
            )
            metadata = {"limit": f"{QUEUE_BYTES_MAX} B"}
            raise ResourceExhausted(Reason.CALLER_TOO_SLOW, message, metadata) from None

    async def _consumer(self, stream: str, subjects: list[str], after: int) -> str:
        config = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": after + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subjects": subjects,
            "inactive_threshold": FORGOTTEN_AFTER_S * NANOSECONDS,
            "mem_storage": True,
        }
        answer = await self._bus.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config})
        if "error" in answer:
            raise _lost(str(answer["error"].get("description")))
        return str(answer["name"])

    async def _require_consumer(self, stream: str, name: str) -> None:
        if "error" in await self._bus.api(f"CONSUMER.INFO.{stream}.{name}"):
            raise _lost("the broker forgot the watch")


async def _seen(queue: _Queue, start: dict[str, int]) -> AsyncIterator[Seen]:
    token = dict(start)
    yield Seen(None, personal=False, token=dict(token))
    while True:
        try:
            async with asyncio.timeout(SIGN_OF_LIFE_S):
                stored = await queue.get()
        except TimeoutError:
            yield Seen(None, personal=False, token=dict(token))
            continue
        token[stored.stream] = stored.delivery.stream_sequence
        packed = parse_packed(PackedObservationsRecorded, ObservationsRecorded, stored.delivery.body)
        columns = read_columns(packed.observations)
        yield Seen(columns if len(columns) else None, stored.stream == PERSONAL.name, dict(token))


def _lost(why: str) -> Unavailable:
    return Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, why, {"neighbour": "nats"})
