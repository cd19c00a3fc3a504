"""A rule that is not wanted any more; its open alerts are resolved with it."""

from maasloop.core.clock import Clock
from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason
from maasloop.notification.domain.alert import Announcement, Occasion, resolved
from maasloop.notification.ports import Alerts


class DeleteRule:
    """Deletes a rule."""

    def __init__(self, alerts: Alerts, clock: Clock) -> None:
        self._alerts = alerts
        self._clock = clock

    async def __call__(self, rule: str) -> None:
        """Return when it is gone."""
        async with self._alerts.change() as change:
            if not await change.delete_rule(rule):
                name = f"alertRules/{rule}"
                raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
            now = self._clock.now()
            ended = [resolved(alert, now) for alert in await change.open_of(rule)]
            await change.save(ended, [Announcement(alert, Occasion.RESOLVED) for alert in ended])
