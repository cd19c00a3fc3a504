"""Deliveries in PostgreSQL: lent, recorded, listed, and forgotten when they are old."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from maasloop.core.clock import Clock, from_us
from maasloop.core.errors import Retryable
from maasloop.core.requests import Page
from maasloop.notification.adapters import sql
from maasloop.notification.adapters.postgres import fetch, transaction
from maasloop.notification.adapters.postgres_rows import Row, delivery_of, subscription_of
from maasloop.notification.adapters.vault import SecretUnreadable, Vault
from maasloop.notification.domain.delivery import Claim, Delivery
from maasloop.notification.domain.subscription import Email, Webhook
from maasloop.notification.ports import DeliveryFilter, TimedPosition
from maasloop.postgres.pool import Pool

SCANNED_MAX = 1_000
"""Due deliveries that one look considers, oldest first."""
KEPT = timedelta(days=90)
"""Settled deliveries and resolved alerts are forgotten after this."""
PRUNED_MAX = 5_000
PRUNE_INTERVAL_S = 600.0

_log = structlog.get_logger()
_DELIVERY_WIDTH = len(sql.DELIVERY_COLUMNS.split(","))


class PostgresDeliveries:
    """All deliveries, durable."""

    def __init__(self, pool: Pool, clock: Clock, vault: Vault, *, per_subscription_max: int) -> None:
        self._pool = pool
        self._clock = clock
        self._vault = vault
        self._per_subscription_max = per_subscription_max

    async def claim(self, limit: int, busy: Sequence[tuple[str, str]], lease_s: float) -> Sequence[Claim]:
        """Lend due deliveries to this process for ``lease_s``, counting the attempt; none of busy subscriptions."""
        now = self._clock.now()
        arguments = {
            "now": now,
            "lease_end": now + timedelta(seconds=lease_s),
            "busy_districts": [district for district, _ in busy],
            "busy_subscriptions": [subscription for _, subscription in busy],
            "scanned_max": SCANNED_MAX,
            "per_subscription_max": self._per_subscription_max,
            "limit": limit,
        }
        async with transaction(self._pool) as connection:
            rows = await fetch(connection, sql.CLAIM_DELIVERIES, arguments)
        return [Claim(delivery_of(row[:_DELIVERY_WIDTH]), self._target(row[_DELIVERY_WIDTH:])) for row in rows]

    def _target(self, row: Row) -> Webhook | Email:
        subscription = subscription_of(row)
        try:
            return self._vault.opened(subscription).channel
        except SecretUnreadable as error:
            # Without a secret the attempt is put off: the key may come back.
            _log.error("secret_unreadable", subscription=subscription.id, why=str(error))
            channel = subscription.channel
            return replace(channel, secret="") if isinstance(channel, Webhook) else channel

    async def record(self, delivery: Delivery) -> bool:
        """Store the outcome of an attempt, unless the lease ended and somebody else tried; tell whether it did."""
        arguments = (
            delivery.state.value,
            delivery.reason,
            delivery.detail.replace("\0", " "),
            delivery.next_attempt_time,
            delivery.settle_time,
            delivery.district,
            delivery.id,
            delivery.attempt_count,
        )
        async with transaction(self._pool) as connection:
            return (await connection.execute(sql.RECORD_ATTEMPT, arguments)).rowcount > 0

    async def page(self, wanted: DeliveryFilter, *, after: TimedPosition | None, limit: int) -> Page[Delivery]:
        """Return deliveries, newest first."""
        arguments = {
            "district": wanted.district,
            "state": wanted.state,
            "alert": wanted.alert,
            "time": after and from_us(after.time_us),
            "id": after and after.id,
            "limit": limit + 1,
        }
        async with transaction(self._pool) as connection:
            rows = await fetch(connection, sql.PAGE_DELIVERIES, arguments)
        return Page([delivery_of(row) for row in rows[:limit]], more=len(rows) > limit)

    async def prune(self) -> None:
        """Forget, for ever, what was settled long ago, a bounded number at a time."""
        while True:
            before = self._clock.now() - KEPT
            try:
                async with transaction(self._pool) as connection:
                    await connection.execute(sql.PRUNE_DELIVERIES, (before, PRUNED_MAX))
                    await connection.execute(sql.PRUNE_ALERTS, (before, PRUNED_MAX))
            except Retryable as error:
                _log.warning("pruning_postponed", reason=error.message)
            await self._clock.sleep(PRUNE_INTERVAL_S)
