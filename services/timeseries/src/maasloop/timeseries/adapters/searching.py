"""Messages of the custody streams that carried one reading: a bounded read in order, decoded by columns.

A search has a consumer of its own for each stream, which the broker forgets by itself. Most messages are passed over by
their bytes: one that does not name the device cannot carry its reading.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError

from maasloop.api.observation.v1.events_pb2 import ObservationsRecorded, ReadingsQuarantined
from maasloop.api.observation.v1.observation_pb2 import PositionObservation, StateObservation
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import Columns, parse_columns, parse_packed, read_columns
from maasloop.bus.connection import Bus
from maasloop.bus.envelope import traceparent
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import Durable
from maasloop.bus.subjects import OBSERVATION_QUARANTINED, Fact, parse_fact
from maasloop.core.clock import Clock, from_us
from maasloop.core.errors import InvalidArgument, ResourceExhausted, Unavailable
from maasloop.core.reasons import Reason
from maasloop.rpc.times import us_from_timestamp
from maasloop.timeseries.ports.accounting import Carrying, Key, Searched
from maasloop.timeseries.ports.streams import StreamBrowser

MESSAGES_A_SEARCH_MAX = 50_000
"""Messages of one stream."""
BYTES_A_SEARCH_MAX = 512 * 1024 * 1024
"""Bodies of one stream, of which no more than ``OUTSTANDING_MAX`` are in memory."""
SEARCH_TIMEOUT_S = 6.0
"""Time for one stream; what was found by then is the answer."""
SEARCHES_MAX = 4
OUTSTANDING_MAX = 64
FOUND_MAX = 100
"""Messages listed: a reading that is sent again and again need not fill memory."""
FORGOTTEN_AFTER_S = 30
NANOSECONDS = 1_000_000_000
COLUMNS_TYPE = "ObservationColumns"
"""End of the media type of refused rows."""


class StreamSearch:
    """Searches streams, a few at a time."""

    def __init__(self, bus: Bus, streams: StreamBrowser, facts: Mapping[str, Fact], clock: Clock) -> None:
        """``facts`` says by stream what travels on it."""
        self._bus = bus
        self._streams = streams
        self._facts = facts
        self._clock = clock
        self._running = 0

    async def carrying(
        self, key: Key, streams: Sequence[str], since_us: int
    ) -> tuple[Sequence[Carrying], Sequence[Searched]]:
        """Return the messages stored since a time that carried a reading, within limits, and what was searched."""
        if self._running >= SEARCHES_MAX:
            message = f"{SEARCHES_MAX} searches run already"
            raise ResourceExhausted(Reason.OVERLOADED, message, retry_after_s=SEARCH_TIMEOUT_S)
        self._running += 1
        try:
            found: list[Carrying] = []
            searched = [await self._search(key, stream, since_us, found) for stream in streams]
        finally:
            self._running -= 1
        return found, searched

    async def _search(self, key: Key, stream: str, since_us: int, found: list[Carrying]) -> Searched:
        subject = self._facts[stream].wildcard(key.district)
        last = (await self._streams.info(stream)).last_sequence
        async with self._consumer(stream, subject, since_us) as (name, behind):
            first, upto, pending = 0, last, behind
            async with aclosing(self._read(stream, name, behind)) as reading:
                async for taken in reading:
                    first, upto = first or taken[0].stream_sequence, taken[-1].stream_sequence
                    pending = taken[-1].pending
                    found += [each for each in (_carried(key, stream, delivery) for delivery in taken) if each]
                    if len(found) >= FOUND_MAX:
                        break
        return Searched(stream, first or last + 1, upto, complete=not pending)

    async def _read(self, stream: str, name: str, pending: int) -> AsyncGenerator[list[Delivery]]:
        count = size = 0
        end_s = self._clock.monotonic_s() + SEARCH_TIMEOUT_S
        async with Pull(self._bus, Durable(name, stream, "timeseries"), outstanding_max=OUTSTANDING_MAX) as pull:
            while pending and count < MESSAGES_A_SEARCH_MAX and size < BYTES_A_SEARCH_MAX:
                left_s = end_s - self._clock.monotonic_s()
                taken = await pull.take(OUTSTANDING_MAX, wait_s=left_s) if left_s > 0 else []
                if not taken:
                    return
                yield taken
                pending = taken[-1].pending
                count, size = count + len(taken), size + sum(len(each.body) for each in taken)
                # Other calls of this process have their turn.
                await asyncio.sleep(0)

    @asynccontextmanager
    async def _consumer(self, stream: str, subject: str, since_us: int) -> AsyncIterator[tuple[str, int]]:
        config = {
            "deliver_policy": "by_start_time",
            "opt_start_time": from_us(max(0, since_us)).isoformat().replace("+00:00", "Z"),
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subjects": [subject],
            "inactive_threshold": FORGOTTEN_AFTER_S * NANOSECONDS,
            "mem_storage": True,
        }
        answer = await self._bus.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config})
        if "error" in answer:
            why = f"stream {stream}: {answer['error'].get('description')}"
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, why, {"neighbour": "nats"})
        name = str(answer["name"])
        try:
            yield name, int(answer["num_pending"])
        finally:
            await self._bus.api(f"CONSUMER.DELETE.{stream}.{name}")


@dataclass(frozen=True, slots=True)
class _Reading:
    """A reading that a message carries; only numbers are told."""

    value: float | None


def _carried(key: Key, stream: str, delivery: Delivery) -> Carrying | None:
    """Return what a message says of a reading, nothing where it does not carry it or cannot be read."""
    if key.device.encode() not in delivery.body:
        return None
    try:
        if parse_fact(delivery.subject).fact == OBSERVATION_QUARANTINED:
            return _quarantined(key, stream, delivery)
        packed = parse_packed(PackedObservationsRecorded, ObservationsRecorded, delivery.body)
        reading = _reading(key, read_columns(packed.observations))
    except (InvalidArgument, DecodeError):
        return None
    return _message(stream, delivery, packed.door, packed.receipt_time_us, reading) if reading else None


def _quarantined(key: Key, stream: str, delivery: Delivery) -> Carrying | None:
    entry = ReadingsQuarantined.FromString(delivery.body).entry
    if not entry.content_type.endswith(COLUMNS_TYPE):
        # Foreign bytes are not decoded here: ingest did not understand or not want them.
        return None
    reading = _reading(key, parse_columns(entry.payload))
    receipt_us = us_from_timestamp(entry.receipt_time)
    return _message(stream, delivery, entry.door, receipt_us, reading, entry.reason) if reading else None


def _reading(key: Key, columns: Columns) -> _Reading | None:
    names = columns.names()
    if key.device not in names.devices or key.observed_property not in names.observed_properties:
        return None
    device = list(names.devices).index(key.device)
    observed_property = list(names.observed_properties).index(key.observed_property)
    rows = np.flatnonzero(
        (columns.event_time_us == key.time_us)
        & (columns.device_index == device)
        & (columns.property_index == observed_property)
    )
    if len(rows):
        return _Reading(float(columns.value[rows[0]]))
    place = (device, observed_property, key.time_us)
    others: list[StateObservation | PositionObservation] = [*columns.states, *columns.positions]
    if any((other.device_index, other.property_index, other.event_time_us) == place for other in others):
        return _Reading(None)
    return None


def _message(
    stream: str, delivery: Delivery, door: str, receipt_time_us: int, reading: _Reading, reason: str = ""
) -> Carrying:
    return Carrying(
        stream=stream,
        sequence=delivery.stream_sequence,
        id=delivery.headers.get("ce-id", ""),
        door=door,
        receipt_time_us=receipt_time_us,
        acknowledge_time_us=delivery.stored_ns // 1_000,
        value=reading.value,
        traceparent=traceparent(delivery.headers),
        reason=reason,
    )
