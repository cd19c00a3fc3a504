"""ConsentService as a caller sees it, and what it tells on the bus."""

import asyncio
import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration

from maasloop.api.consent.v1 import consent_service_pb2 as pb
from maasloop.api.consent.v1.consent_pb2 import ConsentRecord, ProcessingActivity
from maasloop.api.consent.v1.events_pb2 import ConsentChanged
from maasloop.api.device.v1.events_pb2 import RevisionConfirmed
from maasloop.bus import subjects
from maasloop.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from maasloop.rpc.client import call, stream
from maasloop.rpc.times import timestamp_from

if TYPE_CHECKING:
    from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceAsyncStub

AIR = "processingActivities/air"
COUNT = "processingActivities/count"
SOMEONE = "dataSubjects/someone"
PAUSE_S = 0.02


def _activity(basis: "ProcessingActivity.LegalBasis.ValueType") -> ProcessingActivity:
    return ProcessingActivity(
        display_name="Air by bike",
        purpose="Map the air where people ride.",
        legal_basis=basis,
        data_categories=["pm25", "position"],
        retention=Duration(seconds=86_400),
        controller="City of Rotterdam",
        jurisdiction="NL",
        recipients=["University"],
    )


@pytest.fixture(name="stub")
async def _stub(consent: Any) -> "ConsentServiceAsyncStub":  # noqa: ANN401 - of conftest, which is no module
    stub: ConsentServiceAsyncStub = consent.stub
    bases = {"air": ProcessingActivity.LEGAL_BASIS_CONSENT, "count": ProcessingActivity.LEGAL_BASIS_PUBLIC_TASK}
    for name, basis in bases.items():
        request = pb.CreateProcessingActivityRequest(processing_activity_id=name, processing_activity=_activity(basis))
        await call(stub.CreateProcessingActivity, request)
    return stub


def _grant(**fields: Any) -> pb.GrantConsentRequest:  # noqa: ANN401 - any field of the message
    given = {"data_subject": SOMEONE, "processing_activity": AIR, "notice_version": "2026-1", "method": "app"}
    return pb.GrantConsentRequest(consent_record=ConsentRecord(**{**given, **fields}), request_id=str(uuid4()))


async def _permitted(stub: "ConsentServiceAsyncStub", activity: str = AIR) -> bool:
    request = pb.CheckConsentRequest(data_subject=SOMEONE, processing_activity=activity)
    return (await call(stub.CheckConsent, request)).permitted


async def _events(consent: Any, count: int) -> list[tuple[str, ConsentChanged]]:  # noqa: ANN401 - a class of conftest, which cannot be imported by name
    events: list[tuple[str, ConsentChanged]] = []
    while len(events) < count:
        answer = await consent.bus.api("STREAM.MSG.GET.CONSENT", {"seq": len(events) + 1})
        if "message" in answer:
            body = base64.b64decode(answer["message"]["data"])
            events.append((answer["message"]["subject"], ConsentChanged.FromString(body)))
    return events


async def test_consent_is_given_withdrawn_and_given_anew(stub: "ConsentServiceAsyncStub", consent: Any) -> None:  # noqa: ANN401 - a class of conftest, which cannot be imported by name
    """Each step changes the answer of CheckConsent, is kept as an event with a receipt, and is told on the bus."""
    assert not await _permitted(stub)
    first = await call(stub.GrantConsent, _grant())
    assert await _permitted(stub)
    again = await call(stub.GrantConsent, _grant())
    await consent.clock.advance(5)
    ended = await call(stub.WithdrawConsent, pb.WithdrawConsentRequest(name=first.name))
    assert not await _permitted(stub)
    assert await call(stub.WithdrawConsent, pb.WithdrawConsentRequest(name=first.name)) == ended
    second = await call(stub.GrantConsent, _grant())
    assert await _permitted(stub)

    assert again == first
    assert second.name != first.name
    assert (first.state, ended.state) == (ConsentRecord.STATE_GIVEN, ConsentRecord.STATE_WITHDRAWN)
    assert [event.state for event in ended.events] == [ConsentRecord.STATE_GIVEN, ConsentRecord.STATE_WITHDRAWN]
    assert len({event.receipt_id for event in [*ended.events, *second.events]}) == 3
    assert ended.update_time.ToSeconds() == first.give_time.ToSeconds() + 5
    listed = await call(stub.ListConsentRecords, pb.ListConsentRecordsRequest(data_subject=SOMEONE))
    assert [record.name for record in listed.consent_records] == [second.name, first.name]
    events = await _events(consent, 5)
    assert [subject.split(".")[2] for subject, _ in events] == ["granted"] * 3 + ["withdrawn", "granted"]
    assert [subject.split(".")[5] for subject, _ in events] == ["activity"] * 2 + ["someone"] * 3
    assert [event.previous_revision for _, event in events] == [0, 1, 2, 3, 4]
    assert events[3][1].resource.consent_record == ended


