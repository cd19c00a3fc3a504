"""The door for history: CSV in chunks of whole lines, each answered when its good lines are durable.

What is refused is answered by its line in the file, which the sender has before it; nothing of it goes to quarantine.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any, Protocol

import grpc

from maasloop.api.observation.v1.ingest_service_pb2 import (
    ImportObservationsRequest,
    ImportObservationsResponse,
    LineRefusal,
)
from maasloop.core.clock import Clock
from maasloop.core.errors import InvalidArgument, MaasloopError
from maasloop.core.ids import DistrictName
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.csv_rows import Header, decode_lines, lines_of, read_header
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.ports import Batch
from maasloop.rpc.server import RpcServer

from .answers import count_refused
from .batches import Received, UnitOf, batch_of_decoded
from .payloads import CSV

SERVICE = "maasloop.api.observation.v1.IngestService"

type _Context = grpc.aio.ServicerContext[Any, Any]


class Record(Protocol):
    """The pipeline."""

    def __call__(self, batch: Batch, *, quarantine: bool = True) -> Awaitable[Recorded]:
        """Keep the good readings of a batch and say which ones were refused."""
        ...


class ImportDoor:
    """ImportObservations of IngestService."""

    def __init__(self, *, record: Record, unit_of: UnitOf, clock: Clock) -> None:
        """``record`` is the pipeline."""
        self._record = record
        self._unit_of = unit_of
        self._clock = clock

    def register(self, server: RpcServer) -> None:
        """Add the method to a server."""
        handler = grpc.stream_stream_rpc_method_handler(
            self.import_observations,
            ImportObservationsRequest.FromString,
            ImportObservationsResponse.SerializeToString,
        )
        server.registrar.add_registered_method_handlers(SERVICE, {"ImportObservations": handler})

    async def import_observations(
        self, requests: AsyncIterator[ImportObservationsRequest], _context: _Context
    ) -> AsyncIterator[ImportObservationsResponse]:
        """Record chunk after chunk."""
        try:
            async with aclosing(self._answers(requests)) as answers:
                async for answer in answers:
                    yield answer
        except MaasloopError as error:
            count_refused(Door.IMPORT, error.reason)
            raise

    async def _answers(
        self, requests: AsyncIterator[ImportObservationsRequest]
    ) -> AsyncGenerator[ImportObservationsResponse]:
        header: Header | None = None
        async for request in requests:
            lines, first = lines_of(request.content), max(request.line, 1)
            if request.offset == 0 and lines:
                header, lines, first = read_header(lines[0]), lines[1:], first + 1
            elif header is None:
                header = read_header(request.header)
            if header is None:
                raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "the first chunk is empty")
            yield await self._chunk(request, lines, first, header)

    async def _chunk(
        self, request: ImportObservationsRequest, lines: list[str], first: int, header: Header
    ) -> ImportObservationsResponse:
        district, receipt_time_us = DistrictName.parse(request.parent).district, self._clock.now_us()
        decoded = decode_lines(lines, header, receipt_time_us)
        received = Received(Door.IMPORT, district, "", receipt_time_us, CSV, b"")
        recorded = await self._record(batch_of_decoded(received, decoded, self._unit_of), quarantine=False)
        return ImportObservationsResponse(
            next_offset=request.offset + len(request.content),
            accepted_count=recorded.accepted_count,
            refused_count=recorded.refused_count,
            refusals=[
                LineRefusal(line=first + each.index, reason=each.reason, detail=each.detail)
                for each in recorded.refusals
            ],
        )
