"""Activities and records as messages of ``maasloop.api.consent.v1``, and back: one function each way."""

from dataclasses import replace

from maasloop.api.consent.v1 import consent_pb2, events_pb2
from maasloop.consent.domain.activity import LegalBasis, ProcessingActivity
from maasloop.consent.domain.record import SCHEMA_VERSION, Asked, ConsentRecord, RecordEvent, RecordState
from maasloop.consent.ports import Resource
from maasloop.core.ids import parse_name
from maasloop.rpc.times import datetime_from, duration_from_s, s_from_duration, timestamp_from

ACTIVITIES = "processingActivities"
RECORDS = "consentRecords"
PEOPLE = "dataSubjects"

_States = consent_pb2.ConsentRecord.State
_Bases = consent_pb2.ProcessingActivity.LegalBasis


def activity_message(activity: ProcessingActivity) -> consent_pb2.ProcessingActivity:
    """Return the message of an activity."""
    return consent_pb2.ProcessingActivity(
        name=f"{ACTIVITIES}/{activity.id}",
        display_name=activity.display_name,
        purpose=activity.purpose,
        legal_basis=_Bases.Value(f"LEGAL_BASIS_{activity.legal_basis}"),
        data_categories=activity.data_categories,
        retention=duration_from_s(activity.retention_s),
        controller=activity.controller,
        controller_contact=activity.controller_contact,
        jurisdiction=activity.jurisdiction,
        storage_location=activity.storage_location,
        recipients=activity.recipients,
        withdrawal_method=activity.withdrawal_method,
        revision=activity.revision,
    )


def activity_from(message: consent_pb2.ProcessingActivity, activity_id: str) -> ProcessingActivity:
    """Return what a message says about the activity of this id."""
    return ProcessingActivity(
        id=activity_id,
        display_name=message.display_name,
        purpose=message.purpose,
        legal_basis=LegalBasis(_Bases.Name(message.legal_basis).removeprefix("LEGAL_BASIS_")),
        data_categories=tuple(message.data_categories),
        retention_s=s_from_duration(message.retention),
        controller=message.controller,
        controller_contact=message.controller_contact,
        jurisdiction=message.jurisdiction,
        storage_location=message.storage_location,
        recipients=tuple(message.recipients),
        withdrawal_method=message.withdrawal_method,
    )


def record_message(record: ConsentRecord) -> consent_pb2.ConsentRecord:
    """Return the message of a record."""
    return consent_pb2.ConsentRecord(
        name=f"{RECORDS}/{record.id}",
        data_subject=f"{PEOPLE}/{record.data_subject}",
        processing_activity=f"{ACTIVITIES}/{record.processing_activity}",
        notice_version=record.notice_version,
        notice_language=record.notice_language,
        method=record.method,
        state=_States.Value(f"STATE_{record.state}"),
        give_time=timestamp_from(record.give_time),
        expire_time=None if record.expire_time is None else timestamp_from(record.expire_time),
        update_time=timestamp_from(record.update_time),
        revision=record.revision,
        schema_version=SCHEMA_VERSION,
        events=[_event_message(event) for event in record.events],
    )


def asked_from(message: consent_pb2.ConsentRecord) -> Asked:
    """Return what a person says by a record."""
    return Asked(
        data_subject=parse_name(message.data_subject, PEOPLE)[0],
        processing_activity=parse_name(message.processing_activity, ACTIVITIES)[0],
        notice_version=message.notice_version,
        notice_language=message.notice_language,
        method=message.method,
        expire_time=datetime_from(message.expire_time, "expire_time") if message.HasField("expire_time") else None,
    )


class MessageCodec:
    """Stored resources and events are messages: what is kept is what travels."""

    def encode(self, resource: Resource) -> bytes:
        """Return a resource as it is stored."""
        if isinstance(resource, ProcessingActivity):
            message = events_pb2.ConsentResource(processing_activity=activity_message(resource))
        else:
            message = events_pb2.ConsentResource(consent_record=record_message(resource))
        return message.SerializeToString()

    def decode(self, body: bytes) -> Resource:
        """Return a stored resource."""
        message = events_pb2.ConsentResource.FromString(body)
        if message.HasField("processing_activity"):
            activity = message.processing_activity
            found = activity_from(activity, parse_name(activity.name, ACTIVITIES)[0])
            return replace(found, revision=activity.revision)
        return _record(message.consent_record)

    def changed(self, body: bytes, previous_revision: int) -> bytes:
        """Return the event of a resource that changed."""
        resource = events_pb2.ConsentResource.FromString(body)
        event = events_pb2.ConsentChanged(resource=resource, previous_revision=previous_revision)
        return event.SerializeToString()


def _record(message: consent_pb2.ConsentRecord) -> ConsentRecord:
    asked = asked_from(message)
    return ConsentRecord(
        id=parse_name(message.name, RECORDS)[0],
        data_subject=asked.data_subject,
        processing_activity=asked.processing_activity,
        notice_version=asked.notice_version,
        notice_language=asked.notice_language,
        method=asked.method,
        state=_state(message.state),
        give_time=datetime_from(message.give_time),
        update_time=datetime_from(message.update_time),
        expire_time=asked.expire_time,
        events=tuple(_event(event) for event in message.events),
        revision=message.revision,
    )


def _event_message(event: RecordEvent) -> consent_pb2.ConsentRecord.Event:
    return consent_pb2.ConsentRecord.Event(
        state=_States.Value(f"STATE_{event.state}"),
        event_time=timestamp_from(event.event_time),
        entity=event.entity,
        receipt_id=event.receipt_id,
    )


def _event(message: consent_pb2.ConsentRecord.Event) -> RecordEvent:
    return RecordEvent(_state(message.state), datetime_from(message.event_time), message.entity, message.receipt_id)


def _state(value: "consent_pb2.ConsentRecord.State.ValueType") -> RecordState:
    return RecordState(_States.Name(value).removeprefix("STATE_"))