async def test_a_late_repetition_does_not_consent_again(stub: "ConsentServiceAsyncStub", consent: Any) -> None:  # noqa: ANN401 - a class of conftest, which cannot be imported by name
    """A grant that arrives a second time after the withdrawal, even days later, returns the withdrawn record."""
    request = _grant()
    record = await call(stub.GrantConsent, request)
    await call(stub.WithdrawConsent, pb.WithdrawConsentRequest(name=record.name))
    await consent.clock.advance(2 * 86_400)

    repeated = await call(stub.GrantConsent, request)

    assert (repeated.name, repeated.state) == (record.name, ConsentRecord.STATE_WITHDRAWN)
    assert not await _permitted(stub)
    request.consent_record.data_subject = "dataSubjects/other"
    with pytest.raises(FailedPrecondition) as refused:
        await call(stub.GrantConsent, request)
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_a_repetition_that_found_consent_does_not_consent_again(stub: "ConsentServiceAsyncStub") -> None:
    """A grant that was answered with a record in force returns that one for ever, also after its withdrawal."""
    record = await call(stub.GrantConsent, _grant())
    request = _grant()
    assert await call(stub.GrantConsent, request) == record
    await call(stub.WithdrawConsent, pb.WithdrawConsentRequest(name=record.name))

    repeated = await call(stub.GrantConsent, request)

    assert (repeated.name, repeated.state) == (record.name, ConsentRecord.STATE_WITHDRAWN)
    assert not await _permitted(stub)


async def test_consent_ends_by_itself(stub: "ConsentServiceAsyncStub", consent: Any) -> None:  # noqa: ANN401 - a class of conftest, which cannot be imported by name
    """At its end a record expires, and the bus hears a withdrawal."""
    end = timestamp_from(consent.clock.now() + timedelta(seconds=10))
    record = await call(stub.GrantConsent, _grant(expire_time=end))
    await consent.clock.advance(9)
    assert await _permitted(stub)
    await consent.clock.advance(2)
    assert not await _permitted(stub)

    told = asyncio.create_task(_events(consent, 4))
    while not told.done():
        # On a busy machine the timer goes to sleep only after the end has come, and looks again a second later.
        await consent.clock.advance(1)
        await asyncio.sleep(PAUSE_S)
    subject, event = (await told)[3]

    assert subject == subjects.CONSENT_WITHDRAWN.subject("all", "someone")
    expired = event.resource.consent_record
    assert (expired.name, expired.state) == (record.name, ConsentRecord.STATE_EXPIRED)
    assert expired.events[1].entity == "services/consent"
    stored = await call(stub.GetConsentRecord, pb.GetConsentRecordRequest(name=record.name))
    assert stored == expired
    renewed = await call(stub.GrantConsent, _grant())
    assert renewed.name != record.name


async def test_a_person_objects_to_a_public_task(stub: "ConsentServiceAsyncStub", consent: Any) -> None:  # noqa: ANN401 - a class of conftest, which cannot be imported by name
    """A public task is permitted until the person objects, once."""
    assert await _permitted(stub, COUNT)
    request = pb.ObjectToProcessingRequest(data_subject=SOMEONE, processing_activity=COUNT, request_id=str(uuid4()))
    objection = await call(stub.ObjectToProcessing, request)

    assert not await _permitted(stub, COUNT)
    request.request_id = str(uuid4())
    assert await call(stub.ObjectToProcessing, request) == objection
    assert (await _events(consent, 3))[2][0] == subjects.CONSENT_OBJECTED.subject("all", "someone")
    with pytest.raises(FailedPrecondition) as refused:
        await call(stub.WithdrawConsent, pb.WithdrawConsentRequest(name=objection.name))
    assert refused.value.reason == "STATE_FORBIDS"


