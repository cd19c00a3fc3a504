"""Somebody wants to be told."""

from collections.abc import Callable
from dataclasses import replace

from maasloop.core.requests import Request
from maasloop.notification.domain.subscription import (
    SECRET_BYTES_MADE,
    Subscription,
    Webhook,
    made_secret,
    require_subscription,
)
from maasloop.notification.ports import Subscriptions


class CreateSubscription:
    """Stores a subscription; a webhook without a secret gets one."""

    def __init__(self, subscriptions: Subscriptions, random: Callable[[int], bytes]) -> None:
        self._subscriptions = subscriptions
        self._random = random

    async def __call__(self, subscription: Subscription, request: Request) -> Subscription:
        """Return the stored subscription, with its secret."""
        channel = subscription.channel
        if isinstance(channel, Webhook) and not channel.secret:
            channel = replace(channel, secret=made_secret(self._random(SECRET_BYTES_MADE)))
            subscription = replace(subscription, channel=channel)
        require_subscription(subscription)
        return await self._subscriptions.add(subscription, request)
