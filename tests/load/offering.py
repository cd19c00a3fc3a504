"""An open-loop load: readings leave when they are due, whatever became of those before them.

Latency counts from the moment a reading was due and not from when it left, so that a stall is paid by everything that
waited for it. What a sender may have unanswered is bounded; beyond that a batch is held back and counted, never queued, as
it is while another stream is begun in place of one that ended.
"""

import asyncio
import contextlib
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tests.load import wire_grpc, wire_mqtt
from tests.load.city import DISTRICT, OBSERVED_PROPERTY, PARENT, accepted, device_id

from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsResponse
from maasloop.api.observation.v1.packed_pb2 import PackedRecordObservationsRequest
from maasloop.bus.columns import build_columns
from maasloop.bus.subjects import UplinkKind, mqtt_topic, uplink
from maasloop.stack.doors import MqttListener

TICK_S = 0.002
UNANSWERED_MAX = 64
"""Batches of one gRPC client, and publishes of one MQTT connection, that wait for their answer at most."""
SECOND_US = 1_000_000
_STATUSES = {str(code.value[0]): code.name for code in grpc.StatusCode}
_PLACEHOLDER_US = 0x0102_0304_0506_0708


@dataclass(frozen=True, slots=True)
class Due:
    """One reading that was sent, for who wants to see when it is readable."""

    device: int
    event_time_us: int
    due_s: float


@dataclass
class Outcome:
    """What became of what one kind of sender offered."""

    readings_a_message: int
    offered: int = 0
    acknowledged: int = 0
    refused: int = 0
    held_back: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """Refused readings by what the answer said."""
    latency_s: array[float] = field(default_factory=lambda: array("d"))
    watched: deque[asyncio.Future[Due]] = field(default_factory=deque)
    """Who waits to be told of the next reading that leaves."""

    def tell(self, device: int, event_time_us: int, due_s: float) -> None:
        """Tell the next one who waits."""
        if self.watched:
            waiting = self.watched.popleft()
            if not waiting.done():
                waiting.set_result(Due(device, event_time_us, due_s))

    def answered(self, due_s: float, counts_from_s: float) -> None:
        """Note an acknowledgement."""
        self.acknowledged += self.readings_a_message
        if due_s >= counts_from_s:
            self.latency_s.append(time.perf_counter() - due_s)


@dataclass(frozen=True, slots=True)
class Span:
    """When a load is offered, on ``time.perf_counter`` and on the wall."""

    began_s: float
    began_us: int
    seconds: float
    warm_up_s: float

    @property
    def ends_s(self) -> float:
        """When nothing more is due."""
        return self.began_s + self.seconds

    @property
    def counts_from_s(self) -> float:
        """From when on latencies count."""
        return self.began_s + self.warm_up_s

    def event_time_us(self, due_s: float) -> int:
        """Return the event time of what is due then."""
        return self.began_us + round((due_s - self.began_s) * SECOND_US)


class Template:
    """A request whose readings all have one event time, filled in by copying bytes."""

    def __init__(self, devices: Sequence[int]) -> None:
        """Make the request of these devices."""
        count = len(devices)
        columns = build_columns(
            [device_id(number) for number in devices],
            [OBSERVED_PROPERTY],
            range(count),
            [0] * count,
            np.full(count, _PLACEHOLDER_US),
            [1.0] * count,
        )
        request = PackedRecordObservationsRequest(parent=PARENT, observations=columns.packed()).SerializeToString()
        self._count = count
        self._before, self._after = request.split(_PLACEHOLDER_US.to_bytes(8, "little") * count)

    def request(self, event_time_us: int) -> bytes:
        """Return the request at a moment."""
        return self._before + event_time_us.to_bytes(8, "little") * self._count + self._after


