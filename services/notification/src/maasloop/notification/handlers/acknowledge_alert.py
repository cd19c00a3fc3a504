"""Somebody takes an alert."""

from maasloop.core.clock import Clock
from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason
from maasloop.notification.domain.alert import Alert, Announcement, Occasion, acknowledged
from maasloop.notification.ports import Alerts


class AcknowledgeAlert:
    """Acknowledges; doing it again changes nothing."""

    def __init__(self, alerts: Alerts, clock: Clock) -> None:
        self._alerts = alerts
        self._clock = clock

    async def __call__(self, district: str, alert_id: str, acknowledger: str) -> Alert:
        """Return the alert as it is then."""
        async with self._alerts.change() as change:
            alert = await change.find(district, alert_id)
            if alert is None:
                name = f"districts/{district}/alerts/{alert_id}"
                raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
            taken = acknowledged(alert, acknowledger, self._clock.now())
            if taken is not alert:
                await change.save([taken], [Announcement(taken, Occasion.ACKNOWLEDGED)])
        return taken
