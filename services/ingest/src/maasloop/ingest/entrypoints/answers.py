"""What a batch is answered, in the message of the contract."""

from maasloop.api.observation.v1.events_pb2 import Refusal
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsResponse
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.telemetry.metrics import counter

REFUSED = counter(
    "maasloop_ingest_refused_requests_total",
    "Requests that were refused as a whole, by door and reason; the sender was told. What gRPC's own server refuses before is"
    " in maasloop_rpc_refusals_total.",
    ("door", "reason"),
)


def count_refused(door: Door, reason: str) -> None:
    """Count a request that was refused as a whole."""
    REFUSED.labels(door, reason).inc()


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
