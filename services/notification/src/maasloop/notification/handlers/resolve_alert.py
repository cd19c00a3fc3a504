"""Somebody ends an alert."""

from maasloop.core.clock import Clock
from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason
from maasloop.notification.domain.alert import Alert, Announcement, Occasion, resolved
from maasloop.notification.domain.watchlist import Watchlist
from maasloop.notification.ports import Alerts


class ResolveAlert:
    """Resolves; doing it again changes nothing. Where the condition still holds, the next reading raises a new alert."""

    def __init__(self, alerts: Alerts, watchlist: Watchlist, clock: Clock) -> None:
        self._alerts = alerts
        self._watchlist = watchlist
        self._clock = clock

    async def __call__(self, district: str, alert_id: str) -> Alert:
        """Return the alert as it is then."""
        async with self._alerts.change() as change:
            alert = await change.find(district, alert_id)
            if alert is None:
                name = f"districts/{district}/alerts/{alert_id}"
                raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
            ended = resolved(alert, self._clock.now())
            if ended is not alert:
                await change.save([ended], [Announcement(ended, Occasion.RESOLVED)])
        self._watchlist.closed(ended.key)
        return ended
