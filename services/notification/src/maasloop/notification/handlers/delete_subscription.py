"""Somebody does not want to be told any more."""

from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason
from maasloop.notification.ports import Subscriptions


class DeleteSubscription:
    """Deletes a subscription; its pending deliveries fail."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions

    async def __call__(self, district: str, subscription: str) -> None:
        """Return when it is gone."""
        if not await self._subscriptions.delete(district, subscription):
            name = f"districts/{district}/subscriptions/{subscription}"
            raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
