"""The tables of a service that owns resources: what is, what was answered, and what is still to be told.

A resource is stored as the serialized message in which it travels, under its key and its revision; what a service
searches by, it keeps in columns of its own beside it. One counter numbers all changes of a schema. A change takes the
counter's lock first, so that changes follow each other, what a change has read stays true until it commits, commit
order is revision order, and no revision is ever missing. State, events and the answer to a request id leave in that one
transaction.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self, cast

from maasloop.core.clock import Clock
from maasloop.core.requests import Request
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool
from maasloop.postgres.revision import last_revision, next_revision

from .answering import answer, answered
from .outbox import OutboxRow, append

RESOURCES_DDL = """
CREATE TABLE resources (
    kind text COLLATE "C" NOT NULL,
    district text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    revision bigint NOT NULL UNIQUE,
    body bytea NOT NULL,
    PRIMARY KEY (kind, district, id)
);
"""
"""The table a service adds by a migration, beside ``REVISIONS_DDL``, ``ANSWERS_DDL`` and ``OUTBOX_DDL``."""

COUNTER = "resources"
LOT_RESOURCES_MAX = 1_000
LOT_BYTES_MAX = 512 * 1024
"""A lot ends after this many resources or bytes: it travels as one message."""

_FIND = "SELECT body FROM resources WHERE kind = %s AND district = %s AND id = %s"
_KNOWN = """
    SELECT k.kind, k.district, k.id
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS k (kind, district, id) JOIN resources USING (kind, district, id)
"""
_PUT = """
    INSERT INTO resources (kind, district, id, revision, body)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bytea[])
    ON CONFLICT (kind, district, id) DO UPDATE SET revision = excluded.revision, body = excluded.body
"""
_PAGE = """
    SELECT id, body FROM (
        SELECT id, body, sum(octet_length(body)) OVER (ORDER BY id) - octet_length(body) AS bytes_before
        FROM (
            SELECT id, body FROM resources WHERE kind = %s AND district = %s AND id > %s ORDER BY id LIMIT %s
        ) AS page
    ) AS sized WHERE bytes_before < %s ORDER BY id
"""
_CHANGES = """
    SELECT revision, body FROM (
        SELECT revision, body, sum(octet_length(body)) OVER (ORDER BY revision) - octet_length(body) AS bytes_before
        FROM (
            SELECT revision, body FROM resources WHERE revision > %s AND revision <= %s ORDER BY revision LIMIT %s
        ) AS lot
    ) AS sized WHERE bytes_before < %s ORDER BY revision
"""
_STANDING = """
    SELECT coalesce((SELECT value FROM revisions WHERE name = %s), 0), EXISTS (SELECT FROM outbox)
"""


class OwnedKey(NamedTuple):
    """What identifies a resource within a service; ``district`` may be empty."""

    kind: str
    district: str
    id: str


class Owned(NamedTuple):
    """A resource as it is stored."""

    key: OwnedKey
    revision: int
    body: bytes


class Changed(NamedTuple):
    """A resource as a watch reads it."""

    revision: int
    body: bytes


class Standing(NamedTuple):
    """How far the owner is."""

    revision: int
    """The last one that was committed."""
    pending: bool
    """Whether facts still wait for the broker."""


class OwnedChange:
    """A transaction in which nobody else changes the schema's resources."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self.connection = connection
        self._clock = clock

    @classmethod
    async def begin(cls, connection: Connection, clock: Clock) -> Self:
        """Wait for changes under way to end, and keep others out until the transaction ends."""
        await next_revision(connection.cursor(), COUNTER, 0)
        return cls(connection, clock)

    async def answered(self, request: Request) -> bytes | None:
        """Return what the same request was answered before, and refuse its id for another request."""
        return cast("bytes | None", await answered(self.connection, request, self._clock))

    async def answer(self, request: Request, body: bytes) -> None:
        """Keep an answer for as long as a request may be repeated."""
        await answer(self.connection, request, body, self._clock)

    async def find(self, key: OwnedKey) -> bytes | None:
        """Return a resource."""
        return await _find(self.connection, key)

    async def missing(self, keys: Sequence[OwnedKey]) -> list[OwnedKey]:
        """Return those that do not exist, in their order."""
        columns = [list(column) for column in zip(*keys, strict=True)] or [[], [], []]
        found = await (await self.connection.execute(_KNOWN, columns)).fetchall()
        known = {OwnedKey(*map(str, row)) for row in found}
        return [key for key in keys if key not in known]

    async def draw(self, count: int = 1) -> int:
        """Draw revisions and return the first."""
        return await next_revision(self.connection.cursor(), COUNTER, count) - count + 1

    async def put(self, resources: Sequence[Owned]) -> None:
        """Create or replace resources under revisions that were drawn."""
        kinds, districts, ids = zip(*(resource.key for resource in resources), strict=True)
        revisions = [resource.revision for resource in resources]
        bodies = [resource.body for resource in resources]
        await self.connection.execute(_PUT, (list(kinds), list(districts), list(ids), revisions, bodies))

    async def tell(self, facts: Sequence[OutboxRow]) -> None:
        """Let facts leave with the transaction."""
        await append(self.connection.cursor(), facts)


