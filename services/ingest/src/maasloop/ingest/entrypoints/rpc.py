"""The gRPC door.

RecordObservations and StreamObservations read their requests as packed columns, so that a column stays the bytes it came
as. A stream is answered in order while up to ``STREAM_AHEAD_MAX`` of its batches are on their way.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from maasloop.api.observation.v1 import ingest_service_pb2
from maasloop.api.observation.v1.ingest_service_pb2 import (
    ListQuarantineRequest,
    ListQuarantineResponse,
    RecordObservationsRequest,
    RecordObservationsResponse,
    ReplayQuarantineRequest,
    ReplayQuarantineResponse,
)
from maasloop.api.observation.v1.observation_pb2 import QuarantineEntry as QuarantineEntryMessage
from maasloop.api.observation.v1.packed_pb2 import PackedRecordObservationsRequest
from maasloop.bus.columns import parse_packed, read_columns
from maasloop.core.clock import Clock
from maasloop.core.errors import InvalidArgument, MaasloopError, ResourceExhausted
from maasloop.core.ids import DistrictName, parse_name
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.handlers.list_quarantine import ListQuarantine
from maasloop.ingest.handlers.replay_quarantine import ReplayQuarantine
from maasloop.ingest.ports import Batch, QuarantineEntry, QuarantineFilter
from maasloop.rpc.pages import decode_page_token, encode_page_token, page_size
from maasloop.rpc.server import RpcServer
from maasloop.rpc.times import timestamp_from_us

from .answers import count_refused, response
from .batches import require_few, require_pairs

REQUEST_MAX_BYTES = 4 * 1024 * 1024
STREAM_AHEAD_MAX = 16
CALLS_MAX = 512
"""Calls of one batch on their way; below what gRPC itself refuses without saying when to come back."""
STREAMED_MAX = 512
"""Batches of all streams on their way. What comes then waits in its stream, and its sender for flow control: nothing is refused."""
QUARANTINE_PAGE = 50

type Record = Callable[[Batch], Awaitable[Recorded]]
type _Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"]


def read_request(serialized: bytes) -> PackedRecordObservationsRequest:
    """Parse a request with its columns as bytes, or refuse it."""
    if len(serialized) > REQUEST_MAX_BYTES:
        message = f"a request has at most {REQUEST_MAX_BYTES} bytes: split the batch"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    return parse_packed(PackedRecordObservationsRequest, RecordObservationsRequest, serialized)


def batch_of(request: PackedRecordObservationsRequest, door: Door, receipt_time_us: int) -> Batch:
    """Return the readings of a request, or refuse it."""
    district = DistrictName.parse(request.parent).district
    require_few(request.observations)
    columns = read_columns(request.observations)
    require_pairs(*columns.sizes())
    return Batch(district, door, columns, receipt_time_us)


class IngestDoor:
    """IngestService."""

    def __init__(
        self, *, record: Record, list_quarantine: ListQuarantine, replay_quarantine: ReplayQuarantine, clock: Clock
    ) -> None:
        """``record`` is the pipeline."""
        self._record = record
        self._list = list_quarantine
        self._replay = replay_quarantine
        self._clock = clock
        self._calls = 0
        self._streamed = asyncio.Semaphore(STREAMED_MAX)

    def register(self, server: RpcServer) -> None:
        """Add the service to a server."""
        handlers: dict[str, Any] = {
            "RecordObservations": grpc.unary_unary_rpc_method_handler(
                self.record_observations, read_request, RecordObservationsResponse.SerializeToString
            ),
            "StreamObservations": grpc.stream_stream_rpc_method_handler(
                self.stream_observations, read_request, RecordObservationsResponse.SerializeToString
            ),
            "ListQuarantine": grpc.unary_unary_rpc_method_handler(
                self.list_quarantine, ListQuarantineRequest.FromString, ListQuarantineResponse.SerializeToString
            ),
            "ReplayQuarantine": grpc.unary_unary_rpc_method_handler(
                self.replay_quarantine, ReplayQuarantineRequest.FromString, ReplayQuarantineResponse.SerializeToString
            ),
        }
        server.registrar.add_registered_method_handlers(SERVICE.full_name, handlers)

    async def record_observations(
        self, request: PackedRecordObservationsRequest, _context: _Context
    ) -> RecordObservationsResponse:
        """Record one batch."""
        if self._calls >= CALLS_MAX:
            count_refused(Door.GRPC, Reason.OVERLOADED)
            message = f"more than {CALLS_MAX} requests at once"
            raise ResourceExhausted(Reason.OVERLOADED, message, retry_after_s=1.0)
        self._calls += 1
        try:
            return await self._recorded(request)
        finally:
            self._calls -= 1

    async def _recorded(self, request: PackedRecordObservationsRequest) -> RecordObservationsResponse:
        try:
            recorded = await self._record(batch_of(request, Door.GRPC, self._clock.now_us()))
        except MaasloopError as error:
            count_refused(Door.GRPC, error.reason)
            raise
        return response(recorded, request.request_id)

    async def stream_observations(
        self, requests: AsyncIterator[PackedRecordObservationsRequest], _context: _Context
    ) -> AsyncIterator[RecordObservationsResponse]:
        """Record batches as they come and answer in order."""
        ahead: asyncio.Queue[asyncio.Task[RecordObservationsResponse] | None] = asyncio.Queue()
        room = asyncio.Semaphore(STREAM_AHEAD_MAX)

        async def read() -> None:
            try:
                async for request in requests:
                    await room.acquire()
                    await self._streamed.acquire()
                    recording = asyncio.create_task(self._recorded(request))
                    recording.add_done_callback(lambda _: self._streamed.release())
                    ahead.put_nowait(recording)
            finally:
                ahead.put_nowait(None)

        reading = asyncio.create_task(read(), name="stream-observations")
        try:
            while (answer := await ahead.get()) is not None:
                recorded = await answer
                room.release()
                yield recorded
            # What ended the reading of requests ends the call.
            await reading
        finally:
            reading.cancel()
            left = [task for task in _drained(ahead) if task is not None]
            for task in left:
                task.cancel()
            await asyncio.gather(reading, *left, return_exceptions=True)

    async def list_quarantine(self, request: ListQuarantineRequest, _context: _Context) -> ListQuarantineResponse:
        """Return a page of refused payloads."""
        district = DistrictName.parse(request.parent).district if request.parent else ""
        arguments = {"parent": request.parent, "reason": request.reason, "device": request.device}
        position = decode_page_token(request.page_token, arguments)
        size = page_size(request.page_size, default=QUARANTINE_PAGE)
        chosen = QuarantineFilter(district, request.reason, request.device)
        after = None if position is None else (int(position[0]), str(position[1]))
        found = await self._list(chosen, size=size + 1, after=after)
        page, more = found[:size], len(found) > size
        token = encode_page_token((page[-1].receipt_time_us, page[-1].id), arguments) if more else ""
        return ListQuarantineResponse(entries=[_message(entry) for entry in page], next_page_token=token)

    async def replay_quarantine(self, request: ReplayQuarantineRequest, _context: _Context) -> ReplayQuarantineResponse:
        """Send refused payloads through the pipeline again."""
        ids = [parse_name(name, "quarantineEntries")[0] for name in request.names]
        accepted, refused = await self._replay(ids, request_id=request.request_id, now_us=self._clock.now_us())
        return ReplayQuarantineResponse(accepted_count=accepted, refused_count=refused)


def _drained[Item](queue: asyncio.Queue[Item]) -> list[Item]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def _message(entry: QuarantineEntry) -> QuarantineEntryMessage:
    message = QuarantineEntryMessage(
        name=f"quarantineEntries/{entry.id}",
        receipt_time=timestamp_from_us(entry.receipt_time_us),
        door=entry.door,
        district=entry.district,
        device=entry.device,
        reason=entry.reason,
        detail=entry.detail,
        reading_count=entry.reading_count,
        content_type=entry.content_type,
        payload=entry.payload,
    )
    if entry.replay_time_us:
        message.replay_time.CopyFrom(timestamp_from_us(entry.replay_time_us))
    return message
