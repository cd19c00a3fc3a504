"""The gRPC door: those methods of SeriesService that account for readings and find them."""

from typing import Any

import grpc

from maasloop.api.common.v1.geo_pb2 import Point
from maasloop.api.observation.v1 import accounts_pb2 as accounts_messages
from maasloop.api.observation.v1 import series_service_pb2 as messages
from maasloop.api.observation.v1.observation_pb2 import Observation
from maasloop.core.ids import DeviceName, DistrictName, parse_name
from maasloop.rpc.pages import decode_page_token, encode_page_token, page_size
from maasloop.rpc.times import timestamp_from_us, us_from_timestamp
from maasloop.timeseries.domain.custody import Balance, Terms
from maasloop.timeseries.handlers.get_custody_balance import GetCustodyBalance
from maasloop.timeseries.handlers.list_device_accounts import ListDeviceAccounts
from maasloop.timeseries.handlers.trace_observation import Trace, TraceObservation
from maasloop.timeseries.ports.accounting import Carrying, DeviceAccount, Key
from maasloop.timeseries.ports.reading import Newest

ACCOUNTS_PAGE = 1_000
ACCOUNTS_PAGE_MAX = 10_000

type _Context = grpc.aio.ServicerContext[Any, Any]


class AccountMethods:
    """What became of readings."""

    def __init__(self, *, balance: GetCustodyBalance, accounts: ListDeviceAccounts, trace: TraceObservation) -> None:
        """One handler a method."""
        self._balance = balance
        self._accounts = accounts
        self._trace = trace

    async def GetCustodyBalance(
        self, request: messages.GetCustodyBalanceRequest, context: _Context
    ) -> messages.CustodyBalance:
        """Return what became of every acknowledged reading."""
        district = DistrictName.parse(request.parent).district if request.parent else ""
        return _balance(await self._balance(district))

    async def ListDeviceAccounts(
        self, request: accounts_messages.ListDeviceAccountsRequest, context: _Context
    ) -> accounts_messages.ListDeviceAccountsResponse:
        """Return a page of accounts of devices."""
        district = DistrictName.parse(request.parent).district
        arguments = {"parent": request.parent, "devices": list(request.devices)}
        position = decode_page_token(request.page_token, arguments)
        size = page_size(request.page_size, default=ACCOUNTS_PAGE, largest=ACCOUNTS_PAGE_MAX)
        after = "" if position is None else str(position[0])
        page, following = await self._accounts(district, request.devices, size=size, after=after)
        return accounts_messages.ListDeviceAccountsResponse(
            accounts=[_account(district, account) for account in page],
            next_page_token=encode_page_token((following,), arguments) if following else "",
        )

    async def TraceObservation(
        self, request: accounts_messages.TraceObservationRequest, context: _Context
    ) -> accounts_messages.TraceObservationResponse:
        """Return where a reading is."""
        name = DeviceName.parse(request.device)
        (observed_property,) = parse_name(request.observed_property, "observedProperties")
        event_time_us = us_from_timestamp(request.event_time, "event_time")
        return _trace(await self._trace(Key(*name, observed_property, event_time_us)), name.district)


def observation(district: str, found: Newest) -> Observation:
    """Return one observation by itself."""
    message = Observation(
        device=str(DeviceName(district, found.series.device)),
        observed_property=f"observedProperties/{found.series.observed_property}",
        event_time=timestamp_from_us(found.time_us),
        receipt_time=timestamp_from_us(found.receipt_time_us),
    )
    if isinstance(found.result, str):
        message.state = found.result
    elif isinstance(found.result, float):
        message.value = found.result
    else:
        message.position.CopyFrom(Point(longitude=found.result[0], latitude=found.result[1]))
    return message


def _balance(balance: Balance) -> messages.CustodyBalance:
    terms = balance.terms
    return messages.CustodyBalance(
        accepted_count=balance.accepted,
        stored_count=terms.stored,
        duplicate_count=terms.duplicate,
        conflict_count=terms.conflict,
        quarantined_count=terms.quarantined,
        refused_consent_count=terms.refused_consent,
        shed_count=terms.shed,
        dead_lettered_count=terms.dead_lettered,
        in_stream_count=balance.in_stream,
        lost_count=balance.lost,
        late_count=terms.late,
        doors=[_door(door, each) for door, each in balance.doors.items()],
        series_stored_count=balance.series_stored,
    )


def _door(door: str, terms: Terms) -> messages.DoorBalance:
    return messages.DoorBalance(
        door=door,
        accepted_count=terms.accepted,
        stored_count=terms.stored,
        duplicate_count=terms.duplicate,
        conflict_count=terms.conflict,
        quarantined_count=terms.quarantined,
        refused_consent_count=terms.refused_consent,
        shed_count=terms.shed,
        dead_lettered_count=terms.dead_lettered,
        late_count=terms.late,
    )


def _account(district: str, account: DeviceAccount) -> accounts_messages.DeviceAccount:
    message = accounts_messages.DeviceAccount(
        device=str(DeviceName(district, account.device)),
        stored_count=account.stored,
        duplicate_count=account.duplicate,
        conflict_count=account.conflict,
        quarantined_count=account.quarantined,
        late_count=account.late,
        missing_payload_count=account.missing_payloads,
        last_sequence=account.last_sequence,
    )
    if account.receipt_time_us is not None:
        message.receipt_time.CopyFrom(timestamp_from_us(account.receipt_time_us))
    return message


def _trace(trace: Trace, district: str) -> accounts_messages.TraceObservationResponse:
    answer = accounts_messages.TraceObservationResponse(
        messages=[
            _carrying(each, settled=trace.settled[each.stream].holds(district, each.sequence))
            for each in trace.messages
        ],
        searched_streams=[
            accounts_messages.SearchedStream(
                stream=each.stream,
                first_sequence=each.first_sequence,
                last_sequence=each.last_sequence,
                complete=each.complete,
            )
            for each in trace.searched
        ],
    )
    if trace.row is not None:
        answer.row.CopyFrom(observation(district, trace.row))
    return answer


def _carrying(found: Carrying, *, settled: bool) -> accounts_messages.CarryingMessage:
    return accounts_messages.CarryingMessage(
        stream=found.stream,
        sequence=found.sequence,
        id=found.id,
        door=found.door,
        receipt_time=timestamp_from_us(found.receipt_time_us),
        acknowledge_time=timestamp_from_us(found.acknowledge_time_us),
        value=found.value,
        settled=settled,
        traceparent=found.traceparent,
        reason=found.reason,
    )
