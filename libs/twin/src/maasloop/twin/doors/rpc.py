"""The gRPC door and the NATS door: a batch of columns, answered when it is durable."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import structlog

from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest, RecordObservationsResponse
from maasloop.api.observation.v1.ingest_service_pb2_grpc import IngestServiceStub
from maasloop.bus.connection import Bus
from maasloop.bus.subjects import INGEST_RECORD
from maasloop.core.errors import Retryable
from maasloop.core.ids import DistrictName
from maasloop.rpc.client import call
from maasloop.twin.devices.readings import Reading, in_column_order, to_columns
from maasloop.twin.doors.receipt import Receipt

TRIES_MAX = 20
ANSWER_TIMEOUT_S = 5.0

log = structlog.get_logger(__name__)


class ColumnsDoor:
    """Sends batches of columns; both ways differ only in how a request reaches ingest."""

    def __init__(
        self, district: str, ask: Callable[[RecordObservationsRequest], Awaitable[RecordObservationsResponse]]
    ) -> None:
        """Speak for one district."""
        self._parent = str(DistrictName(district))
        self._ask = ask

    async def send(self, readings: list[Reading]) -> Receipt:
        """Send readings and return what became of them; retries what may be retried."""
        ordered = in_column_order(readings)
        request = RecordObservationsRequest(parent=self._parent, observations=to_columns(ordered))
        for _ in range(TRIES_MAX):
            try:
                answer = await self._ask(request)
            except Retryable as error:
                log.info("batch_sent_again", why=error.message)
                await asyncio.sleep(error.retry_after_s)
            else:
                return _receipt(ordered, answer)
        return Receipt([], [(reading, "UNANSWERED") for reading in ordered])


def grpc_door(district: str, channel: grpc.aio.Channel) -> ColumnsDoor:
    """Return the door that speaks gRPC."""
    stub = IngestServiceStub(channel)

    async def ask(request: RecordObservationsRequest) -> RecordObservationsResponse:
        return await call(stub.RecordObservations, request, timeout_s=ANSWER_TIMEOUT_S)

    return ColumnsDoor(district, ask)


def nats_door(district: str, bus: Bus) -> ColumnsDoor:
    """Return the door that speaks NATS request and reply."""

    async def ask(request: RecordObservationsRequest) -> RecordObservationsResponse:
        body = await bus.ask(INGEST_RECORD, request.SerializeToString(), timeout_s=ANSWER_TIMEOUT_S)
        return RecordObservationsResponse.FromString(body)

    return ColumnsDoor(district, ask)


def _receipt(ordered: list[Reading], answer: RecordObservationsResponse) -> Receipt:
    refused = {refusal.index: refusal.reason for refusal in answer.refusals}
    return Receipt(
        [reading for index, reading in enumerate(ordered) if index not in refused],
        [(ordered[index], reason) for index, reason in refused.items()],
    )
