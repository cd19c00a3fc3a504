"""The gRPC door of consent."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from maasloop.api.consent.v1 import consent_pb2, events_pb2
from maasloop.api.consent.v1 import consent_service_pb2 as pb
from maasloop.api.consent.v1.consent_service_pb2_grpc import (
    ConsentServiceServicer,
    add_ConsentServiceServicer_to_server,
)
from maasloop.consent.domain.record import Asked
from maasloop.consent.entrypoints.messages import (
    ACTIVITIES,
    PEOPLE,
    RECORDS,
    activity_from,
    activity_message,
    asked_from,
    record_message,
)
from maasloop.consent.handlers.check_consent import CheckConsent
from maasloop.consent.handlers.create_activity import CreateActivity
from maasloop.consent.handlers.grant_consent import GrantConsent
from maasloop.consent.handlers.object_to_processing import ObjectToProcessing
from maasloop.consent.handlers.read_register import ReadRegister
from maasloop.consent.handlers.withdraw_consent import WithdrawConsent
from maasloop.consent.ports import RecordPosition
from maasloop.core.clock import from_us, to_us
from maasloop.core.ids import parse_name
from maasloop.rpc.requests import paging, request_of
from maasloop.rpc.server import RpcServer
from maasloop.runtime.watching import Watching

type Context = grpc.aio.ServicerContext[Any, Any]


class ConsentDoor(ConsentServiceServicer):
    """ConsentService."""

    def __init__(
        self,
        *,
        create_activity: CreateActivity,
        grant_consent: GrantConsent,
        withdraw_consent: WithdrawConsent,
        object_to_processing: ObjectToProcessing,
        check_consent: CheckConsent,
        read_register: ReadRegister,
        watching: Watching,
    ) -> None:
        self._create_activity = create_activity
        self._grant_consent = grant_consent
        self._withdraw_consent = withdraw_consent
        self._object_to_processing = object_to_processing
        self._check_consent = check_consent
        self._read_register = read_register
        self._watching = watching

    def register(self, server: RpcServer) -> None:
        """Serve on this server."""
        add_ConsentServiceServicer_to_server(self, server.registrar)

    async def CreateProcessingActivity(
        self, request: pb.CreateProcessingActivityRequest, context: Context
    ) -> consent_pb2.ProcessingActivity:
        """Create a processing activity."""
        wanted = activity_from(request.processing_activity, request.processing_activity_id)
        identity = request_of(request, "CreateProcessingActivity")
        return activity_message(await self._create_activity(wanted, identity))

    async def ListProcessingActivities(
        self, request: pb.ListProcessingActivitiesRequest, context: Context
    ) -> pb.ListProcessingActivitiesResponse:
        """List processing activities."""
        page = paging(request)
        after = page.after_id
        found = await self._read_register.activities(after=after, limit=page.limit)
        last = [found.items[-1].id] if found.items else []
        return pb.ListProcessingActivitiesResponse(
            processing_activities=[activity_message(activity) for activity in found.items],
            next_page_token=page.next_token(last, more=found.more),
        )

    async def GrantConsent(self, request: pb.GrantConsentRequest, context: Context) -> consent_pb2.ConsentRecord:
        """Record that a person consents."""
        return record_message(await self._grant_consent(asked_from(request.consent_record), request.request_id))

    async def WithdrawConsent(self, request: pb.WithdrawConsentRequest, context: Context) -> consent_pb2.ConsentRecord:
        """Record that a person withdraws."""
        return record_message(await self._withdraw_consent(_record_id(request.name)))

    async def ObjectToProcessing(
        self, request: pb.ObjectToProcessingRequest, context: Context
    ) -> consent_pb2.ConsentRecord:
        """Record that a person objects."""
        asked = Asked(
            parse_name(request.data_subject, PEOPLE)[0], parse_name(request.processing_activity, ACTIVITIES)[0]
        )
        return record_message(await self._object_to_processing(asked, request.request_id))

    async def GetConsentRecord(
        self, request: pb.GetConsentRecordRequest, context: Context
    ) -> consent_pb2.ConsentRecord:
        """Return a record."""
        return record_message(await self._read_register.record(_record_id(request.name)))

    async def ListConsentRecords(
        self, request: pb.ListConsentRecordsRequest, context: Context
    ) -> pb.ListConsentRecordsResponse:
        """List records, newest first."""
        person = parse_name(request.data_subject, PEOPLE)[0] if request.data_subject else ""
        page = paging(request, data_subject=person)
        after = RecordPosition(from_us(int(page.position[0])), page.position[1]) if page.position else None
        found = await self._read_register.records(person, after=after, limit=page.limit)
        last = [str(to_us(found.items[-1].give_time)), found.items[-1].id] if found.items else []
        return pb.ListConsentRecordsResponse(
            consent_records=[record_message(record) for record in found.items],
            next_page_token=page.next_token(last, more=found.more),
        )

    async def CheckConsent(self, request: pb.CheckConsentRequest, context: Context) -> pb.CheckConsentResponse:
        """Tell whether an activity may process a person's data."""
        person = parse_name(request.data_subject, PEOPLE)[0]
        found = await self._check_consent(person, parse_name(request.processing_activity, ACTIVITIES)[0])
        return pb.CheckConsentResponse(
            permitted=found.permitted,
            detail=found.detail,
            consent_record=f"{RECORDS}/{found.record.id}" if found.record is not None else "",
        )

    async def WatchConsent(
        self, request: pb.WatchConsentRequest, context: Context
    ) -> AsyncIterator[pb.WatchConsentResponse]:
        """Send a snapshot, then changes."""
        async with aclosing(self._watching.watch(request.resume_revision)) as lots:
            async for lot in lots:
                yield pb.WatchConsentResponse(
                    resources=[events_pb2.ConsentResource.FromString(body) for body in lot.bodies],
                    revision=lot.revision,
                    snapshot_complete=lot.snapshot_complete,
                )


def _record_id(name: str) -> str:
    return parse_name(name, RECORDS)[0]