class GrpcClients:
    """Clients with a connection each, that take turns at sending a batch: as calls, or each over a stream of its own."""

    def __init__(self, channels: Sequence[wire_grpc.Channel], devices: range, *, batch: int, streams: bool) -> None:
        """Share the devices out: every client has its own. ``open`` begins ``streams``."""
        self.outcome = Outcome(batch)
        self._channels = channels
        self._unanswered = [0] * len(channels)
        self._streaming = streams
        self._streams: list[wire_grpc.OpenCall] = []
        self._due: list[deque[tuple[float, float]]] = [deque() for _ in channels]
        """What each stream has not answered: when it was due, and from when on latencies count."""
        share = len(devices) // len(channels)
        self._lots = [
            [
                (first, Template(range(first, first + batch)))
                for first in range(devices[0] + number * share, devices[0] + (number + 1) * share - batch + 1, batch)
            ]
            for number in range(len(channels))
        ]
        self._expected = accepted(batch)
        self._tasks: set[asyncio.Task[None]] = set()
        self._beginning: set[int] = set()

    async def open(self) -> None:
        """Begin the streams, if there are any."""
        if self._streaming:
            self._streams = [await channel.stream(self._hearing(at)) for at, channel in enumerate(self._channels)]

    def send(self, number: int, due_s: float, span: Span) -> None:
        """Let the client whose turn it is send its next lot."""
        turn, client = divmod(number, len(self._channels))
        outcome = self.outcome
        outcome.offered += outcome.readings_a_message
        # First: one that ended while much was unanswered would be begun never again.
        if (self._streaming and self._ended(client)) or self._unanswered[client] >= UNANSWERED_MAX:
            outcome.held_back += outcome.readings_a_message
            return
        lots = self._lots[client]
        first, template = lots[turn % len(lots)]
        event_time_us = span.event_time_us(due_s)
        self._unanswered[client] += 1
        request = template.request(event_time_us)
        if self._streaming:
            self._due[client].append((due_s, span.counts_from_s))
            self._streams[client].send(request)
        else:
            self._task(self._call(client, request, due_s, span.counts_from_s))
        outcome.tell(first, event_time_us, due_s)

    def _task(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _ended(self, client: int) -> bool:
        """Tell whether a stream ended: what it leaves unanswered was refused, and another one is begun in its place."""
        if not self._streams[client].ended:
            return False
        if client not in self._beginning:
            for due in self._due[client]:
                self._note(client, b"", "stream ended", *due)
            self._due[client].clear()
            self._beginning.add(client)
            self._task(self._begin(client))
        return True

    async def _begin(self, client: int) -> None:
        try:
            # Where nobody listens at present, the next batch tries again.
            with contextlib.suppress(OSError):
                self._streams[client] = await self._channels[client].stream(self._hearing(client))
        finally:
            self._beginning.discard(client)

    def _hearing(self, client: int) -> Callable[[bytes], None]:
        def hear(answer: bytes) -> None:
            self._note(client, answer, "", *self._due[client].popleft())

        return hear

    async def _call(self, client: int, request: bytes, due_s: float, counts_from_s: float) -> None:
        answer, why = b"", ""
        try:
            answer = await self._channels[client].unary(request)
        except wire_grpc.CallFailed as failed:
            why = _STATUSES.get(failed.status, "connection lost")
        except (OSError, TimeoutError) as failed:
            why = type(failed).__name__
        self._note(client, answer, why, due_s, counts_from_s)

    def _note(self, client: int, answer: bytes, why: str, due_s: float, counts_from_s: float) -> None:
        self._unanswered[client] -= 1
        if answer == self._expected:
            self.outcome.answered(due_s, counts_from_s)
        else:
            self.outcome.refused += self.outcome.readings_a_message
            self.outcome.refusals[why or _said(answer)] += self.outcome.readings_a_message

    async def settle(self, timeout_s: float) -> None:
        """Wait for the answers that are still to come; a stream that ended gives none."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        deadline_s = time.perf_counter() + timeout_s
        while self._open() and time.perf_counter() < deadline_s:
            await asyncio.sleep(TICK_S)
        left = sum(len(due) for due in self._due) * self.outcome.readings_a_message
        if left:
            self.outcome.refused += left
            self.outcome.refusals["stream ended"] += left

    def _open(self) -> bool:
        return any(due and not stream.ended for due, stream in zip(self._due, self._streams, strict=False))


def _said(answer: bytes) -> str:
    """Return the reasons of an answer that refuses some readings; all of a call have one device property and one fate."""
    refusals = RecordObservationsResponse.FromString(answer).refusals
    return ", ".join(sorted({str(refusal.reason) for refusal in refusals})) or "accepted in part"


class MqttDevices:
    """Devices that publish one reading at a time with QoS 1, over a few connections."""

    def __init__(self, listener: MqttListener, devices: range, *, connections: int) -> None:
        """Prepare; ``open`` connects."""
        self.outcome = Outcome(1)
        self._listener = listener
        self._devices = devices
        self._count = connections
        self._connections: list[wire_mqtt.Connection] = []
        self._due: list[dict[int, float]] = [{} for _ in range(connections)]
        self._counts_from_s = 0.0
        self._topics = [
            mqtt_topic(uplink(DISTRICT, device_id(number), UplinkKind.OBSERVATIONS_JSON)).encode() for number in devices
        ]

    async def open(self) -> None:
        """Connect."""
        for number in range(self._count):
            self._connections.append(await self._connect(number))

    async def _connect(self, number: int) -> wire_mqtt.Connection:
        def heard(identifier: int) -> None:
            due_s = self._due[number].pop(identifier, None)
            if due_s is not None:
                self.outcome.answered(due_s, self._counts_from_s)

        return await wire_mqtt.connect(self._listener, f"singles-{number}", heard)

    def send(self, number: int, due_s: float, span: Span) -> None:
        """Let the device whose turn it is publish."""
        place = number % len(self._devices)
        connection = place % self._count
        link, unanswered = self._connections[connection], self._due[connection]
        self.outcome.offered += 1
        if link.lost or len(unanswered) >= UNANSWERED_MAX:
            self.outcome.held_back += 1
            return
        event_time_us = span.event_time_us(due_s)
        self._counts_from_s = span.counts_from_s
        body = b'{"observations":[{"property":"%b","time":%d,"value":1}]}' % (OBSERVED_PROPERTY.encode(), event_time_us)
        unanswered[link.publish(self._topics[place], body)] = due_s
        self.outcome.tell(self._devices[place], event_time_us, due_s)

    async def settle(self, timeout_s: float) -> None:
        """Wait for the PUBACKs that are still to come, and close."""
        deadline_s = time.perf_counter() + timeout_s
        while any(self._due) and time.perf_counter() < deadline_s:
            await asyncio.sleep(TICK_S)
        self.outcome.refused += sum(len(unanswered) for unanswered in self._due)
        for connection in self._connections:
            connection.close()


async def offer(senders: Sequence[tuple[GrpcClients | MqttDevices, float]], span: Span) -> None:
    """Let every sender send so many messages a second until the span ends."""
    sent = [0] * len(senders)
    while (now_s := time.perf_counter()) < span.ends_s:
        for place, (sender, messages_per_s) in enumerate(senders):
            due = min(int((now_s - span.began_s) * messages_per_s) + 1, int(span.seconds * messages_per_s))
            while sent[place] < due:
                sender.send(sent[place], span.began_s + sent[place] / messages_per_s, span)
                sent[place] += 1
        await asyncio.sleep(TICK_S)
