"""``maasloop trace-reading``: one reading from the door to the row."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from maasloop.cli.calling import CALL_TIMEOUT_S, SERIES, opened, running
from maasloop.cli.moments import moment
from maasloop.cli.names import name_in_district, name_of
from maasloop.cli.printing import Json, plain, print_json, say

EDGES_FROM = datetime(2000, 1, 3, tzinfo=UTC)
"""Buckets are counted from here."""
BUCKETS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
NOT_FOUND = 1


def trace_reading(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="DISTRICT/DEVICE.")],
    observed_property: Annotated[str, typer.Argument(metavar="PROPERTY", help="Observed property.")],
    time: Annotated[str, typer.Argument(help="Event time, RFC 3339, to the microsecond.")],
    as_json: Json = False,
) -> None:
    """Show where a reading is: the messages that carried it, its row, and what is made of it; 1 when it is nowhere."""
    found = running(_trace(context, device, observed_property, moment(time)))
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not found["row"] and not found["messages"]:
        raise typer.Exit(NOT_FOUND)


async def _trace(context: typer.Context, device: str, observed_property: str, time: datetime) -> dict[str, Any]:
    from maasloop.api.observation.v1 import accounts_pb2 as pb
    from maasloop.rpc import client
    from maasloop.rpc.times import timestamp_from

    name, property_name = name_in_district(device, "devices"), name_of(observed_property, "observedProperties")
    request = pb.TraceObservationRequest(device=name, observed_property=property_name, event_time=timestamp_from(time))
    async with opened(context, SERIES) as stub:
        trace = await client.call(stub.TraceObservation, request, timeout_s=CALL_TIMEOUT_S)
        row = plain(trace.row, whole=False) if trace.HasField("row") else None
        return {
            "device": name,
            "observed_property": property_name,
            "event_time": time.isoformat(),
            "messages": [_message(each) for each in trace.messages],
            "searched": [plain(each) for each in trace.searched_streams],
            "row": row,
            "latest": await _latest(stub, name, property_name) if row else None,
            "buckets": await _buckets(stub, name, property_name, time) if row and "value" in row else {},
        }


def _message(message: Any) -> dict[str, Any]:
    found = plain(message, whole=False)
    found["sequence"] = int(message.sequence)
    found["settled"] = message.settled
    match message.traceparent.split("-"):
        case [_version, trace_id, _span, _flags]:
            found["traceId"] = trace_id
        case _:
            found["traceId"] = ""
    return found


async def _latest(stub: Any, name: str, property_name: str) -> dict[str, Any] | None:
    """Return the newest observation of the series."""
    from maasloop.api.observation.v1 import series_service_pb2 as pb
    from maasloop.rpc import client

    request = pb.ListLatestObservationsRequest(selection=_selection(name, property_name))
    answer = await client.call(stub.ListLatestObservations, request, timeout_s=CALL_TIMEOUT_S)
    return plain(answer.observations[0], whole=False) if answer.observations else None


async def _buckets(stub: Any, name: str, property_name: str, time: datetime) -> dict[str, dict[str, Any]]:
    """Return the minute and the hour that hold the reading."""
    from maasloop.api.observation.v1 import series_service_pb2 as pb
    from maasloop.rpc import client
    from maasloop.rpc.times import duration_from_s, timestamp_from

    found = {}
    for word, width in BUCKETS.items():
        edge = time - (time - EDGES_FROM) % width
        request = pb.AggregateObservationsRequest(
            selection=_selection(name, property_name),
            start_time=timestamp_from(edge),
            end_time=timestamp_from(edge + width),
            bucket=duration_from_s(width.total_seconds()),
        )
        answer = await client.call(stub.AggregateObservations, request, timeout_s=CALL_TIMEOUT_S)
        buckets = [plain(bucket, whole=False) for series in answer.series for bucket in series.buckets]
        if buckets:
            found[word] = buckets[0]
    return found


def _selection(name: str, property_name: str) -> Any:
    from maasloop.api.observation.v1 import series_service_pb2 as pb

    district, _, device = name.partition("/devices/")
    return pb.SeriesSelection(
        parent=district,
        devices=[device],
        observed_properties=[property_name.removeprefix("observedProperties/")],
    )


def _print(found: Mapping[str, Any]) -> None:
    say(f"{found['device']}  {found['observed_property']}  {found['event_time']}")
    for message in found["messages"]:
        _print_message(message)
    if not found["messages"]:
        say("no message of the streams carries it (any more)")
    for part in found["searched"]:
        if not part["complete"]:
            say(f"{part['stream']} was searched up to message {part['lastSequence']} only")
    row = found["row"]
    if row is None:
        say("row       none")
        return
    say(f"row       {_result(row)}, received {row['receiptTime']}")
    latest = found["latest"]
    if latest is not None:
        same = "this reading" if latest["eventTime"] == row["eventTime"] else _result(latest)
        say(f"latest    {same}, of {latest['eventTime']}")
    for word, bucket in found["buckets"].items():
        figures = ", ".join(f"{name} {bucket[name]:g}" for name in ("mean", "min", "max") if name in bucket)
        say(f"{word:<9} from {bucket['startTime']}: {bucket['count']} readings, {figures}")


def _print_message(message: Mapping[str, Any]) -> None:
    where = "settled" if message["settled"] else "not settled yet"
    say(f"message   {message['stream']} {message['sequence']}, {where}, id {message.get('id', '')}")
    say(f"  door    {message.get('door') or 'not said'}, received {message['receiptTime']}")
    say(f"  acked   {message['acknowledgeTime']}")
    if "value" in message:
        say(f"  value   {message['value']:g}")
    if message.get("reason"):
        say(f"  refused {message['reason']}")
    if message["traceId"]:
        say(f"  trace   {message['traceId']}")


def _result(observation: Mapping[str, Any]) -> str:
    for kind in ("value", "state", "position"):
        if kind in observation:
            return f"{kind} {observation[kind]}"
    return "nothing"
