"""``maasloop subscriptions list | add | remove``."""

from typing import Annotated, Literal

import typer

from maasloop.cli.calling import NOTIFICATION, ask, listed, request_id
from maasloop.cli.names import district_name, name_in_district
from maasloop.cli.printing import Column, Json, Limit, say, show, show_one

app = typer.Typer(help="Who is told about alerts, where and in which language.", no_args_is_help=True)

COLUMNS = (
    Column("subscription", "name"),
    Column("categories", "categories"),
    Column("language", "language"),
    Column("webhook", "webhook.url"),
    Column("e-mail", "email.address"),
)


@app.command("list")
def list_subscriptions(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District.")],
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List subscriptions, ordered by name."""
    from maasloop.api.notification.v1.notification_service_pb2 import ListSubscriptionsRequest

    request = ListSubscriptionsRequest(parent=district_name(district))
    show(listed(context, NOTIFICATION, "ListSubscriptions", request, "subscriptions", limit), COLUMNS, as_json=as_json)


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="DISTRICT/SUBSCRIPTION: the name of the new one.")],
    *,
    webhook: Annotated[
        str, typer.Option(help="Address of an HTTP endpoint; the answer holds the secret, this once.")
    ] = "",
    email: Annotated[str, typer.Option(help="E-mail address instead.")] = "",
    language: Annotated[Literal["nl", "en"], typer.Option(help="Language of the messages.")] = "nl",
    category: Annotated[list[str] | None, typer.Option(help="Only this category; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Subscribe an endpoint or an address to the alerts of a district."""
    from maasloop.api.notification.v1 import alert_pb2
    from maasloop.api.notification.v1.notification_service_pb2 import CreateSubscriptionRequest
    from maasloop.core.ids import parse_name

    if bool(webhook) == bool(email):
        message = "give either --webhook or --email"
        raise typer.BadParameter(message)
    district, subscription_id = parse_name(name_in_district(name, "subscriptions"), "districts", "subscriptions")
    subscription = alert_pb2.Subscription(
        categories=category or [],
        language=language,
        webhook=alert_pb2.Webhook(url=webhook) if webhook else None,
        email=alert_pb2.Email(address=email) if email else None,
    )
    request = CreateSubscriptionRequest(
        parent=district_name(district),
        subscription_id=subscription_id,
        subscription=subscription,
        request_id=request_id(),
    )
    show_one(ask(context, NOTIFICATION, "CreateSubscription", request), as_json=as_json)


@app.command()
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="DISTRICT/SUBSCRIPTION, or the whole resource name.")],
) -> None:
    """End a subscription; what still waits for it is not delivered."""
    from maasloop.api.notification.v1.notification_service_pb2 import DeleteSubscriptionRequest

    request = DeleteSubscriptionRequest(name=name_in_district(name, "subscriptions"))
    ask(context, NOTIFICATION, "DeleteSubscription", request)
    say(f"{request.name} removed")
