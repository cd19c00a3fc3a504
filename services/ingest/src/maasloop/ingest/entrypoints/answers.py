"""What a batch is answered, in the message of the contract."""

from maasloop.api.observation.v1.events_pb2 import Refusal
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsResponse
from maasloop.ingest.domain.outcome import Recorded


def refusals(recorded: Recorded) -> list[Refusal]:
    """Return the listed refusals."""
    return [Refusal(index=each.index, reason=each.reason, detail=each.detail) for each in recorded.refusals]


def response(recorded: Recorded, request_id: str) -> RecordObservationsResponse:
    """Return the answer to a batch."""
    return RecordObservationsResponse(
        accepted_count=recorded.accepted_count,
        refusals=refusals(recorded),
        refused_count=recorded.refused_count,
        request_id=request_id,
    )
