"""``maasloop observations latest | query | watch``."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import typer

from maasloop.cli.calling import SERIES, ask, each, listed
from maasloop.cli.moments import length, moment
from maasloop.cli.names import district_name, enum_value
from maasloop.cli.printing import Column, Json, Limit, plain, print_json, say, show, show_rows

app = typer.Typer(help="What was observed.", no_args_is_help=True)

Devices = Annotated[list[str] | None, typer.Option("--device", help="Only this device; may be repeated.")]
Properties = Annotated[
    list[str] | None, typer.Option("--property", help="Only this observed property; may be repeated.")
]
District = Annotated[str, typer.Argument(help="District.")]

LATEST = (
    Column("device", "device"),
    Column("property", "observedProperty", "observedProperties/"),
    Column("time", "eventTime"),
    Column("value", "value"),
    Column("state", "state"),
    Column("position", "position"),
)
ROWS = (Column("time", "time"), Column("device", "device"), Column("property", "property"), Column("result", "result"))
BUCKETS = (
    Column("device", "device"),
    Column("property", "property"),
    Column("from", "startTime"),
    Column("count", "count"),
    Column("mean", "mean"),
    Column("min", "min"),
    Column("max", "max"),
    Column("first", "first"),
    Column("last", "last"),
)


@app.command()
def latest(
    context: typer.Context,
    district: District,
    device: Devices = None,
    observed_property: Properties = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """Show the newest observation of each series."""
    from maasloop.api.observation.v1 import series_service_pb2 as pb

    request = pb.ListLatestObservationsRequest(selection=_selection(district, device, observed_property))
    found = listed(context, SERIES, "ListLatestObservations", request, "observations", limit)
    if as_json:
        show(found, LATEST, as_json=True)
    else:
        show_rows([plain(observation, whole=False) for observation in found], LATEST, as_json=False)


@app.command()
def query(
    context: typer.Context,
    district: District,
    *,
    device: Devices = None,
    observed_property: Properties = None,
    start: Annotated[str, typer.Option("--from", help="First moment: -1h, now, or RFC 3339.")] = "-1h",
    end: Annotated[str, typer.Option("--to", help="First moment left out.")] = "now",
    bucket: Annotated[str, typer.Option(help="Figures of buckets of this width, for example 5m.")] = "",
    gaps: Annotated[
        Literal["none", "empty", "last", "linear"], typer.Option(help="What stands for an empty bucket.")
    ] = "none",
    together: Annotated[
        bool, typer.Option("--together", help="With --bucket: all devices together, by observed property.")
    ] = False,
    limit: Limit = 1_000,
    as_json: Json = False,
) -> None:
    """Show the observations of a range of time, or the figures of its buckets."""
    from maasloop.api.observation.v1 import series_service_pb2 as pb
    from maasloop.rpc.times import duration_from_s, timestamp_from

    common: dict[str, Any] = {
        "selection": _selection(district, device, observed_property),
        "start_time": timestamp_from(moment(start)),
        "end_time": timestamp_from(moment(end)),
    }
    if together and not bucket:
        message = "--together needs --bucket"
        raise typer.BadParameter(message)
    if not bucket:
        _query_rows(context, pb.ReadObservationsRequest(**common), limit, as_json=as_json)
        return
    request = pb.AggregateObservationsRequest(
        **common,
        bucket=duration_from_s(length(bucket).total_seconds()),
        gap_fill=enum_value(pb.GapFill, "GAP_FILL", None if gaps == "none" else gaps),
        grouping=pb.GROUPING_OBSERVED_PROPERTY if together else pb.GROUPING_UNSPECIFIED,
    )
    answer = ask(context, SERIES, "AggregateObservations", request)
    rows = [
        {"device": series.device, "property": series.observed_property, **plain(found, whole=False)}
        for series in answer.series
        for found in series.buckets
    ]
    show_rows(rows[:limit], BUCKETS, as_json=as_json)
    _tell_rest(len(rows), limit, as_json=as_json)


@app.command()
def watch(
    context: typer.Context,
    district: District,
    device: Devices = None,
    observed_property: Properties = None,
    as_json: Json = False,
) -> None:
    """Print observations as they are stored, until Ctrl-C."""
    from maasloop.api.observation.v1 import series_service_pb2 as pb

    def take(answer: Any) -> None:
        for row in rows_of(answer.observations):
            if as_json:
                print_json(row, line=True)
            else:
                say(f"{row['time']}  {row['device']:<24} {row['property']:<20} {row['result']}")

    request = pb.WatchObservationsRequest(selection=_selection(district, device, observed_property))
    each(context, SERIES, "WatchObservations", request, take)


def _query_rows(context: typer.Context, request: Any, limit: int, *, as_json: bool) -> None:
    rows: list[Mapping[str, Any]] = []
    total = 0

    def take(answer: Any) -> None:
        nonlocal total
        for row in rows_of(answer.observations):
            total += 1
            if len(rows) < limit:
                rows.append(row)

    each(context, SERIES, "ReadObservations", request, take)
    show_rows(rows, ROWS, as_json=as_json)
    _tell_rest(total, limit, as_json=as_json)


def _tell_rest(total: int, limit: int, *, as_json: bool) -> None:
    if total > limit and not as_json:
        say(f"{total - limit} more; see --limit")


def rows_of(columns: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of columns: numbers, then states, then positions."""
    names = columns.dictionary
    numbers = zip(columns.device_index, columns.property_index, columns.event_time_us, columns.value, strict=True)
    for device, observed, time_us, value in numbers:
        yield _row(names, device, observed, time_us, value)
    for state in columns.states:
        yield _row(names, state.device_index, state.property_index, state.event_time_us, state.state)
    for place in columns.positions:
        result = {"longitude": place.position.longitude, "latitude": place.position.latitude}
        yield _row(names, place.device_index, place.property_index, place.event_time_us, result)


def _row(names: Any, device: int, observed: int, time_us: int, result: object) -> dict[str, Any]:
    from maasloop.core.clock import from_us

    return {
        "time": from_us(time_us).isoformat().replace("+00:00", "Z"),
        "device": names.devices[device],
        "property": names.observed_properties[observed],
        "result": result,
    }


def _selection(district: str, devices: list[str] | None, properties: list[str] | None) -> Any:
    from maasloop.api.observation.v1 import series_service_pb2 as pb

    return pb.SeriesSelection(
        parent=district_name(district), devices=devices or [], observed_properties=properties or []
    )