class Owner:
    """The resources of a service's schema, changed and read."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    @asynccontextmanager
    async def transaction(self, limits: Mapping[str, str] | None = None) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction that commits when the block ends without an error.

        ``limits`` are settings of that transaction alone. A change begins in it with ``OwnedChange.begin``.
        """
        with translated():
            async with self._pool.connection() as connection:
                for name, value in (limits or {}).items():
                    await connection.execute("SELECT set_config(%s, %s, true)", (name, value))
                yield connection

    @asynccontextmanager
    async def change(self) -> AsyncIterator[OwnedChange]:
        """Begin a change at once, in a transaction of its own."""
        async with self.transaction() as connection:
            yield await self.begin(connection)

    async def begin(self, connection: Connection) -> OwnedChange:
        """Begin a change in a transaction that did other things before."""
        return await OwnedChange.begin(connection, self._clock)

    async def answered(self, request: Request) -> bytes | None:
        """Return what the same request was answered before; a change under way may still answer it."""
        async with self.transaction() as connection:
            return cast("bytes | None", await answered(connection, request, self._clock))

    async def get(self, key: OwnedKey) -> bytes | None:
        """Return a resource that is committed."""
        async with self.transaction() as connection:
            return await _find(connection, key)

    async def page(
        self, kind: str, district: str, *, after: str, limit: int, bytes_max: int
    ) -> list[tuple[str, bytes]]:
        """Return ids and resources of a kind in a district, ordered by id; fewer than ``limit`` if they are large."""
        async with self.transaction() as connection:
            cursor = await connection.execute(_PAGE, (kind, district, after, limit, bytes_max))
            return cast("list[tuple[str, bytes]]", await cursor.fetchall())

    async def standing(self) -> Standing:
        """Return how far the owner is, both facts of the same moment."""
        async with self.transaction() as connection:
            row = await (await connection.execute(_STANDING, (COUNTER,))).fetchone()
        return Standing(*cast("tuple[int, bool]", row))

    async def head(self) -> int:
        """Return the last committed revision."""
        async with self.transaction() as connection:
            return await last_revision(connection.cursor(), COUNTER)

    async def changes(self, after: int, upto: int) -> list[Changed]:
        """Return the next lot of resources whose present revision lies in (after, upto], in order."""
        async with self.transaction() as connection:
            cursor = await connection.execute(_CHANGES, (after, upto, LOT_RESOURCES_MAX, LOT_BYTES_MAX))
            return [Changed(*cast("tuple[int, bytes]", row)) for row in await cursor.fetchall()]


async def _find(connection: Connection, key: OwnedKey) -> bytes | None:
    row: Any = await (await connection.execute(_FIND, key)).fetchone()
    return None if row is None else cast("bytes", row[0])
