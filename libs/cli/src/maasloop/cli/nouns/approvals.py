"""``maasloop approvals list | request | grant``."""

from typing import Annotated

import typer

from maasloop.cli.calling import COMMANDS, ask, listed, request_id
from maasloop.cli.names import district_name, name_in_district
from maasloop.cli.nouns.commands import show_issued
from maasloop.cli.printing import Column, Json, Limit, show, show_one
from maasloop.cli.setpoints import Whole, setpoint

app = typer.Typer(help="What one person alone may not order.", no_args_is_help=True)

COLUMNS = (
    Column("approval", "name"),
    Column("device", "device"),
    Column("requester", "requester"),
    Column("approver", "approver"),
    Column("why", "justification"),
    Column("expires", "expireTime"),
)


@app.command("list")
def list_approvals(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District.")],
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List approvals, newest first; one without an approver is pending, or was not granted in time."""
    from maasloop.api.command.v1.command_service_pb2 import ListApprovalsRequest

    request = ListApprovalsRequest(parent=district_name(district))
    show(listed(context, COMMANDS, "ListApprovals", request, "approvals", limit), COLUMNS, as_json=as_json)


@app.command()
def request(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="DISTRICT/DEVICE.")],
    why: Annotated[str, typer.Option(help="The reason, in a sentence, for those who grant it.")],
    whole: Whole,
    as_json: Json = False,
) -> None:
    """Ask for a dark controller, a clock or another security code; somebody else must grant it within 15 minutes."""
    from maasloop.api.command.v1.command_service_pb2 import Approval, RequestApprovalRequest
    from maasloop.core.ids import DeviceName

    name = DeviceName.parse(name_in_district(device, "devices"))
    wanted = Approval(device=name.device, setpoint=setpoint(None, 0.0, local=False, whole=whole), justification=why)
    asked = RequestApprovalRequest(parent=district_name(name.district), approval=wanted, request_id=request_id())
    show_one(ask(context, COMMANDS, "RequestApproval", asked), as_json=as_json)


@app.command()
def grant(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="DISTRICT/APPROVAL, or the whole resource name.")],
    as_json: Json = False,
) -> None:
    """Agree to what somebody else asked for; it becomes a command at once."""
    from maasloop.api.command.v1.command_service_pb2 import GrantApprovalRequest

    answer = ask(context, COMMANDS, "GrantApproval", GrantApprovalRequest(name=name_in_district(name, "approvals")))
    show_issued(answer, as_json=as_json)
