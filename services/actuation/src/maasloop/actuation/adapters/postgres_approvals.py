"""Approvals in PostgreSQL."""

import json
from collections.abc import Sequence
from typing import Any, LiteralString

from maasloop.actuation.adapters import sql
from maasloop.actuation.domain.approval import Approval
from maasloop.actuation.domain.setpoint_json import from_json, to_json
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Pool

KEPT_US = 86_400_000_000
BEFORE_ALL = (2**62, "")


class PostgresApprovals:
    """Stores what waits for a second person."""

    def __init__(self, pool: Pool) -> None:
        """Work over the pool."""
        self._pool = pool

    async def add(self, approval: Approval) -> Approval:
        """Store a request, or return the one of that id."""
        setpoint = json.dumps(to_json(approval.setpoint))
        before_us = approval.create_time_us - KEPT_US
        await self._rows(sql.FORGET_APPROVALS, (approval.district, before_us))
        arguments = (
            approval.district,
            approval.id,
            approval.device,
            setpoint,
            approval.justification,
            approval.requester,
            approval.create_time_us,
        )
        await self._rows(sql.ADD_APPROVAL, arguments)
        return await self.get(approval.district, approval.id) or approval

    async def get(self, district: str, approval: str) -> Approval | None:
        """Return a request."""
        found = await self._rows(sql.ONE_APPROVAL, (district, approval))
        return _approval(found[0]) if found else None

    async def grant(self, approval: Approval) -> bool:
        """Write down who agreed, unless somebody else did; tell whether it holds."""
        arguments = (approval.approver, approval.district, approval.id, approval.approver)
        return bool(await self._rows(sql.GRANT_APPROVAL, arguments))

    async def newest(self, district: str, *, after: tuple[int, str] | None, limit: int) -> Sequence[Approval]:
        """Return requests, newest first."""
        before_us, before_id = after or BEFORE_ALL
        return [_approval(row) for row in await self._rows(sql.LIST_APPROVALS, (district, before_us, before_id, limit))]

    async def _rows(self, statement: LiteralString, arguments: tuple[Any, ...]) -> list[Any]:
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statement, arguments)
                return await cursor.fetchall()


def _approval(row: tuple[Any, ...]) -> Approval:
    return Approval(
        district=row[0],
        id=row[1],
        device=row[2],
        setpoint=from_json(row[3]),
        justification=row[4],
        requester=row[5],
        create_time_us=row[6],
        approver=row[7],
    )
