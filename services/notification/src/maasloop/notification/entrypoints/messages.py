"""Values of the domain as messages of the contract, and back; the only place that knows both."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from maasloop.api.notification.v1 import alert_pb2
from maasloop.api.notification.v1.events_pb2 import AlertChanged
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.notification.domain.alert import Alert
from maasloop.notification.domain.delivery import Delivery
from maasloop.notification.domain.rule import AlertRule, CommandWatch, ObservationWatch, SilenceWatch, Watch
from maasloop.notification.domain.subscription import Email, Subscription, Webhook
from maasloop.rpc.times import duration_from_s, s_from_duration, timestamp_from

RULES = "alertRules"


def rule_from(message: alert_pb2.AlertRule, id_: str, etag: str, requester: str) -> AlertRule:
    """Return the rule of a message under its id, as somebody asks for it."""
    return AlertRule(
        id=id_,
        district=message.district,
        category=message.category,
        watch=_watch_from(message),
        title=dict(message.title),
        body=dict(message.body),
        etag=etag,
        requester=requester,
    )


def _watch_from(message: alert_pb2.AlertRule) -> Watch:
    kind = message.WhichOneof("watch")
    if kind == "observation":
        found = message.observation
        return ObservationWatch(found.observed_property, found.raise_condition, found.resolve_condition)
    if kind == "command":
        return CommandWatch(message.command.raise_condition, message.command.resolve_condition)
    if kind == "silence":
        return SilenceWatch(message.silence.observed_property, s_from_duration(message.silence.after))
    metadata = {"field": "alert_rule.watch", "rule": "oneof.required"}
    raise InvalidArgument(Reason.REQUEST_INVALID, "a rule watches observations, commands or silence", metadata)


def rule_message(rule: AlertRule) -> alert_pb2.AlertRule:
    """Return a rule as a message."""
    message = alert_pb2.AlertRule(
        name=f"{RULES}/{rule.id}",
        district=rule.district,
        category=rule.category,
        title=rule.title,
        body=rule.body,
        etag=rule.etag,
        disabled=rule.disabled,
        requester=rule.requester,
        approver=rule.approver,
    )
    watch = rule.watch
    if isinstance(watch, ObservationWatch):
        message.observation.observed_property = watch.observed_property
        message.observation.raise_condition = watch.raise_condition
        message.observation.resolve_condition = watch.resolve_condition
    elif isinstance(watch, CommandWatch):
        message.command.raise_condition = watch.raise_condition
        message.command.resolve_condition = watch.resolve_condition
    else:
        message.silence.observed_property = watch.observed_property
        message.silence.after.CopyFrom(duration_from_s(watch.after_s))
    return message


def subscription_from(message: alert_pb2.Subscription, district: str, id_: str) -> Subscription:
    """Return the subscription of a message under its id."""
    kind = message.WhichOneof("channel")
    if kind is None:
        metadata = {"field": "subscription.channel", "rule": "oneof.required"}
        raise InvalidArgument(Reason.REQUEST_INVALID, "a subscription has a webhook or an e-mail address", metadata)
    channel = (
        Webhook(message.webhook.url, message.webhook.secret) if kind == "webhook" else Email(message.email.address)
    )
    return Subscription(district, id_, frozenset(message.categories), message.language, channel)


def subscription_message(subscription: Subscription, *, with_secret: bool) -> alert_pb2.Subscription:
    """Return a subscription as a message; the secret only in the answer to its creation."""
    message = alert_pb2.Subscription(
        name=f"districts/{subscription.district}/subscriptions/{subscription.id}",
        categories=sorted(subscription.categories),
        language=subscription.language,
    )
    channel = subscription.channel
    if isinstance(channel, Webhook):
        message.webhook.url = channel.url
        message.webhook.secret = channel.secret if with_secret else ""
    else:
        message.email.address = channel.address
    return message


def alert_message(alert: Alert) -> alert_pb2.Alert:
    """Return an alert as a message."""
    return alert_pb2.Alert(
        name=f"districts/{alert.district}/alerts/{alert.id}",
        alert_rule=f"{RULES}/{alert.rule}",
        category=alert.category,
        device=alert.device,
        state=alert_pb2.Alert.State.Value(f"STATE_{alert.state}"),
        title=alert.title,
        body=alert.body,
        occurrence_count=alert.occurrence_count,
        raise_time=timestamp_from(alert.raise_time),
        acknowledge_time=_time(alert.acknowledge_time),
        acknowledger=alert.acknowledger,
        resolve_time=_time(alert.resolve_time),
    )


def alert_event(alert: Alert) -> bytes:
    """Return the body of the event of an alert."""
    return AlertChanged(alert=alert_message(alert)).SerializeToString()


def delivery_message(delivery: Delivery) -> alert_pb2.Delivery:
    """Return a delivery as a message."""
    return alert_pb2.Delivery(
        name=f"districts/{delivery.district}/deliveries/{delivery.id}",
        alert=f"districts/{delivery.district}/alerts/{delivery.alert}",
        subscription=f"districts/{delivery.district}/subscriptions/{delivery.subscription}",
        channel=delivery.channel,
        occasion=delivery.occasion,
        state=alert_pb2.Delivery.State.Value(f"STATE_{delivery.state}"),
        reason=delivery.reason,
        detail=delivery.detail,
        attempt_count=delivery.attempt_count,
        create_time=timestamp_from(delivery.create_time),
        next_attempt_time=_time(delivery.next_attempt_time),
        settle_time=_time(delivery.settle_time),
    )


def _time(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else timestamp_from(moment)
