"""A consent record in the shape of ISO/IEC TS 27560, and its life.

Given, then withdrawn or expired, and never given again: a person who consents again gets a new record. An objection is a
record of its own. What happened is kept, event by event, each with the id of its receipt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from maasloop.core.errors import FailedPrecondition, InvalidArgument
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason

SCHEMA_VERSION = "maasloop-27560-1"
OBJECTION_METHOD = "objection"
NO_NOTICE = "none"
OURSELVES = "services/consent"
"""Who acted where an end came by itself."""
ACTIVITY_KEY = "activity"
"""Key of events about activities, so that no person may be called so."""


class RecordState(StrEnum):
    """Where a record stands."""

    GIVEN = "GIVEN"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"
    OBJECTED = "OBJECTED"
    ERASED = "ERASED"


DECISIVE = frozenset({RecordState.GIVEN, RecordState.OBJECTED})
"""States of a record that decides; of a person and an activity there is at most one such record."""


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """What happened to a record: it became ``state``."""

    state: RecordState
    event_time: datetime
    entity: str
    receipt_id: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person says to consent or to object; ids, not names."""

    data_subject: str
    processing_activity: str
    notice_version: str = NO_NOTICE
    notice_language: str = ""
    method: str = OBJECTION_METHOD
    expire_time: datetime | None = None

    def check(self) -> None:
        """Refuse ids that are none."""
        require_id(self.data_subject, "data_subject")
        require_id(self.processing_activity, "processing_activity")
        if self.data_subject == ACTIVITY_KEY:
            metadata = {"field": "data_subject", "rule": "id.reserved"}
            raise InvalidArgument(Reason.REQUEST_INVALID, f"{ACTIVITY_KEY!r} is no pseudonym", metadata)


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """Consent or objection of a person, by pseudonym."""

    id: str
    data_subject: str
    processing_activity: str
    notice_version: str
    notice_language: str
    method: str
    state: RecordState
    give_time: datetime
    update_time: datetime
    expire_time: datetime | None = None
    events: Sequence[RecordEvent] = ()
    revision: int = 0

    def in_force(self, now: datetime) -> bool:
        """Tell whether it permits processing at this time."""
        return self.state is RecordState.GIVEN and not self.due(now)

    def due(self, now: datetime) -> bool:
        """Tell whether its end has come, though nothing may have noted it yet."""
        return self.expire_time is not None and self.expire_time <= now

    def says(self, asked: Asked) -> bool:
        """Tell whether it is about the same person and activity."""
        return (self.data_subject, self.processing_activity) == (asked.data_subject, asked.processing_activity)


def given(asked: Asked, record_id: str, receipt_id: str, now: datetime) -> ConsentRecord:
    """Return the record of a person who consents."""
    if asked.expire_time is not None and asked.expire_time <= now:
        metadata = {"field": "expire_time", "rule": "timestamp.gt_now"}
        raise InvalidArgument(Reason.REQUEST_INVALID, "expire_time lies in the past", metadata)
    return _begun(asked, record_id, RecordState.GIVEN, receipt_id, now)


def objected(asked: Asked, record_id: str, receipt_id: str, now: datetime) -> ConsentRecord:
    """Return the record of a person who objects."""
    return _begun(asked, record_id, RecordState.OBJECTED, receipt_id, now)


def withdrawn(record: ConsentRecord, receipt_id: str, now: datetime) -> ConsentRecord:
    """Return the record withdrawn; one that ended already stays as it is."""
    if record.state in {RecordState.WITHDRAWN, RecordState.EXPIRED}:
        return record
    if record.state is not RecordState.GIVEN:
        message = f"consentRecords/{record.id} is {record.state}: there is no consent to withdraw"
        raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": record.state})
    return _became(record, RecordState.WITHDRAWN, f"dataSubjects/{record.data_subject}", receipt_id, now)


def expired(record: ConsentRecord, receipt_id: str, now: datetime) -> ConsentRecord:
    """Return the record after its end; one that is not given or not due stays as it is."""
    if record.state is not RecordState.GIVEN or not record.due(now):
        return record
    return _became(record, RecordState.EXPIRED, OURSELVES, receipt_id, now)


def _begun(asked: Asked, record_id: str, state: RecordState, receipt_id: str, now: datetime) -> ConsentRecord:
    return ConsentRecord(
        id=record_id,
        data_subject=asked.data_subject,
        processing_activity=asked.processing_activity,
        notice_version=asked.notice_version,
        notice_language=asked.notice_language,
        method=asked.method,
        state=state,
        give_time=now,
        update_time=now,
        expire_time=asked.expire_time,
        events=(RecordEvent(state, now, f"dataSubjects/{asked.data_subject}", receipt_id),),
    )


def _became(record: ConsentRecord, state: RecordState, entity: str, receipt_id: str, now: datetime) -> ConsentRecord:
    event = RecordEvent(state, now, entity, receipt_id)
    return replace(record, state=state, update_time=now, events=(*record.events, event))
