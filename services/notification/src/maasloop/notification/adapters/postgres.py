"""Rules and subscriptions in PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg.types.json import Jsonb

from maasloop.core.clock import Clock
from maasloop.core.errors import AlreadyExists, FailedPrecondition
from maasloop.core.reasons import Reason
from maasloop.core.requests import Page, Request
from maasloop.notification.adapters import sql
from maasloop.notification.adapters.postgres_rows import (
    Row,
    rows_of,
    rule_of,
    rule_row,
    subscription_of,
    subscription_row,
)
from maasloop.notification.adapters.vault import PREFIX, Vault
from maasloop.notification.domain.alert import AlertKey
from maasloop.notification.domain.rule import RULES_MAX, AlertRule
from maasloop.notification.domain.subscription import SUBSCRIPTIONS_MAX, Subscription, Webhook
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool
from maasloop.runtime.answering import answer, answered


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection in a transaction that commits when the block ends without an error."""
    with translated():
        async with pool.connection() as connection:
            yield connection


async def fetch(connection: Connection, statement: str, arguments: Any = None) -> list[Row]:  # noqa: ANN401 - psycopg's
    """Return all rows of a statement."""
    return rows_of(await (await connection.execute(statement, arguments)).fetchall())


async def _add(
    connection: Connection, request: Request, clock: Clock, statement: str, row: Row, name: str
) -> Row | None:
    """Insert a resource and keep its answer; return the row that the same request was answered, if it was."""
    if (before := await answered(connection, request, clock)) is not None:
        return list(before)
    if (await connection.execute(statement, row)).rowcount == 0:
        raise AlreadyExists(Reason.RESOURCE_EXISTS, f"{name} exists", {"name": name})
    stored = [value.obj if isinstance(value, Jsonb) else value for value in row]
    await answer(connection, request, Jsonb(stored), clock)
    return None


async def _require_room(connection: Connection, lock: str, count: str, arguments: Row, most: int) -> None:
    await connection.execute(sql.LOCK_RESOURCES, (lock,))
    found = (await fetch(connection, count, arguments))[0][0]
    if found >= most:
        message = f"there are {most} already: delete some first"
        raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": f"{found} of {most}"})


class PostgresRules:
    """All alert rules, durable."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def add(self, rule: AlertRule, request: Request) -> AlertRule:
        """Store a new rule, or return what the same request was answered; refuses an id that is taken."""
        async with transaction(self._pool) as connection:
            await _require_room(connection, "rules", sql.COUNT_RULES, (), RULES_MAX)
            name = f"alertRules/{rule.id}"
            before = await _add(connection, request, self._clock, sql.ADD_RULE, rule_row(rule), name)
        return rule if before is None else rule_of(before)

    async def page(self, district: str, *, after: str, limit: int) -> Page[AlertRule]:
        """Return rules ordered by id."""
        async with transaction(self._pool) as connection:
            rows = await fetch(connection, sql.PAGE_RULES, (after, district, district, limit + 1))
        return Page([rule_of(row) for row in rows[:limit]], more=len(rows) > limit)

    async def get(self, rule: str) -> AlertRule | None:
        """Return a rule."""
        async with transaction(self._pool) as connection:
            found = await fetch(connection, sql.ONE_RULE, (rule,))
        return rule_of(found[0]) if found else None

    async def enable(self, rule: AlertRule) -> bool:
        """Enable a rule that is disabled, with who agreed; tell whether it was."""
        async with transaction(self._pool) as connection:
            return (await connection.execute(sql.ENABLE_RULE, (rule.approver, rule.id))).rowcount > 0

    async def audience(self, district: str, category: str) -> int:
        """Return how many subscriptions an alert of a category tells."""
        async with transaction(self._pool) as connection:
            return int((await fetch(connection, sql.AUDIENCE, (district, category)))[0][0])

    async def all_rules(self) -> list[AlertRule]:
        """Return every rule."""
        async with transaction(self._pool) as connection:
            return [rule_of(row) for row in await fetch(connection, sql.ALL_RULES)]

    async def open_keys(self) -> list[AlertKey]:
        """Return what an alert is open for."""
        async with transaction(self._pool) as connection:
            return [AlertKey(*row) for row in await fetch(connection, sql.OPEN_KEYS)]


class PostgresSubscriptions:
    """All subscriptions, durable; a subscription that goes takes its pending deliveries with it."""

    def __init__(self, pool: Pool, clock: Clock, vault: Vault) -> None:
        self._pool = pool
        self._clock = clock
        self._vault = vault

    async def add(self, subscription: Subscription, request: Request) -> Subscription:
        """Store a new one, or return what the same request was answered; refuses an id that is taken."""
        district = subscription.district
        async with transaction(self._pool) as connection:
            lock = f"subscriptions.{district}"
            await _require_room(connection, lock, sql.COUNT_SUBSCRIPTIONS, (district,), SUBSCRIPTIONS_MAX)
            name = f"districts/{district}/subscriptions/{subscription.id}"
            row = subscription_row(self._vault.sealed(subscription))
            before = await _add(connection, request, self._clock, sql.ADD_SUBSCRIPTION, row, name)
        return subscription if before is None else self._vault.opened(subscription_of(before))

    async def seal_plain(self) -> int:
        """Seal secrets that lie in the table as they are, from before there was a key; return how many."""
        async with transaction(self._pool) as connection:
            found = [subscription_of(row) for row in await fetch(connection, sql.PLAIN_SECRETS, (PREFIX + "%",))]
            for subscription in map(self._vault.sealed, found):
                if isinstance(subscription.channel, Webhook):
                    arguments = (subscription.channel.secret, subscription.district, subscription.id)
                    await connection.execute(sql.SEAL_SECRET, arguments)
        return len(found)

    async def page(self, district: str, *, after: str, limit: int) -> Page[Subscription]:
        """Return subscriptions of a district ordered by id."""
        async with transaction(self._pool) as connection:
            rows = await fetch(connection, sql.PAGE_SUBSCRIPTIONS, (district, after, limit + 1))
        return Page([subscription_of(row) for row in rows[:limit]], more=len(rows) > limit)

    async def delete(self, district: str, subscription: str) -> bool:
        """Delete a subscription and fail its pending deliveries; tell whether it existed."""
        detail = "the subscription was deleted"
        async with transaction(self._pool) as connection:
            # The row lock waits for transactions that write deliveries to it, so that none is left behind.
            gone = (await connection.execute(sql.DELETE_SUBSCRIPTION, (district, subscription))).rowcount > 0
            if gone:
                now = self._clock.now()
                arguments = (Reason.ADDRESS_INVALID, detail, now, district, subscription)
                await connection.execute(sql.FAIL_PENDING, arguments)
        return gone
