"""``maasloop alerts list | ack | resolve``."""

from typing import Annotated, Literal

import typer

from maasloop.cli.calling import NOTIFICATION, ask, listed
from maasloop.cli.names import district_name, enum_value, name_in_district
from maasloop.cli.printing import Column, Json, Limit, show, show_one

app = typer.Typer(help="Alerts: raised, acknowledged, resolved.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="DISTRICT/ALERT, or the whole resource name.")]

COLUMNS = (
    Column("alert", "name"),
    Column("state", "state", "STATE_"),
    Column("category", "category"),
    Column("device", "device"),
    Column("title", "title.en"),
    Column("times", "occurrenceCount"),
    Column("raised", "raiseTime"),
    Column("by", "acknowledger"),
    Column("resolved", "resolveTime"),
)


@app.command("list")
def list_alerts(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District.")],
    state: Annotated[
        Literal["raised", "acknowledged", "resolved"] | None, typer.Option(help="Only in this state.")
    ] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List alerts, newest first."""
    from maasloop.api.notification.v1 import alert_pb2
    from maasloop.api.notification.v1.notification_service_pb2 import ListAlertsRequest

    request = ListAlertsRequest(parent=district_name(district), state=enum_value(alert_pb2.Alert.State, "STATE", state))
    show(listed(context, NOTIFICATION, "ListAlerts", request, "alerts", limit), COLUMNS, as_json=as_json)


@app.command()
def ack(
    context: typer.Context,
    name: Name,
    by: Annotated[str, typer.Option(help="Who takes it; as whom you call if not given.")] = "",
    as_json: Json = False,
) -> None:
    """Take a raised alert."""
    from maasloop.api.notification.v1.notification_service_pb2 import AcknowledgeAlertRequest

    request = AcknowledgeAlertRequest(name=name_in_district(name, "alerts"), acknowledger=by)
    show_one(ask(context, NOTIFICATION, "AcknowledgeAlert", request), as_json=as_json)


@app.command()
def resolve(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """End an alert."""
    from maasloop.api.notification.v1.notification_service_pb2 import ResolveAlertRequest

    request = ResolveAlertRequest(name=name_in_district(name, "alerts"))
    show_one(ask(context, NOTIFICATION, "ResolveAlert", request), as_json=as_json)
