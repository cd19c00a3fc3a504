"""Revisions whose order is the order of commits, without gaps.

A sequence would not do: it counts on when a transaction rolls back, and another transaction may commit a later number
first. Here a revision is a row that is counted up within the caller's transaction. The lock on that row holds until the
transaction ends, so that who draws later also commits later, a rollback gives the number back, and a reader of
``last_revision`` never sees a number whose changes it cannot see. Draw late in a transaction: writers of the same
counter wait for each other from there to the commit.
"""

from typing import Any

from psycopg import AsyncCursor

REVISIONS_DDL = "CREATE TABLE revisions (name text PRIMARY KEY, value bigint NOT NULL CHECK (value >= 0));"
"""The table a service adds by a migration."""

_DRAW = """
    INSERT INTO revisions AS r (name, value) VALUES (%s, %s)
    ON CONFLICT (name) DO UPDATE SET value = r.value + excluded.value
    RETURNING value
"""
_LAST = "SELECT value FROM revisions WHERE name = %s"


async def next_revision(cursor: AsyncCursor[Any], name: str, count: int = 1) -> int:
    """Draw ``count`` revisions and return the last of them; the first is that minus ``count`` plus 1."""
    await cursor.execute(_DRAW, (name, count))
    [row] = await cursor.fetchall()
    return int(row[0])


async def last_revision(cursor: AsyncCursor[Any], name: str) -> int:
    """Return the last revision that this transaction can see, 0 before the first."""
    await cursor.execute(_LAST, (name,))
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
