"""What ingest hears from the broker beside devices: requests of programs, and its own refusals for the table."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from maasloop.api.observation.v1.events_pb2 import ReadingsQuarantined
from maasloop.bus.connection import Bus
from maasloop.bus.consume import consume
from maasloop.bus.pull import Delivery
from maasloop.bus.refusals import REASON_HEADER, refusal_headers
from maasloop.bus.streams import QUARANTINE_TABLE
from maasloop.bus.subjects import INGEST_RECORD
from maasloop.core.clock import Clock
from maasloop.core.errors import InvalidArgument, MaasloopError, ResourceExhausted
from maasloop.core.ids import parse_name
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.handlers.keep_quarantined import KeepQuarantined
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.ports import Batch, QuarantineEntry
from maasloop.rpc.times import us_from_timestamp
from maasloop.telemetry import tracing

from .answers import count_refused, response
from .rpc import batch_of, read_request

REQUESTS_AT_ONCE_MAX = 64
REQUEST = "application/protobuf; type=maasloop.api.observation.v1.RecordObservationsRequest"

type Record = Callable[[Batch], Awaitable[Recorded]]

log = structlog.get_logger(__name__)


class RequestDoor:
    """The NATS door: RecordObservationsRequest, answered with RecordObservationsResponse after the PubAck."""

    def __init__(self, bus: Bus, record: Record, refuse: RefusePayload, clock: Clock) -> None:
        """``record`` is the pipeline, ``refuse`` what becomes of a payload that is none."""
        self._bus = bus
        self._record = record
        self._refuse = refuse
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    async def hear(self) -> None:
        """Hear requests for ever; one instance of the queue group gets each."""
        subscription = await self._bus.listen(INGEST_RECORD, self._heard, queue="ingest")
        try:
            await asyncio.Event().wait()
        finally:
            await subscription.unsubscribe()

    async def _heard(self, message: Any) -> None:  # noqa: ANN401 - a message of the driver
        task = asyncio.create_task(
            self._answer(str(message.reply), bytes(message.data), (message.headers or {}).get(tracing.TRACEPARENT))
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, reply: str, body: bytes, traceparent: str | None) -> None:
        if not reply:
            return
        try:
            with tracing.span("record_nats", parent=traceparent):
                answer = await self._recorded(body)
        except MaasloopError as error:
            count_refused(Door.NATS, error.reason)
            await self._bus.tell(reply, error.message.encode(), refusal_headers(error))
        except Exception:
            log.exception("request_failed")
            await self._bus.tell(reply, b"internal error", {REASON_HEADER: Reason.INTERNAL})
        else:
            await self._bus.tell(reply, answer)

    async def _recorded(self, body: bytes) -> bytes:
        if len(self._tasks) > REQUESTS_AT_ONCE_MAX:
            message = f"more than {REQUESTS_AT_ONCE_MAX} requests at once"
            raise ResourceExhausted(Reason.OVERLOADED, message, retry_after_s=1.0)
        receipt_time_us = self._clock.now_us()
        try:
            request = read_request(body)
            batch = batch_of(request, Door.NATS, receipt_time_us)
        except InvalidArgument as error:
            await self._refuse(
                error,
                door=Door.NATS,
                district="",
                device="",
                receipt_time_us=receipt_time_us,
                content_type=REQUEST,
                payload=body,
            )
            raise
        return response(await self._record(batch), request.request_id).SerializeToString()


class QuarantineKeeper:
    """From the stream of refusals into ingest's table."""

    def __init__(self, bus: Bus, keep: KeepQuarantined) -> None:
        """``keep`` makes an entry durable."""
        self._bus = bus
        self._keep = keep

    async def pull(self, stop: asyncio.Event) -> None:
        """Keep entries until ``stop`` is set."""
        await consume(self._bus, QUARANTINE_TABLE, self._handle, stop=stop)

    async def _handle(self, delivery: Delivery) -> None:
        entry = ReadingsQuarantined.FromString(delivery.body).entry
        await self._keep(
            QuarantineEntry(
                id=parse_name(entry.name, "quarantineEntries")[0],
                receipt_time_us=us_from_timestamp(entry.receipt_time),
                door=entry.door,
                district=entry.district,
                device=entry.device,
                reason=entry.reason,
                detail=entry.detail,
                reading_count=entry.reading_count,
                content_type=entry.content_type,
                payload=entry.payload,
            )
        )
