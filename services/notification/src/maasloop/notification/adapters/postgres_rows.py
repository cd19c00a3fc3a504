"""Rows of the tables as values of the domain, and back."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from psycopg.types.json import Jsonb

from maasloop.notification.domain.alert import Alert, AlertState, Occasion
from maasloop.notification.domain.delivery import Delivery, DeliveryState
from maasloop.notification.domain.rule import AlertRule, CommandWatch, ObservationWatch, SilenceWatch, Watch
from maasloop.notification.domain.subscription import Email, Subscription, Webhook

type Row = Sequence[Any]

_KINDS: dict[str, type[Watch]] = {
    "observation": ObservationWatch,
    "command": CommandWatch,
    "silence": SilenceWatch,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def rule_row(rule: AlertRule) -> Row:
    """Return a rule as a row."""
    watch = {"kind": _NAMES[type(rule.watch)], **asdict(rule.watch)}
    texts = Jsonb(dict(rule.title)), Jsonb(dict(rule.body))
    return (rule.id, rule.district, rule.category, Jsonb(watch), *texts, rule.etag, rule.disabled, *_persons(rule))


def rule_of(row: Row) -> AlertRule:
    """Return the rule of a row."""
    # An answer that was kept before rules had persons has none.
    id_, district, category, watch, title, body, etag, disabled, *persons = row
    fields = dict(watch)
    kind = _KINDS[fields.pop("kind")]
    return AlertRule(id_, district, category, kind(**fields), title, body, etag, disabled, *persons)


def _persons(rule: AlertRule) -> Row:
    return rule.requester, rule.approver, rule.create_time_us


def alert_row(alert: Alert) -> Row:
    """Return an alert as a row."""
    return (
        alert.district,
        alert.id,
        alert.rule,
        alert.category,
        alert.device,
        alert.state.value,
        Jsonb(alert.title),
        Jsonb(alert.body),
        alert.occurrence_count,
        alert.raise_time,
        alert.event_us,
        alert.acknowledge_time,
        alert.acknowledger,
        alert.resolve_time,
    )


def alert_of(row: Row) -> Alert:
    """Return the alert of a row."""
    return Alert(
        district=row[0],
        id=row[1],
        rule=row[2],
        category=row[3],
        device=row[4],
        state=AlertState(row[5]),
        title=row[6],
        body=row[7],
        occurrence_count=row[8],
        raise_time=row[9],
        event_us=row[10],
        acknowledge_time=row[11],
        acknowledger=row[12],
        resolve_time=row[13],
    )


def subscription_row(subscription: Subscription) -> Row:
    """Return a subscription as a row."""
    channel = subscription.channel
    hook = channel if isinstance(channel, Webhook) else None
    return (
        subscription.district,
        subscription.id,
        sorted(subscription.categories),
        subscription.language,
        hook and hook.url,
        hook and hook.secret,
        channel.address if isinstance(channel, Email) else None,
    )


def subscription_of(row: Row) -> Subscription:
    """Return the subscription of a row."""
    district, id_, categories, language, url, secret, address = row
    channel = Webhook(url, secret) if url is not None else Email(address)
    return Subscription(district, id_, frozenset(categories), language, channel)


def delivery_row(delivery: Delivery) -> Row:
    """Return a delivery as a row."""
    return (
        delivery.district,
        delivery.id,
        delivery.alert,
        delivery.subscription,
        delivery.channel,
        delivery.occasion.value,
        delivery.language,
        delivery.subject,
        delivery.content,
        delivery.state.value,
        delivery.reason,
        delivery.detail,
        delivery.attempt_count,
        delivery.create_time,
        delivery.next_attempt_time,
        delivery.settle_time,
    )


def delivery_of(row: Row) -> Delivery:
    """Return the delivery of a row."""
    return Delivery(
        district=row[0],
        id=row[1],
        alert=row[2],
        subscription=row[3],
        channel=row[4],
        occasion=Occasion(row[5]),
        language=row[6],
        subject=row[7],
        content=row[8],
        state=DeliveryState(row[9]),
        reason=row[10],
        detail=row[11],
        attempt_count=row[12],
        create_time=row[13],
        next_attempt_time=row[14],
        settle_time=row[15],
    )


def rows_of(found: Sequence[object]) -> list[Row]:
    """Return what a cursor fetched as rows."""
    return cast("list[Row]", list(found))
