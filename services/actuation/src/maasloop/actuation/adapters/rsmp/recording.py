"""Readings on their way to ingest, over its NATS door: bounded, tried again, counted.

Task: ``run``. What is handed over is told back when the broker has it, or when it was given up.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from maasloop.actuation.domain.reading import Reading
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest, RecordObservationsResponse
from maasloop.api.observation.v1.observation_pb2 import ObservationColumns, SeriesDictionary, StateObservation
from maasloop.bus.connection import Bus
from maasloop.bus.subjects import INGEST_RECORD
from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError, Retryable
from maasloop.telemetry import metrics

READINGS_MAX = 100_000
"""Readings that wait; further ones are dropped, the newest first."""
BATCH_MAX = 5_000
ANSWER_TIMEOUT_S = 5.0
TRIES_MAX = 20

RECORDED = metrics.counter(
    "maasloop_actuation_rsmp_readings_total", "Readings of RSMP sites by what became of them at ingest", ["outcome"]
)

_log = structlog.get_logger()

type Recorded = Callable[[str], None]
"""Hears what became of a reading: an empty text when it is durable, or why it was not kept."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    reading: Reading
    recorded: Recorded | None


class Recorder:
    """Hands readings to ingest, district by district, in order."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        """Send over the bus."""
        self._bus = bus
        self._clock = clock
        self._waiting: dict[str, deque[_Waiting]] = defaultdict(deque)
        self._count = 0
        self._woken = asyncio.Event()

    def put(self, district: str, reading: Reading, recorded: Recorded | None = None) -> None:
        """Hand a reading over; a full queue drops it."""
        if self._count >= READINGS_MAX:
            RECORDED.labels("dropped").inc()
            if recorded is not None:
                recorded("too many readings wait for ingest")
            return
        self._waiting[district].append(_Waiting(reading, recorded))
        self._count += 1
        self._woken.set()

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            for district, waiting in list(self._waiting.items()):
                while waiting:
                    batch = [waiting.popleft() for _ in range(min(BATCH_MAX, len(waiting)))]
                    try:
                        outcome = await self._send(district, batch)
                    finally:
                        self._count -= len(batch)
                    for each, refusal in zip(batch, outcome, strict=True):
                        RECORDED.labels(refusal or "accepted").inc()
                        if each.recorded is not None:
                            each.recorded(refusal)

    async def _send(self, district: str, batch: list[_Waiting]) -> list[str]:
        """Return why each reading was not kept; an empty text where it was."""
        # Numbers come first in the count of an answer, then states.
        order = sorted(range(len(batch)), key=lambda index: bool(batch[index].reading.state))
        request = RecordObservationsRequest(
            parent=f"districts/{district}", observations=columns([batch[index].reading for index in order])
        )
        outcome = [""] * len(batch)
        for _ in range(TRIES_MAX):
            try:
                body = await self._bus.ask(INGEST_RECORD, request.SerializeToString(), timeout_s=ANSWER_TIMEOUT_S)
            except Retryable as error:
                _log.info("readings_sent_again", district=district, readings=len(batch), why=error.message)
                await self._clock.sleep(error.retry_after_s)
            except MaasloopError as error:
                return [str(error.reason)] * len(batch)
            else:
                answer = RecordObservationsResponse.FromString(body)
                for refusal in answer.refusals:
                    outcome[order[refusal.index]] = refusal.reason
                return outcome
        return ["NEIGHBOUR_UNAVAILABLE"] * len(batch)


def columns(readings: Sequence[Reading]) -> ObservationColumns:
    """Return readings as columns, those with a state as such."""
    devices: dict[str, int] = {}
    properties: dict[str, int] = {}
    found = ObservationColumns()
    for each in readings:
        device = devices.setdefault(each.device, len(devices))
        observed_property = properties.setdefault(each.observed_property, len(properties))
        if each.state:
            found.states.append(
                StateObservation(
                    device_index=device,
                    property_index=observed_property,
                    event_time_us=each.time_us,
                    state=each.state,
                )
            )
        else:
            found.device_index.append(device)
            found.property_index.append(observed_property)
            found.event_time_us.append(each.time_us)
            found.value.append(each.value)
    found.dictionary.CopyFrom(SeriesDictionary(devices=devices, observed_properties=properties))
    return found
