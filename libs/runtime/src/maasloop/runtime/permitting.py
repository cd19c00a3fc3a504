"""The consent gate: what the owner of consent says, as facts, and whether readings of a person pass by them now.

Everybody who may hold or show personal readings asks the same gate over a projection of their own.
"""

from collections.abc import Mapping

from maasloop.api.consent.v1.consent_pb2 import ConsentRecord, ProcessingActivity
from maasloop.api.consent.v1.events_pb2 import ConsentResource
from maasloop.core.clock import Clock
from maasloop.core.permission import ActivityFacts, Basis, ConsentBook, ConsentFacts, RecordFacts, RecordState
from maasloop.rpc.times import us_from_timestamp
from maasloop.telemetry import metrics

from .projection import Projection

CONFIRM_WITHIN_S = 3.0
"""A projection of consent that lacks the owner's confirmation for longer is closed."""

MEASURED_MAX_S = 60.0
"""A change that is heard later was made while the gate was closed, for want of a confirmation."""

CONFIRMED_AGE = metrics.gauge(
    "maasloop_consent_gate_confirmed_age_seconds",
    "Since the owner of consent last confirmed what the gate holds; the gate is closed beyond 3 s",
)
WITHDRAWAL_SECONDS = metrics.histogram(
    "maasloop_consent_gate_withdrawal_seconds",
    "From the end of a consent at its owner (withdrawal, objection, erasure) to the gate that obeys it",
)

_BASES = {
    ProcessingActivity.LEGAL_BASIS_CONSENT: Basis.CONSENT,
    ProcessingActivity.LEGAL_BASIS_EXPLICIT_CONSENT: Basis.CONSENT,
    ProcessingActivity.LEGAL_BASIS_PUBLIC_TASK: Basis.PUBLIC_TASK,
    ProcessingActivity.LEGAL_BASIS_VITAL_INTERESTS: Basis.VITAL_INTERESTS,
}
_STATES = {
    ConsentRecord.STATE_GIVEN: RecordState.GIVEN,
    ConsentRecord.STATE_OBJECTED: RecordState.OBJECTED,
    ConsentRecord.STATE_ERASED: RecordState.ERASED,
}


def consent_projection(clock: Clock) -> Projection[ConsentFacts]:
    """Return an empty projection of consent that closes when it is not confirmed."""
    return Projection("consent", clock, confirm_within_s=CONFIRM_WITHIN_S)


def consent_facts_of(resource: ConsentResource) -> tuple[str, ConsentFacts | None] | None:
    """Return the name and the facts of a resource."""
    which = resource.WhichOneof("resource")
    if which == "processing_activity":
        basis = _BASES.get(resource.processing_activity.legal_basis)
        return resource.processing_activity.name, None if basis is None else ActivityFacts(basis)
    if which == "consent_record":
        return resource.consent_record.name, _record(resource.consent_record)
    return None


def _record(record: ConsentRecord) -> RecordFacts:
    return RecordFacts(
        data_subject=record.data_subject.removeprefix("dataSubjects/"),
        processing_activity=record.processing_activity.removeprefix("processingActivities/"),
        state=_STATES.get(record.state, RecordState.ENDED),
        expire_us=us_from_timestamp(record.expire_time) if record.HasField("expire_time") else 0,
        update_us=us_from_timestamp(record.update_time) if record.HasField("update_time") else 0,
    )


class ConsentGate:
    """Open only where the projection is confirmed and the book permits."""

    def __init__(self, projection: Projection[ConsentFacts], clock: Clock) -> None:
        """Keep a book of the projection's facts."""
        self._projection = projection
        self._clock = clock
        self._book = ConsentBook()
        projection.listen(self._book.put)
        projection.listen(self._measure)
        CONFIRMED_AGE.set_function(projection.confirmed_age_s)

    def permits(self, data_subject: str, processing_activity: str) -> bool:
        """Tell whether readings of this person may be processed now."""
        return self._projection.open and self._book.permits(data_subject, processing_activity, self._clock.now_us())

    def _measure(self, changed: Mapping[str, ConsentFacts | None]) -> None:
        for facts in changed.values():
            if isinstance(facts, RecordFacts) and facts.state is not RecordState.GIVEN:
                age_s = (self._clock.now_us() - facts.update_us) / 1e6
                if age_s <= MEASURED_MAX_S:
                    WITHDRAWAL_SECONDS.observe(max(age_s, 0.0))
