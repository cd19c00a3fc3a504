"""``maasloop overrides set | list | end``, and ``maasloop release DISTRICT``."""

from typing import Annotated

import typer

from maasloop.cli.calling import COMMANDS, ask, listed, request_id
from maasloop.cli.moments import moment
from maasloop.cli.names import district_name, name_in_district
from maasloop.cli.printing import Column, Json, Limit, show, show_one
from maasloop.cli.setpoints import Level, Local, Ramp, setpoint

app = typer.Typer(help="Setpoints that hold above policies until an end.", no_args_is_help=True)

Reason = Annotated[str, typer.Option("--why", help="Why, in a sentence, for the journal.")]

COLUMNS = (
    Column("override", "name"),
    Column("device", "device"),
    Column("group", "deviceGroup"),
    Column("setpoint", "setpoint"),
    Column("authority", "authority", "AUTHORITY_"),
    Column("until", "endTime"),
    Column("ended", "endedTime"),
    Column("why", "justification"),
)


@app.command("set")
def set_override(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District.")],
    *,
    why: Reason,
    until: Annotated[str, typer.Option(help="When it ends by itself: +30m, or RFC 3339; at most 24 h ahead.")],
    device: Annotated[str, typer.Option(help="The device.")] = "",
    group: Annotated[str, typer.Option(help="All devices of this group instead.")] = "",
    level: Level = None,
    ramp: Ramp = 0.0,
    local: Local = False,
    emergency: Annotated[
        bool, typer.Option("--emergency", help="With the authority of the emergency services.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Hold a setpoint on a device or a group until an end."""
    from maasloop.api.command.v1 import command_pb2
    from maasloop.api.command.v1.command_service_pb2 import Override, SetOverrideRequest
    from maasloop.rpc.times import timestamp_from

    if bool(device) == bool(group):
        message = "give either --device or --group"
        raise typer.BadParameter(message)
    override = Override(
        setpoint=setpoint(level, ramp, local=local),
        end_time=timestamp_from(moment(until)),
        authority=command_pb2.AUTHORITY_EMERGENCY if emergency else command_pb2.AUTHORITY_OPERATOR,
        justification=why,
    )
    if device:
        override.device = device
    else:
        override.device_group = group
    request = SetOverrideRequest(parent=district_name(district), override=override, request_id=request_id())
    show_one(ask(context, COMMANDS, "SetOverride", request), as_json=as_json)


@app.command("list")
def list_overrides(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District.")],
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List overrides, those in force first."""
    from maasloop.api.command.v1.command_service_pb2 import ListOverridesRequest

    request = ListOverridesRequest(parent=district_name(district))
    show(listed(context, COMMANDS, "ListOverrides", request, "overrides", limit), COLUMNS, as_json=as_json)


@app.command()
def end(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="DISTRICT/OVERRIDE, or the whole resource name.")],
    as_json: Json = False,
) -> None:
    """End an override before its time."""
    from maasloop.api.command.v1.command_service_pb2 import EndOverrideRequest

    request = EndOverrideRequest(name=name_in_district(name, "overrides"))
    show_one(ask(context, COMMANDS, "EndOverride", request), as_json=as_json)


def release(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District.")],
    why: Reason,
    resume: Annotated[bool, typer.Option("--resume", help="Take the district up again instead.")] = False,
    as_json: Json = False,
) -> None:
    """Return everything in a district to local control, until it is taken up again."""
    from maasloop.api.command.v1.command_service_pb2 import ReleaseDistrictRequest

    request = ReleaseDistrictRequest(name=district_name(district), resume=resume, justification=why)
    show_one(ask(context, COMMANDS, "ReleaseDistrict", request), as_json=as_json)