async def test_the_ground_decides_what_may_be_said(stub: "ConsentServiceAsyncStub") -> None:
    """There is no consent to a public task, no objection to consent, and nothing to an activity that does not exist."""
    with pytest.raises(FailedPrecondition) as refused:
        await call(stub.GrantConsent, _grant(processing_activity=COUNT))
    assert refused.value.reason == "ACTIVITY_FORBIDS"
    objection = pb.ObjectToProcessingRequest(data_subject=SOMEONE, processing_activity=AIR, request_id=str(uuid4()))
    with pytest.raises(FailedPrecondition) as refused:
        await call(stub.ObjectToProcessing, objection)
    assert refused.value.reason == "ACTIVITY_FORBIDS"
    with pytest.raises(NotFound):
        await call(stub.GrantConsent, _grant(processing_activity="processingActivities/unknown"))
    assert not await _permitted(stub, "processingActivities/unknown")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"data_subject": "someone"}, "NAME_MALFORMED"),
        ({"data_subject": "dataSubjects/activity"}, "REQUEST_INVALID"),
        ({"notice_version": ""}, "REQUEST_INVALID"),
        ({"method": ""}, "REQUEST_INVALID"),
    ],
)
async def test_an_incomplete_record_is_refused(
    stub: "ConsentServiceAsyncStub", fields: dict[str, str], field: str
) -> None:
    """A record names the person by pseudonym, the notice that was shown, and how consent was given."""
    with pytest.raises(InvalidArgument) as refused:
        await call(stub.GrantConsent, _grant(**fields))

    assert refused.value.reason == field


async def test_withdrawing_takes_no_more_than_granting(stub: "ConsentServiceAsyncStub") -> None:
    """GDPR 7(3): the request to withdraw has no more required fields than the one to grant."""
    withdraw = pb.WithdrawConsentRequest.DESCRIPTOR.fields
    grant = pb.GrantConsentRequest.DESCRIPTOR.fields

    assert len(withdraw) <= len(grant)
    assert len(withdraw) == 1


async def test_activities_are_created_once_and_listed(stub: "ConsentServiceAsyncStub") -> None:
    """The same request gives the same answer, another one is refused, and lists come in pages."""
    wanted = _activity(ProcessingActivity.LEGAL_BASIS_CONSENT)
    request = pb.CreateProcessingActivityRequest(
        processing_activity_id="heart", processing_activity=wanted, request_id=str(uuid4())
    )
    created = await call(stub.CreateProcessingActivity, request)
    assert await call(stub.CreateProcessingActivity, request) == created
    request.request_id = ""
    with pytest.raises(AlreadyExists):
        await call(stub.CreateProcessingActivity, request)

    first = await call(stub.ListProcessingActivities, pb.ListProcessingActivitiesRequest(page_size=2))
    token = first.next_page_token
    second = await call(stub.ListProcessingActivities, pb.ListProcessingActivitiesRequest(page_token=token))
    names = [activity.name for page in (first, second) for activity in page.processing_activities]
    assert names == [AIR, COUNT, "processingActivities/heart"]
    assert created.recipients == ["University"]


async def test_a_watch_hears_a_withdrawal(stub: "ConsentServiceAsyncStub") -> None:
    """Snapshot first, then each change of state."""
    record = await call(stub.GrantConsent, _grant())
    lots = stream(stub.WatchConsent, pb.WatchConsentRequest())
    snapshot = await anext(lots)
    assert (len(snapshot.resources), snapshot.snapshot_complete) == (3, True)

    ended = await call(stub.WithdrawConsent, pb.WithdrawConsentRequest(name=record.name))

    assert (await anext(lots)).resources[0].consent_record == ended


async def test_the_owner_confirms_what_was_told(stub: "ConsentServiceAsyncStub", consent: Any) -> None:  # noqa: ANN401 - a class of conftest, which cannot be imported by name
    """Once a second everybody can hear how far the published events go."""
    heard: asyncio.Queue[int] = asyncio.Queue()

    async def hear(message: Any) -> None:  # noqa: ANN401 - a message of the driver
        await heard.put(RevisionConfirmed.FromString(message.data).revision)

    await _events(consent, 2)
    await consent.bus.listen(subjects.CONSENT_CONFIRMED.subject("all", "consent"), hear)
    revision = 0
    while revision != 2:
        await consent.clock.advance(1)
        await asyncio.sleep(0.05)
        revision = heard.get_nowait() if not heard.empty() else 0
