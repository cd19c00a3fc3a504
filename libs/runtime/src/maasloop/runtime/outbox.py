"""Facts that leave in the same transaction as the rows they tell of.

``append`` writes them beside the rows; ``OutboxRelay`` publishes them in order of id and deletes each after the
broker's PubAck. A fact is published at least once and always under the same message id, so that the broker and whoever
consumes it can drop a repetition. If the process dies before the commit, neither row nor fact exists; after it, the
next relay publishes what is left.

Facts with revisions stay in order of revision if the revision is drawn (``maasloop.postgres.revision``) before
``append`` in the same transaction: the lock on the counter then orders the ids as well.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import structlog
from psycopg import AsyncCursor, sql

from maasloop.core.clock import Clock, SystemClock
from maasloop.postgres.errors import PASSING
from maasloop.postgres.pool import Connection, connect
from maasloop.telemetry import metrics

OUTBOX_DDL = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    ce_id text NOT NULL,
    ce_type text NOT NULL,
    body bytea NOT NULL,
    traceparent text NOT NULL DEFAULT '',
    revision bigint,
    created_time timestamptz NOT NULL DEFAULT now()
);
"""
"""The table a service adds by a migration."""

BATCH_ROWS_MAX = 256
POLL_INTERVAL_S = 1.0
LEAD_INTERVAL_S = 1.0
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0
STUCK_AFTER_S = 10.0

APPENDED: Final[LiteralString] = """
    appended AS (
        INSERT INTO outbox (subject, ce_id, ce_type, body, traceparent, revision)
        SELECT subject, ce_id, ce_type, body, traceparent, revision
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::bigint[])
            WITH ORDINALITY AS fact (subject, ce_id, ce_type, body, traceparent, revision, place)
        ORDER BY place
        RETURNING id
    )
"""
"""Part of a WITH clause that adds facts (``columns``), for those who write rows and facts as one statement."""
NOTIFIED: Final[LiteralString] = (
    "SELECT pg_notify(current_schema() || '.outbox', '') WHERE EXISTS (SELECT FROM appended)"
)
"""The statement behind that WITH clause: the relay hears of the facts at the commit."""

_APPEND: Final[LiteralString] = f"WITH {APPENDED} {NOTIFIED}"
_CHANNEL = "SELECT current_schema() || '.outbox'"
_LEAD = "SELECT pg_try_advisory_lock(hashtextextended('maasloop.outbox.' || current_schema(), 0))"
_NEXT = """
    SELECT id, subject, ce_id, ce_type, body, traceparent, revision
    FROM outbox ORDER BY id LIMIT %s
"""
_DELETE = "DELETE FROM outbox WHERE id = ANY(%s)"

_published = metrics.counter("maasloop_outbox_published_facts_total", "Facts published from the outbox")
_failures = metrics.counter("maasloop_outbox_failures_total", "Attempts to publish that failed")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One fact on its way out; ``id`` is 0 before it is stored."""

    subject: str
    ce_id: str
    """Message id, the same at every attempt."""
    ce_type: str
    """Full name of the protobuf message in ``body``."""
    body: bytes
    traceparent: str = ""
    revision: int | None = None
    id: int = 0


type Publish = Callable[[OutboxRow], Awaitable[None]]
"""Returns when the broker has stored the fact under ``ce_id``, and raises otherwise."""


async def append(cursor: AsyncCursor[Any], rows: Sequence[OutboxRow]) -> None:
    """Add facts within the cursor's transaction; the relay hears of them at the commit."""
    if not rows:
        return
    await cursor.execute(_APPEND, columns(rows))


def columns(rows: Sequence[OutboxRow]) -> list[list[Any]]:
    """Return facts as the arguments of ``APPENDED``."""
    return [
        [row.subject for row in rows],
        [row.ce_id for row in rows],
        [row.ce_type for row in rows],
        [row.body for row in rows],
        [row.traceparent for row in rows],
        [row.revision for row in rows],
    ]


class OutboxRelay:
    """Publishes the outbox of a service's schema, whatever the number of its instances: one leads, others wait.

    Task: ``run``, which owns a connection of its own. A fact that cannot be published is tried again, with growing
    pauses, before any later one; ``check`` says so after ``STUCK_AFTER_S``.
    """

    def __init__(self, dsn: str, publish: Publish, *, name: str, clock: Clock | None = None) -> None:
        self._dsn = dsn
        self._publish = publish
        self._name = name
        self._clock = clock or SystemClock()
        self._waiting: OutboxRow | None = None
        self._waiting_since_s = 0.0

    async def run(self) -> None:
        """Relay for ever; a lost connection is opened again."""
        while True:
            connection = await connect(self._dsn, name=self._name, autocommit=True, clock=self._clock)
            try:
                async with connection:
                    await self._lead(connection)
                    await self._relay(connection)
            except PASSING as error:
                _log.warning("outbox_connection_lost", reason=str(error))
            await self._clock.sleep(PAUSE_FIRST_S)

    async def check(self) -> str | None:
        """Return why facts do not leave, or nothing; for a readiness probe."""
        waiting = self._waiting
        if waiting is None:
            return None
        waited_s = self._clock.monotonic_s() - self._waiting_since_s
        if waited_s < STUCK_AFTER_S:
            return None
        return f"fact {waiting.id} ({waiting.ce_type}) waits for the broker since {waited_s:.0f} s"

    async def _lead(self, connection: Connection) -> None:
        while True:
            cursor = await connection.execute(_LEAD)
            row = await cursor.fetchone()
            if row is not None and row[0]:
                _log.info("outbox_leading", name=self._name)
                return
            await self._clock.sleep(LEAD_INTERVAL_S)

    async def _relay(self, connection: Connection) -> None:
        row = await (await connection.execute(_CHANNEL)).fetchone()
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(str(row[0]))))
        pause_s = PAUSE_FIRST_S
        while True:
            rows = await _next(connection)
            if not rows:
                # The notification is only a hint: what it would miss is found at the next poll.
                async for _ in connection.notifies(timeout=POLL_INTERVAL_S, stop_after=1):
                    pass
                continue
            published = await self._publish_in_order(rows)
            if published:
                await connection.execute(_DELETE, (published,))
                pause_s = PAUSE_FIRST_S
            if len(published) < len(rows):
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _publish_in_order(self, rows: Sequence[OutboxRow]) -> list[int]:
        published: list[int] = []
        for row in rows:
            if self._waiting is None or self._waiting.id != row.id:
                self._waiting, self._waiting_since_s = row, self._clock.monotonic_s()
            try:
                await self._publish(row)
            except Exception as error:
                _failures.inc()
                # The subject may hold a person's pseudonym.
                _log.warning("outbox_publish_failed", id=row.id, fact=row.ce_type, error=type(error).__name__)
                return published
            published.append(row.id)
            _published.inc()
        self._waiting = None
        return published


async def _next(connection: Connection) -> list[OutboxRow]:
    cursor = await connection.execute(_NEXT, (BATCH_ROWS_MAX,), binary=True)
    rows: list[Any] = await cursor.fetchall()
    return [
        OutboxRow(
            id=row[0],
            subject=row[1],
            ce_id=row[2],
            ce_type=row[3],
            body=row[4],
            traceparent=row[5],
            revision=row[6],
        )
        for row in rows
    ]
