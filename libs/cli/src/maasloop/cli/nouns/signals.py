"""``maasloop signals explain | travel-times``."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from maasloop.cli.calling import COMMANDS, DEVICES, SERIES, ask, listed
from maasloop.cli.moments import moment
from maasloop.cli.names import district_name, name_in_district
from maasloop.cli.printing import Column, Json, plain, print_json, say, show_rows

app = typer.Typer(help="Traffic signals: why a controller decides so, and travel times.", no_args_is_help=True)

LINKS = (
    Column("link", "link"),
    Column("travel s", "travelS"),
    Column("queue", "queueLength"),
    Column("observed", "eventTime"),
    Column("age s", "ageS"),
)
DISTRICTS_MAX = 1_000
ASPECT = "SIGNAL_ASPECT_"
GREENS = frozenset({"SIGNAL_ASPECT_GREEN", "SIGNAL_ASPECT_GREEN_PERMISSIVE"})


@app.command(context_settings={"ignore_unknown_options": True})  # So that a time may be -10s.
def explain(
    context: typer.Context,
    junction: Annotated[str, typer.Argument(help="DISTRICT/DEVICE of the signal controller, or its device alone.")],
    time: Annotated[str, typer.Argument(help="Second of the district's clock: RFC 3339, now, or -10s.")],
    as_json: Json = False,
) -> None:
    """Show why a controller decided what it did in a second: stages compared, groups called, and what came of it."""
    second = int(moment(time).timestamp())
    decision = _decision(context, [f"{name}/signalDecisions/{second}" for name in _controllers(context, junction)])
    if as_json:
        print_json(decision)
        return
    for line in _lines(decision):
        say(line)


@app.command("travel-times")
def travel_times(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District.")],
    link: Annotated[list[str] | None, typer.Option(help="Only this link: the detector at its stop line.")] = None,
    route: Annotated[list[str] | None, typer.Option(help="Links one after the other, with commas between.")] = None,
    as_json: Json = False,
) -> None:
    """Show travel times and queues of links as they were reported last, and the sums of routes."""
    from maasloop.api.observation.v1.travel_times_pb2 import GetTravelTimesRequest, Route

    routes = [one.split(",") for one in route or ()]
    request = GetTravelTimesRequest(
        parent=district_name(district), links=link or (), routes=[Route(links=links) for links in routes]
    )
    found = plain(ask(context, SERIES, "GetTravelTimes", request))
    if as_json:
        print_json(found)
        return
    show_rows(found["links"], LINKS, as_json=False)
    for links, told in zip(routes, found["routes"], strict=True):
        way = " ".join(links)
        if "travelS" in told:
            say(f"{way}: {told['travelS']:.0f} s, {told['ageS']:.0f} s old at most")
        else:
            say(f"{way}: unknown, since nothing was reported of {' '.join(told['missingLinks'])}")


def _controllers(context: typer.Context, text: str) -> list[str]:
    """Return the resource name of a device; of one named without a district those of all districts that have it."""
    if "/" in text:
        return [name_in_district(text, "devices")]
    from maasloop.api.device.v1.device_service_pb2 import GetDeviceRequest, ListDistrictsRequest
    from maasloop.core.errors import NotFound

    districts = listed(context, DEVICES, "ListDistricts", ListDistrictsRequest(), "districts", DISTRICTS_MAX)
    found = []
    for district in districts:
        name = f"{district.name}/devices/{text}"
        try:
            ask(context, DEVICES, "GetDevice", GetDeviceRequest(name=name))
        except NotFound:
            continue
        found.append(name)
    if not found:
        message = f"no district has a device {text}"
        raise typer.BadParameter(message)
    return found


def _decision(context: typer.Context, names: Sequence[str]) -> dict[str, Any]:
    """Return the first decision of these that is kept; where none is, the service's refusal of the last one says why."""
    from maasloop.api.command.v1.command_service_pb2 import GetSignalDecisionRequest
    from maasloop.core.errors import NotFound

    for name in names[:-1]:
        try:
            return plain(ask(context, COMMANDS, "GetSignalDecision", GetSignalDecisionRequest(name=name)))
        except NotFound:
            continue
    return plain(ask(context, COMMANDS, "GetSignalDecision", GetSignalDecisionRequest(name=names[-1])))


def _lines(decision: Mapping[str, Any]) -> Iterator[str]:
    _, district, _, device, _, second = str(decision["name"]).split("/")
    at = datetime.fromtimestamp(int(second), UTC).isoformat().replace("+00:00", "Z")
    shown = frozenset(name for name, aspect in decision["aspects"].items() if aspect in GREENS)
    yield f"{district}/{device}  {at}  {decision['decision']}: {decision['detail']}"
    yield f"shown     {_groups(decision['aspects'])}"
    if decision["chosenSignalGroups"]:
        yield f"asked for {' '.join(decision['chosenSignalGroups'])} to be green"
    for stage in decision["stages"]:
        groups = stage["signalGroups"]
        yield f"stage     {stage['index']:.3f}  {' '.join(groups)}{'  (shown)' if shown == frozenset(groups) else ''}"
    for one in decision["calledGroups"]:
        yield f"called    {one['signalGroup']}, red for {one['redS']:.0f} s, called for {one['calledS']:.0f} s"
    command = decision.get("command")
    if command:
        outcome = f"{command['reason']} {command['detail']}".strip()
        state = command["state"].removeprefix("STATE_").lower()
        yield f"command   {command['name'].rpartition('/')[2]}  {state}{f': {outcome}' if outcome else ''}"


def _groups(aspects: Mapping[str, str]) -> str:
    """Return what the groups show, those of one aspect together."""
    by_aspect: dict[str, list[str]] = {}
    for name, aspect in sorted(aspects.items()):
        by_aspect.setdefault(aspect.removeprefix(ASPECT).lower().replace("_", " "), []).append(name)
    return "; ".join(f"{aspect}: {' '.join(names)}" for aspect, names in by_aspect.items()) or "nothing was heard"
