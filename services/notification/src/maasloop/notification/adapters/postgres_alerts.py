"""Alerts in PostgreSQL: their rows, their events and their deliveries change in one transaction."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import uuid4

from maasloop.bus import subjects
from maasloop.core.clock import Clock, from_us
from maasloop.core.requests import Page
from maasloop.notification.adapters import sql
from maasloop.notification.adapters.postgres import fetch, transaction
from maasloop.notification.adapters.postgres_rows import alert_of, alert_row, delivery_row, subscription_of
from maasloop.notification.domain.alert import Alert, AlertKey, AlertState, Announcement, Occasion, Standing
from maasloop.notification.domain.delivery import Delivery, written_for
from maasloop.notification.ports import TimedPosition
from maasloop.postgres.pool import Connection, Pool
from maasloop.runtime.outbox import OutboxRow, append
from maasloop.telemetry import tracing

FACTS = {
    Occasion.RAISED: subjects.ALERT_RAISED,
    Occasion.ACKNOWLEDGED: subjects.ALERT_ACKNOWLEDGED,
    Occasion.RESOLVED: subjects.ALERT_RESOLVED,
}

type Encode = Callable[[Alert], bytes]
"""Returns the body of the event of an alert."""


class PostgresAlertChange:
    """A transaction over alerts. Whoever changes alerts locks their rules first, in order, so that nobody waits in a ring."""

    def __init__(self, connection: Connection, clock: Clock, encode: Encode) -> None:
        self._connection = connection
        self._clock = clock
        self._encode = encode

    async def lock_rules(self, rules: Sequence[str]) -> frozenset[str]:
        """Keep others from changing alerts of these rules until the end, and return those that exist and are enabled."""
        rows = await fetch(self._connection, sql.LOCK_RULES, (list(rules),))
        return frozenset(str(row[0]) for row in rows if not row[1])

    async def standings(self, keys: Sequence[AlertKey]) -> Mapping[AlertKey, Standing]:
        """Return what is known of rules and devices; nothing for those never heard of."""
        arguments = ([key.rule for key in keys], [key.device for key in keys])
        alerts = [alert_of(row) for row in await fetch(self._connection, sql.STANDINGS, arguments)]
        return {alert.key: Standing(alert if alert.open else None, alert.event_us) for alert in alerts}

    async def raised_since(self, rules: Sequence[str], since: datetime) -> Mapping[str, int]:
        """Count the alerts that each rule raised after a time."""
        rows = await fetch(self._connection, sql.RAISED_SINCE, (list(rules), since))
        return {str(rule): int(count) for rule, count in rows}

    async def find(self, district: str, alert: str) -> Alert | None:
        """Return an alert and keep others from changing it."""
        await self._connection.execute(sql.LOCK_ALERT_RULE, (district, alert))
        rows = await fetch(self._connection, sql.LOCK_ALERT, (district, alert))
        return alert_of(rows[0]) if rows else None

    async def open_of(self, rule: str) -> Sequence[Alert]:
        """Return the open alerts of a rule, locked."""
        return [alert_of(row) for row in await fetch(self._connection, sql.OPEN_ALERTS_OF, (rule,))]

    async def delete_rule(self, rule: str) -> bool:
        """Delete a rule, and tell whether it existed."""
        return (await self._connection.execute(sql.DELETE_RULE, (rule,))).rowcount > 0

    async def save(self, alerts: Sequence[Alert], announcements: Sequence[Announcement]) -> None:
        """Store alerts, an event for each announcement, and a delivery of it for each subscription that wants it."""
        cursor = self._connection.cursor()
        # Alerts that end first, so that one that is raised in the same transaction finds its place free.
        ordered = sorted(alerts, key=lambda alert: alert.open)
        if ordered:
            await cursor.executemany(sql.PUT_ALERT, [alert_row(alert) for alert in ordered])
        if announcements:
            deliveries = await self._deliveries(announcements)
            if deliveries:
                await cursor.executemany(sql.ADD_DELIVERY, [delivery_row(delivery) for delivery in deliveries])
            await append(cursor, [self._fact(announcement) for announcement in announcements])

    async def _deliveries(self, announcements: Sequence[Announcement]) -> list[Delivery]:
        districts = sorted({announcement.alert.district for announcement in announcements})
        rows = await fetch(self._connection, sql.SUBSCRIPTIONS_OF, (districts,))
        subscriptions = [subscription_of(row) for row in rows]
        now = self._clock.now()
        return [
            written_for(announcement, subscription, new_id=str(uuid4()), now=now)
            for announcement in announcements
            for subscription in subscriptions
            if subscription.district == announcement.alert.district and subscription.wants(announcement.alert.category)
        ]

    def _fact(self, announcement: Announcement) -> OutboxRow:
        alert, occasion = announcement
        return OutboxRow(
            subject=FACTS[occasion].subject(alert.district, alert.device),
            ce_id=str(uuid4()),
            ce_type=FACTS[occasion].message,
            body=self._encode(alert),
            traceparent=tracing.inject(),
        )


class PostgresAlerts:
    """All alerts, durable; ``changed`` is called after each commit."""

    def __init__(self, pool: Pool, clock: Clock, encode: Encode, changed: Callable[[], None]) -> None:
        self._pool = pool
        self._clock = clock
        self._encode = encode
        self._changed = changed

    @asynccontextmanager
    async def change(self) -> AsyncIterator[PostgresAlertChange]:
        """Begin a change; deliveries are looked for at once after it."""
        async with transaction(self._pool) as connection:
            yield PostgresAlertChange(connection, self._clock, self._encode)
        self._changed()

    async def page(
        self, district: str, state: AlertState | None, *, after: TimedPosition | None, limit: int
    ) -> Page[Alert]:
        """Return alerts of a district, newest first."""
        arguments = {
            "district": district,
            "state": state,
            "time": after and from_us(after.time_us),
            "id": after and after.id,
            "limit": limit + 1,
        }
        async with transaction(self._pool) as connection:
            rows = await fetch(connection, sql.PAGE_ALERTS, arguments)
        return Page([alert_of(row) for row in rows[:limit]], more=len(rows) > limit)
