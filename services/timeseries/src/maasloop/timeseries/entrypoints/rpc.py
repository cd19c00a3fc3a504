"""The gRPC door: SeriesService."""

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

import grpc
import numpy as np
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from maasloop.api.common.v1.geo_pb2 import Point
from maasloop.api.observation.v1 import series_service_pb2 as messages
from maasloop.api.observation.v1 import travel_times_pb2 as travel_messages
from maasloop.api.observation.v1.observation_pb2 import (
    PositionObservation,
    StateObservation,
)
from maasloop.bus.columns import Columns, build_columns
from maasloop.core.errors import FailedPrecondition, InvalidArgument
from maasloop.core.ids import DistrictName
from maasloop.core.reasons import Reason
from maasloop.rpc.pages import decode_page_token, encode_page_token, page_size
from maasloop.rpc.server import RpcServer
from maasloop.rpc.times import us_from_timestamp
from maasloop.timeseries.domain.series import Kind
from maasloop.timeseries.handlers.aggregate_observations import AggregateObservations
from maasloop.timeseries.handlers.get_custody_balance import GetCustodyBalance
from maasloop.timeseries.handlers.get_travel_times import GetTravelTimes
from maasloop.timeseries.handlers.list_device_accounts import ListDeviceAccounts
from maasloop.timeseries.handlers.list_latest_observations import ListLatestObservations
from maasloop.timeseries.handlers.read_observations import ROWS_A_READ_MAX, ReadObservations
from maasloop.timeseries.handlers.trace_observation import TraceObservation
from maasloop.timeseries.handlers.watch_observations import Watched, WatchObservations
from maasloop.timeseries.ports.reading import Buckets, GapFill, Range, Selection

from . import answers, travel, wire
from .rpc_accounts import AccountMethods

LATEST_PAGE = 1_000
LATEST_PAGE_MAX = 10_000
BUCKETS_AN_ANSWER_MAX = 100_000
BUCKETS_A_STREAM_MAX = 5_000_000
BY_PROPERTY = messages.GROUPING_OBSERVED_PROPERTY
SERVICE = messages.DESCRIPTOR.services_by_name["SeriesService"]

_FILLS = {
    messages.GAP_FILL_UNSPECIFIED: GapFill.OMIT,
    messages.GAP_FILL_EMPTY: GapFill.EMPTY,
    messages.GAP_FILL_LAST: GapFill.LAST,
    messages.GAP_FILL_LINEAR: GapFill.LINEAR,
}

type _Context = grpc.aio.ServicerContext[Any, Any]


class SeriesDoor(AccountMethods):
    """What was remembered."""

    def __init__(
        self,
        *,
        latest: ListLatestObservations,
        read: ReadObservations,
        aggregate: AggregateObservations,
        watch: WatchObservations,
        balance: GetCustodyBalance,
        accounts: ListDeviceAccounts,
        trace: TraceObservation,
        travel: GetTravelTimes,
    ) -> None:
        """One handler a method."""
        super().__init__(balance=balance, accounts=accounts, trace=trace)
        self._latest = latest
        self._read = read
        self._aggregate = aggregate
        self._watch = watch
        self._travel = travel

    def register(self, server: RpcServer) -> None:
        """Add the service to a server; what holds thousands of messages is answered as bytes of the wire."""
        handlers: dict[str, Any] = {}
        for method in SERVICE.methods:
            make = (
                grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
            )
            request = GetMessageClass(method.input_type)
            handlers[method.name] = make(getattr(self, method.name), request.FromString, _serialized)
        server.registrar.add_registered_method_handlers(SERVICE.full_name, handlers)

    async def ListLatestObservations(self, request: messages.ListLatestObservationsRequest, context: _Context) -> bytes:
        """Return a page of newest observations: a serialized ListLatestObservationsResponse."""
        selection = _selection(request.selection)
        arguments = {"selection": request.selection.SerializeToString(deterministic=True).hex()}
        position = decode_page_token(request.page_token, arguments)
        size = page_size(request.page_size, default=LATEST_PAGE, largest=LATEST_PAGE_MAX)
        after = None if position is None else (str(position[0]), str(position[1]), int(position[2]))
        page, shown, following = await self._latest(selection, size=size, after=after)
        rest = messages.ListLatestObservationsResponse(
            next_page_token=encode_page_token(following, arguments) if following else ""
        )
        return answers.observations(selection.district, page, shown) + rest.SerializeToString()

    async def ReadObservations(
        self, request: messages.ReadObservationsRequest, context: _Context
    ) -> AsyncIterator[bytes]:
        """Stream a range: serialized ReadObservationsResponses."""
        start_us = us_from_timestamp(request.start_time, "start_time")
        end_us = us_from_timestamp(request.end_time, "end_time")
        held: list[Range] = []
        async for piece in self._read(_selection(request.selection), start_us, end_us):
            if held and sum(len(each.time_us) for each in held) + len(piece.time_us) > ROWS_A_READ_MAX:
                yield _answer(_columns(held))
                held = []
            held.append(piece)
        if held:
            yield _answer(_columns(held))

    async def AggregateObservations(self, request: messages.AggregateObservationsRequest, context: _Context) -> bytes:
        """Return figures of time buckets: a serialized AggregateObservationsResponse."""
        district = DistrictName.parse(request.selection.parent).district
        return b"".join(
            [answers.series_buckets(district, some) async for some in self._buckets(request, BUCKETS_AN_ANSWER_MAX)]
        )

    async def ReadAggregates(self, request: messages.ReadAggregatesRequest, context: _Context) -> AsyncIterator[bytes]:
        """Stream figures of time buckets as columns: serialized ReadAggregatesResponses."""
        district = DistrictName.parse(request.selection.parent).district
        async for some in self._buckets(request, BUCKETS_A_STREAM_MAX):
            for answer in answers.aggregate_columns(district, some):
                yield answer

    async def WatchObservations(
        self, request: messages.WatchObservationsRequest, context: _Context
    ) -> AsyncIterator[bytes]:
        """Stream what is stored: serialized WatchObservationsResponses."""
        after = _opened(request.resume_token)
        async for watched in self._watch(_selection(request.selection), after):
            yield _watched(watched)

    async def GetTravelTimes(
        self, request: travel_messages.GetTravelTimesRequest, context: _Context
    ) -> travel_messages.TravelTimes:
        """Return travel times of links and routes."""
        district = DistrictName.parse(request.parent).district
        found = await self._travel(district, request.links, [route.links for route in request.routes])
        return travel.to_message(found)

    def _buckets(
        self, request: messages.AggregateObservationsRequest | messages.ReadAggregatesRequest, buckets_max: int
    ) -> AsyncIterator[Buckets]:
        if request.bucket.nanos:
            raise InvalidArgument(Reason.REQUEST_INVALID, "bucket must be whole seconds", {"field": "bucket"})
        aggregate = self._aggregate.together if request.grouping == BY_PROPERTY else self._aggregate
        return aggregate(
            _selection(request.selection),
            us_from_timestamp(request.start_time, "start_time"),
            us_from_timestamp(request.end_time, "end_time"),
            request.bucket.seconds,
            _FILLS.get(request.gap_fill, GapFill.OMIT),
            buckets_max=buckets_max,
        )


