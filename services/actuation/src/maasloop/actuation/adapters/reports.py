"""Hands what controllers know to ingest over its NATS door, as any sender does; bounded, and the oldest goes first.

Task: ``run``. A report is of use for as long as it is young: what ingest does not take at once is tried again while there
is room, and what it refuses is counted.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from maasloop.actuation.domain.reporting import Report
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest, RecordObservationsResponse
from maasloop.api.observation.v1.observation_pb2 import ObservationColumns, SeriesDictionary, StateObservation
from maasloop.bus.connection import Bus
from maasloop.bus.subjects import INGEST_RECORD
from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError, Retryable
from maasloop.core.ids import DistrictName
from maasloop.telemetry import metrics

WAITING_MAX = 20_000
BATCH_MAX = 2_000
ANSWER_TIMEOUT_S = 5.0
REPORTS = metrics.counter(
    "maasloop_actuation_reports_total", "Readings handed to ingest, by what became of them", ["outcome"]
)

_log = structlog.get_logger()


class Reporter:
    """Speaks to ingest."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        """Ask over this connection."""
        self._bus = bus
        self._clock = clock
        self._waiting: deque[Report] = deque()
        self._some = asyncio.Event()

    def offer(self, reports: Sequence[Report]) -> None:
        """Take reports to hand over soon."""
        if not reports:
            return
        self._waiting.extend(reports)
        while len(self._waiting) > WAITING_MAX:
            self._waiting.popleft()
            REPORTS.labels("dropped").inc()
        self._some.set()

    async def run(self) -> None:
        """Hand over for ever, one batch of a district at a time."""
        while True:
            await self._some.wait()
            self._some.clear()
            while batch := self._take():
                await self._hand_over(batch)

    def _take(self) -> list[Report]:
        """Take the oldest reports that are of one district."""
        taken: list[Report] = []
        while (
            self._waiting
            and len(taken) < BATCH_MAX
            and self._waiting[0].district == (taken or self._waiting)[0].district
        ):
            taken.append(self._waiting.popleft())
        return taken

    async def _hand_over(self, batch: Sequence[Report]) -> None:
        request = RecordObservationsRequest(
            parent=str(DistrictName(batch[0].district)), observations=columns_of(batch)
        ).SerializeToString()
        while True:
            try:
                answer = await self._bus.ask(INGEST_RECORD, request, timeout_s=ANSWER_TIMEOUT_S)
            except Retryable as error:
                if len(self._waiting) + len(batch) > WAITING_MAX:
                    REPORTS.labels("dropped").inc(len(batch))
                    return
                await self._clock.sleep(error.retry_after_s)
            except MaasloopError as error:
                REPORTS.labels("refused").inc(len(batch))
                _log.warning("reports_refused", district=batch[0].district, reason=error.reason, detail=error.message)
                return
            else:
                told = RecordObservationsResponse.FromString(answer)
                REPORTS.labels("accepted").inc(told.accepted_count)
                REPORTS.labels("refused").inc(told.refused_count)
                return


def columns_of(batch: Sequence[Report]) -> ObservationColumns:
    """Return reports of one district as columns."""
    devices = {name: place for place, name in enumerate(dict.fromkeys(one.device for one in batch))}
    properties = {name: place for place, name in enumerate(dict.fromkeys(one.observed_property for one in batch))}
    found = ObservationColumns(dictionary=SeriesDictionary(devices=list(devices), observed_properties=list(properties)))
    for one in batch:
        device, observed = devices[one.device], properties[one.observed_property]
        if isinstance(one.result, str):
            state = StateObservation(
                device_index=device, property_index=observed, event_time_us=one.time_us, state=one.result
            )
            found.states.append(state)
        else:
            found.device_index.append(device)
            found.property_index.append(observed)
            found.event_time_us.append(one.time_us)
            found.value.append(one.result)
    return found
