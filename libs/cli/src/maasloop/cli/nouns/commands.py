"""``maasloop commands list | issue | cancel | watch``."""

from typing import Annotated, Any, Literal

import typer

from maasloop.cli.calling import COMMANDS, ask, each, listed, request_id
from maasloop.cli.moments import moment
from maasloop.cli.names import district_name, enum_value, name_in_district
from maasloop.cli.printing import Column, Json, Limit, plain, print_json, say, show, show_one
from maasloop.cli.setpoints import Level, Local, Ramp, Whole, setpoint

app = typer.Typer(help="Commands to streetlights and traffic signals.", no_args_is_help=True)

State = Literal["accepted", "dispatched", "acknowledged", "verified", "failed", "expired", "superseded", "refused"]
AUTHORITIES = Literal["schedule", "adaptive", "priority", "operator", "emergency"]

COLUMNS = (
    Column("command", "name"),
    Column("device", "device"),
    Column("state", "state", "STATE_"),
    Column("reason", "reason"),
    Column("authority", "authority", "AUTHORITY_"),
    Column("issuer", "issuer"),
    Column("cause", "cause"),
    Column("created", "createTime"),
    Column("settled", "settleTime"),
)


@app.command("list")
def list_commands(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District.")],
    state: Annotated[State | None, typer.Option(help="Only in this state.")] = None,
    device: Annotated[str, typer.Option(help="Only to this device.")] = "",
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List commands, newest first."""
    from maasloop.api.command.v1 import command_pb2, command_service_pb2

    request = command_service_pb2.ListCommandsRequest(
        parent=district_name(district),
        device=device,
        state=enum_value(command_pb2.Command.State, "STATE", state),
    )
    show(listed(context, COMMANDS, "ListCommands", request, "commands", limit), COLUMNS, as_json=as_json)


@app.command()
def issue(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="DISTRICT/DEVICE.")],
    *,
    level: Level = None,
    ramp: Ramp = 0.0,
    local: Local = False,
    whole: Whole = "",
    authority: Annotated[AUTHORITIES, typer.Option(help="With which authority.")] = "operator",
    expires: Annotated[
        str, typer.Option(help="When it expires, for example +10m; the service decides if not given.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Ask a device for a setpoint, through arbitration and the safety kernel."""
    from maasloop.api.command.v1 import command_pb2
    from maasloop.api.command.v1.command_service_pb2 import IssueCommandRequest
    from maasloop.core.ids import DeviceName
    from maasloop.rpc.times import timestamp_from

    name = DeviceName.parse(name_in_district(device, "devices"))
    command = command_pb2.Command(
        device=name.device,
        setpoint=setpoint(level, ramp, local=local, whole=whole),
        authority=enum_value(command_pb2.Authority, "AUTHORITY", authority),
        expire_time=timestamp_from(moment(expires)) if expires else None,
    )
    request = IssueCommandRequest(parent=district_name(name.district), command=command, request_id=request_id())
    show_issued(ask(context, COMMANDS, "IssueCommand", request), as_json=as_json)


def show_issued(command: Any, *, as_json: bool) -> None:
    """Print a command; one that was refused ends the process with its reason."""
    show_one(command, as_json=as_json)
    if command.state == command.STATE_REFUSED:
        typer.echo(f"maasloop: refused: {command.reason}: {command.detail}", err=True)
        raise typer.Exit(1)


@app.command()
def cancel(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="DISTRICT/COMMAND, or the whole resource name.")],
    as_json: Json = False,
) -> None:
    """Withdraw a command that is not settled yet."""
    from maasloop.api.command.v1.command_service_pb2 import CancelCommandRequest

    request = CancelCommandRequest(name=name_in_district(name, "commands"))
    show_one(ask(context, COMMANDS, "CancelCommand", request), as_json=as_json)


@app.command()
def watch(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District.")],
    device: Annotated[str, typer.Option(help="Only to this device.")] = "",
    as_json: Json = False,
) -> None:
    """Print each change of a command's state, until Ctrl-C."""
    from maasloop.api.command.v1.command_service_pb2 import WatchCommandsRequest

    def take(answer: Any) -> None:
        if not answer.HasField("command"):
            return
        command = plain(answer.command)
        if as_json:
            print_json(command, line=True)
        else:
            say("  ".join(column.cell(command) or "-" for column in COLUMNS[:6]))

    each(context, COMMANDS, "WatchCommands", WatchCommandsRequest(parent=district_name(district), device=device), take)
