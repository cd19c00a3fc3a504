"""Policies and all their versions."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from maasloop.actuation.adapters import sql
from maasloop.actuation.domain.policy import Mode, Policy, Scope
from maasloop.core.errors import AlreadyExists, Conflict
from maasloop.core.reasons import Reason
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Pool

_OUTSIDE = frozenset({"id", "version", "etag", "update_time_us"})


class PostgresPolicies:
    """Stores a row a version; the primary key keeps two writers from making the same one."""

    def __init__(self, pool: Pool) -> None:
        """Write over the pool."""
        self._pool = pool

    async def create(self, policy: Policy) -> Policy:
        """Store a first version; the same rule again gives the stored policy."""
        stored = replace(policy, etag=secrets.token_hex(8))
        if await self._add(stored):
            return stored
        known = await self._newest(policy.id)
        if known is not None and _rule(replace(known, mode=policy.mode)) == _rule(policy):
            return known
        message = f"policies/{policy.id} exists and is another one"
        raise AlreadyExists(Reason.RESOURCE_EXISTS, message, {"name": f"policies/{policy.id}"})

    async def replace(self, policy: Policy, *, etag: str) -> Policy:
        """Store a next version if the etag still holds."""
        known = await self._newest(policy.id)
        stored = replace(policy, etag=secrets.token_hex(8))
        if known is None or known.etag != etag or not await self._add(stored):
            raise Conflict(Reason.ETAG_MISMATCH, "the policy changed since it was read", {"etag": etag})
        return stored

    async def all(self) -> Sequence[Policy]:
        """Return the newest version of every policy."""
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(sql.NEWEST_POLICIES)
                return [_policy(row) for row in await cursor.fetchall()]

    async def _newest(self, name: str) -> Policy | None:
        with translated():
            async with self._pool.connection() as connection:
                row = await (await connection.execute(sql.NEWEST_POLICY, (name,))).fetchone()
        return _policy(row) if row else None

    async def _add(self, policy: Policy) -> bool:
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(
                    sql.ADD_POLICY, (policy.id, policy.version, _rule(policy), policy.etag, policy.update_time_us)
                )
        return cursor.rowcount == 1


def _rule(policy: Policy) -> str:
    facts = {key: value for key, value in asdict(policy).items() if key not in _OUTSIDE}
    return json.dumps(facts, sort_keys=True)


def _policy(row: tuple[Any, ...]) -> Policy:
    name, version, rule, etag, update_time_us = row
    facts = json.loads(rule)
    facts["observed_properties"] = tuple(facts["observed_properties"])
    facts["scope"] = Scope(facts["scope"])
    facts["mode"] = Mode(facts["mode"])
    return Policy(id=name, version=version, etag=etag, update_time_us=update_time_us, **facts)
