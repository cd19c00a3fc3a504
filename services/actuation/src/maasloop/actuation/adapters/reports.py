"""Hands what controllers know, and sites tell, to ingest over its NATS door, as any sender does.

Task: ``run``. A report is of use for as long as it is young: what ingest does not take at once is tried again while there
is room, the oldest gives way first, and what ingest refuses is counted. Who needs a report to be stored hears of its end.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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

WAITING_MAX = 50_000
BATCH_MAX = 2_000
ANSWER_TIMEOUT_S = 5.0
REPORTS = metrics.counter(
    "maasloop_actuation_reports_total", "Readings handed to ingest, by what became of them", ["outcome"]
)

_log = structlog.get_logger()


type Recorded = Callable[[str], None]
"""Hears the end of a report: an empty text when it is stored, or why it is not. It must neither wait nor raise."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    report: Report
    recorded: Recorded | None


class Reporter:
    """Speaks to ingest."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        """Ask over this connection."""
        self._bus = bus
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._some = asyncio.Event()

    def offer(self, reports: Sequence[Report], recorded: Recorded | None = None) -> None:
        """Take reports to hand over soon; ``recorded`` hears of each."""
        if not reports:
            return
        self._waiting.extend(_Waiting(report, recorded) for report in reports)
        while len(self._waiting) > WAITING_MAX:
            _end([self._waiting.popleft()], "dropped", "too many reports wait for ingest")
        self._some.set()

    async def run(self) -> None:
        """Hand over for ever, one batch of a district at a time."""
        while True:
            await self._some.wait()
            self._some.clear()
            while batch := self._take():
                await self._hand_over(batch)

    def _take(self) -> list[_Waiting]:
        """Take the oldest reports that are of one district; numbers before texts, as ingest counts them."""
        taken: list[_Waiting] = []
        while (
            self._waiting and len(taken) < BATCH_MAX and _same_district(self._waiting[0], (taken or self._waiting)[0])
        ):
            taken.append(self._waiting.popleft())
        return sorted(taken, key=lambda one: isinstance(one.report.result, str))

    async def _hand_over(self, batch: Sequence[_Waiting]) -> None:
        district = batch[0].report.district
        request = RecordObservationsRequest(
            parent=str(DistrictName(district)), observations=columns_of([one.report for one in batch])
        ).SerializeToString()
        while True:
            try:
                answer = await self._bus.ask(INGEST_RECORD, request, timeout_s=ANSWER_TIMEOUT_S)
            except Retryable as error:
                if len(self._waiting) + len(batch) > WAITING_MAX:
                    _end(batch, "dropped", error.message)
                    return
                await self._clock.sleep(error.retry_after_s)
            except MaasloopError as error:
                _log.warning("reports_refused", district=district, reason=error.reason, detail=error.message)
                _end(batch, "refused", str(error.reason))
                return
            else:
                told = RecordObservationsResponse.FromString(answer)
                refused = {refusal.index: refusal.reason for refusal in told.refusals}
                for place, one in enumerate(batch):
                    _end([one], "refused" if place in refused else "accepted", refused.get(place, ""))
                return


def _same_district(one: _Waiting, other: _Waiting) -> bool:
    return one.report.district == other.report.district


def _end(batch: Sequence[_Waiting], outcome: str, reason: str) -> None:
    REPORTS.labels(outcome).inc(len(batch))
    for one in batch:
        if one.recorded is not None:
            one.recorded(reason)


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
