"""Subscriptions: who is told, about what, where and in which language."""

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import urlsplit

from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason

from .text import LANGUAGES

SUBSCRIPTIONS_MAX = 1_000
"""Subscriptions of one district."""
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that Standard Webhooks prescribes
SECRET_BYTES_MIN = 24
SECRET_BYTES_MAX = 64
SECRET_BYTES_MADE = 32


@dataclass(frozen=True, slots=True)
class Webhook:
    """An HTTP endpoint; the secret is ``whsec_`` and base64."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail address."""

    address: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told; no categories means all."""

    district: str
    id: str
    categories: frozenset[str]
    language: str
    channel: Webhook | Email

    def wants(self, category: str) -> bool:
        """Tell whether alerts of this category are asked for."""
        return not self.categories or category in self.categories


def channel_name(channel: Webhook | Email) -> str:
    """Return ``webhook`` or ``email``."""
    return "webhook" if isinstance(channel, Webhook) else "email"


def made_secret(random: bytes) -> str:
    """Return a secret made of random bytes."""
    return SECRET_PREFIX + base64.b64encode(random).decode()


def require_subscription(subscription: Subscription) -> None:
    """Refuse a subscription that nothing could be delivered to."""
    require_id(subscription.district, "parent")
    require_id(subscription.id, "subscription_id")
    for category in subscription.categories:
        require_id(category, "subscription.categories")
    if subscription.language not in LANGUAGES:
        metadata = {"field": "subscription.language", "rule": "string.in"}
        raise InvalidArgument(Reason.REQUEST_INVALID, f"the languages are {' and '.join(LANGUAGES)}", metadata)
    if isinstance(subscription.channel, Webhook):
        _require_url(subscription.channel.url)
        _require_secret(subscription.channel.secret)
    elif not subscription.channel.address.isprintable():
        raise _unusable("email.address", "it holds control characters")


def _require_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise _unusable("webhook.url", "it cannot be read") from None
    if not usable or not url.isprintable() or " " in url:
        raise _unusable("webhook.url", "http:// or https:// and a host are needed")
    if parts.username is not None or parts.password is not None:
        raise _unusable("webhook.url", "a user name or password does not belong into it; deliveries are signed")


def _require_secret(secret: str) -> None:
    coded = secret.removeprefix(SECRET_PREFIX)
    try:
        size = len(base64.b64decode(coded, validate=True)) if coded != secret else 0
    except (binascii.Error, ValueError):
        size = 0
    if not SECRET_BYTES_MIN <= size <= SECRET_BYTES_MAX:
        message = f"a secret is {SECRET_PREFIX} and base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes"
        metadata = {"field": "subscription.webhook.secret", "rule": "string.secret"}
        raise InvalidArgument(Reason.REQUEST_INVALID, message, metadata)


def _unusable(field: str, why: str) -> InvalidArgument:
    metadata = {"field": f"subscription.{field}"}
    return InvalidArgument(Reason.ADDRESS_INVALID, f"subscription.{field} is not usable: {why}", metadata)
