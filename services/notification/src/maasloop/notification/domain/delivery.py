"""Deliveries: one message to one subscription, tried until it is taken, refused or given up.

The message is written once, when the alert changes, so that every attempt sends the same bytes under the same id.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from maasloop.core.reasons import Reason

from .alert import Alert, Announcement, Occasion
from .subscription import Email, Subscription, Webhook, channel_name
from .text import DUTCH, ENGLISH

PAUSES_S = (5.0, 30.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Pause after each failed attempt; after the last one the delivery is given up, about three days later."""
JITTER_SHARE = 0.1
"""A pause is longer by up to this share, so that what failed together does not come back together."""
RETRY_AFTER_MAX_S = 3_600.0
DETAIL_LENGTH_MAX = 500

_HEADLINES = {
    (DUTCH, Occasion.RAISED): "Melding",
    (DUTCH, Occasion.ACKNOWLEDGED): "In behandeling",
    (DUTCH, Occasion.RESOLVED): "Opgelost",
    (ENGLISH, Occasion.RAISED): "Alert",
    (ENGLISH, Occasion.ACKNOWLEDGED): "Acknowledged",
    (ENGLISH, Occasion.RESOLVED): "Resolved",
}
_FOOTERS = {
    DUTCH: "Wijk {district}, apparaat {device}, {count} keer gezien. Kenmerk {alert}.",
    ENGLISH: "District {district}, device {device}, seen {count} times. Reference {alert}.",
}


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one subscription; ``id`` is the webhook id and the local part of the mail's Message-ID."""

    district: str
    id: str
    alert: str
    subscription: str
    channel: str
    occasion: Occasion
    language: str
    subject: str
    content: str
    state: DeliveryState
    create_time: datetime
    next_attempt_time: datetime | None
    reason: str = ""
    detail: str = ""
    attempt_count: int = 0
    settle_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this process alone may try until its lease ends, and where it goes."""

    delivery: Delivery
    target: Webhook | Email


@dataclass(frozen=True, slots=True)
class Taken:
    """The receiving side took it."""

    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiving side, or its address, will never take it."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """It may be taken later."""

    detail: str
    retry_after_s: float = 0.0


type Attempt = Taken | Refused | Deferred


def written_for(announcement: Announcement, subscription: Subscription, *, new_id: str, now: datetime) -> Delivery:
    """Write the message of a change of an alert to a subscription."""
    alert, occasion = announcement
    channel = channel_name(subscription.channel)
    content = _mail if isinstance(subscription.channel, Email) else _payload
    return Delivery(
        district=alert.district,
        id=new_id,
        alert=alert.id,
        subscription=subscription.id,
        channel=channel,
        occasion=occasion,
        language=subscription.language,
        subject=f"{_HEADLINES[subscription.language, occasion]}: {_line(alert.title[subscription.language])}",
        content=content(alert, occasion, subscription.language, now),
        state=DeliveryState.PENDING,
        create_time=now,
        next_attempt_time=now,
    )


def settled(
    delivery: Delivery, attempt: Attempt, *, now: datetime, pauses_s: Sequence[float], jitter: float
) -> Delivery:
    """Return the delivery after its last attempt; ``jitter`` lies between 0 and 1."""
    detail = attempt.detail[:DETAIL_LENGTH_MAX]
    if isinstance(attempt, Taken):
        return _ended(delivery, DeliveryState.DELIVERED, "", detail, now)
    if isinstance(attempt, Refused):
        return _ended(delivery, DeliveryState.FAILED, attempt.reason, detail, now)
    if delivery.attempt_count > len(pauses_s):
        return _ended(delivery, DeliveryState.FAILED, Reason.DELIVERY_EXHAUSTED, detail, now)
    pause_s = pauses_s[delivery.attempt_count - 1] * (1 + JITTER_SHARE * jitter)
    pause_s = max(pause_s, min(attempt.retry_after_s, RETRY_AFTER_MAX_S))
    return replace(delivery, detail=detail, next_attempt_time=now + timedelta(seconds=pause_s))


def _ended(delivery: Delivery, state: DeliveryState, reason: str, detail: str, now: datetime) -> Delivery:
    return replace(delivery, state=state, reason=reason, detail=detail, settle_time=now, next_attempt_time=None)


def _payload(alert: Alert, occasion: Occasion, language: str, now: datetime) -> str:
    data = {
        "alert": f"districts/{alert.district}/alerts/{alert.id}",
        "alert_rule": f"alertRules/{alert.rule}",
        "device": f"districts/{alert.district}/devices/{alert.device}",
        "category": alert.category,
        "state": alert.state.value.lower(),
        "language": language,
        "title": alert.title[language],
        "body": alert.body[language],
        "occurrence_count": alert.occurrence_count,
        "raise_time": _stamp(alert.raise_time),
        "acknowledge_time": _stamp(alert.acknowledge_time),
        "acknowledger": alert.acknowledger or None,
        "resolve_time": _stamp(alert.resolve_time),
    }
    whole = {"type": f"alert.{occasion}", "timestamp": _stamp(now), "data": data}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _mail(alert: Alert, occasion: Occasion, language: str, _now: datetime) -> str:
    footer = _FOOTERS[language].format(
        district=alert.district, device=alert.device, count=alert.occurrence_count, alert=alert.id
    )
    headline = f"{_HEADLINES[language, occasion]}: {alert.title[language]}"
    return f"{headline}\n\n{alert.body[language]}\n\n-- \n{footer}\n"


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _line(text: str) -> str:
    return " ".join(text.split())
