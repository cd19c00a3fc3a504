"""Keys of programs in PostgreSQL."""

from typing import Any, cast

from psycopg.types.json import Jsonb

from maasloop.core.requests import Page
from maasloop.device_registry.domain.api_key import ApiKey, RoleGrant
from maasloop.identity.principals import Grant
from maasloop.identity.tokens import grant_of, written_grant
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Pool

_COLUMNS = "id, program, digest, grants, create_time, expire_time, revoke_time"
_ADD = f"INSERT INTO api_keys ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s)"  # noqa: S608 - a list of columns
_FIND = f"SELECT {_COLUMNS} FROM api_keys WHERE id = %s"  # noqa: S608 - a list of columns
_WITH_DIGEST = f"SELECT {_COLUMNS} FROM api_keys WHERE digest = %s"  # noqa: S608 - a list of columns
_PAGE = f"SELECT {_COLUMNS} FROM api_keys WHERE id > %s ORDER BY id LIMIT %s"  # noqa: S608 - a list of columns
_END = "UPDATE api_keys SET revoke_time = coalesce(revoke_time, %s) WHERE id = %s"


class PostgresApiKeys:
    """All of them, durable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, key: ApiKey) -> None:
        """Store a new key."""
        grants = Jsonb([written_grant(identity_grant(grant)) for grant in key.grants])
        values = (key.id, key.program, key.digest, grants, key.create_time, key.expire_time, key.revoke_time)
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(_ADD, values)

    async def find(self, key_id: str) -> ApiKey | None:
        """Return a key by its id."""
        return await self._one(_FIND, key_id)

    async def with_digest(self, digest: bytes) -> ApiKey | None:
        """Return the key of a secret."""
        return await self._one(_WITH_DIGEST, digest)

    async def page(self, *, after: str, limit: int) -> Page[ApiKey]:
        """Return keys ordered by id."""
        with translated():
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(_PAGE, (after, limit + 1))).fetchall()
        return Page([_api_key(row) for row in rows[:limit]], more=len(rows) > limit)

    async def end(self, key: ApiKey) -> None:
        """Store when a key was revoked; the first time counts."""
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(_END, (key.revoke_time, key.id))

    async def _one(self, statement: str, value: str | bytes) -> ApiKey | None:
        with translated():
            async with self._pool.connection() as connection:
                row = await (await connection.execute(statement.encode(), (value,))).fetchone()
        return None if row is None else _api_key(row)


def identity_grant(grant: RoleGrant) -> Grant:
    """Return a grant as tokens carry it."""
    return Grant(grant.role, grant.districts, grant.domains)


def _api_key(row: object) -> ApiKey:
    id_, program, digest, grants, *times = cast("tuple[Any, ...]", row)
    found = (grant_of(written) for written in grants)
    return ApiKey(
        id_,
        program,
        bytes(digest),
        tuple(RoleGrant(grant.role, grant.districts, grant.domains) for grant in found),
        *times,
    )