def _serialized(answer: Message | bytes) -> bytes:
    return answer if isinstance(answer, bytes) else answer.SerializeToString()


def _selection(selection: messages.SeriesSelection) -> Selection:
    district = DistrictName.parse(selection.parent).district
    return Selection(district, tuple(selection.devices), tuple(selection.observed_properties))


def _columns(pieces: Sequence[Range]) -> Columns:
    devices: dict[str, int] = {}
    properties: dict[str, int] = {}
    device_index: list[NDArray[Any]] = []
    property_index: list[NDArray[Any]] = []
    times_us: list[NDArray[Any]] = []
    values: list[NDArray[Any]] = []
    states: list[StateObservation] = []
    positions: list[PositionObservation] = []
    for piece in pieces:
        device = devices.setdefault(piece.series.device, len(devices))
        observed_property = properties.setdefault(piece.series.observed_property, len(properties))
        place: dict[str, Any] = {"device_index": device, "property_index": observed_property}
        if piece.series.table.kind is Kind.NUMBERS:
            device_index.append(np.full(len(piece.time_us), device))
            property_index.append(np.full(len(piece.time_us), observed_property))
            times_us.append(piece.time_us)
            values.append(cast("NDArray[Any]", piece.results))
            continue
        for time_us, result in zip(piece.time_us.tolist(), piece.results, strict=True):
            if isinstance(result, str):
                states.append(StateObservation(**place, event_time_us=time_us, state=result))
            else:
                point = Point(longitude=result[0], latitude=result[1])
                positions.append(PositionObservation(**place, event_time_us=time_us, position=point))
    empty: NDArray[Any] = np.empty(0)
    return build_columns(
        list(devices),
        list(properties),
        np.concatenate(device_index or [empty]),
        np.concatenate(property_index or [empty]),
        np.concatenate(times_us or [empty]),
        np.concatenate(values or [empty]),
        states=states,
        positions=positions,
    )


def _watched(watched: Watched) -> bytes:
    token = wire.delimited(2, _sealed(watched.token).encode())
    if watched.columns is None:
        return token
    columns = cast("Columns", watched.columns)
    if watched.numbers is not None:
        names = columns.names()
        chosen = columns.take(watched.numbers)
        columns = build_columns(
            names.devices,
            names.observed_properties,
            chosen.device_index,
            chosen.property_index,
            chosen.event_time_us,
            chosen.value,
            states=cast("list[StateObservation]", watched.states),
            positions=cast("list[PositionObservation]", watched.positions),
        )
    return _answer(columns) + token


def _answer(columns: Columns) -> bytes:
    """Return the field `observations` of an answer."""
    return wire.delimited(1, columns.packed().SerializeToString())


def _sealed(token: Mapping[str, int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(token, sort_keys=True).encode()).decode()


def _opened(token: str) -> Mapping[str, int] | None:
    if not token:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(token.encode()))
        return {str(stream): int(sequence) for stream, sequence in found.items()}
    except (ValueError, AttributeError, TypeError):
        raise FailedPrecondition(Reason.RESUME_TOKEN_EXPIRED, "resume_token is not one of ours") from None
