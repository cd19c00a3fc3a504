"""``maasloop deliveries list``."""

from typing import Annotated, Literal

import typer

from maasloop.cli.calling import NOTIFICATION, listed
from maasloop.cli.names import district_name, enum_value, name_in_district
from maasloop.cli.printing import Column, Json, Limit, show

app = typer.Typer(help="Messages to subscriptions, and what became of them.", no_args_is_help=True)

COLUMNS = (
    Column("delivery", "name"),
    Column("state", "state", "STATE_"),
    Column("reason", "reason"),
    Column("channel", "channel"),
    Column("occasion", "occasion"),
    Column("subscription", "subscription"),
    Column("attempts", "attemptCount"),
    Column("next", "nextAttemptTime"),
    Column("detail", "detail"),
)


@app.callback()
def _noun() -> None:
    """Keep the verb, though there is only one."""


@app.command("list")
def list_deliveries(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District.")],
    state: Annotated[Literal["pending", "delivered", "failed"] | None, typer.Option(help="Only in this state.")] = None,
    alert: Annotated[str, typer.Option(help="Only of this alert.")] = "",
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List deliveries, newest first."""
    from maasloop.api.notification.v1 import alert_pb2
    from maasloop.api.notification.v1.notification_service_pb2 import ListDeliveriesRequest

    request = ListDeliveriesRequest(
        parent=district_name(district),
        state=enum_value(alert_pb2.Delivery.State, "STATE", state),
        alert=name_in_district(alert, "alerts") if alert else "",
    )
    show(listed(context, NOTIFICATION, "ListDeliveries", request, "deliveries", limit), COLUMNS, as_json=as_json)
