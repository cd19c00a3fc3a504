"""Reads of what is durable, and the restoring of the working state at start."""

from collections.abc import Sequence
from typing import Any

from maasloop.actuation.adapters import rows, sql
from maasloop.actuation.adapters.signal_decisions import signal_decisions_of
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.override import Override
from maasloop.actuation.domain.signal_decision import SignalDecision
from maasloop.actuation.ports import CommandPage, ShadowCounts
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Pool

BEFORE_ALL = (2**62, "")
KEEP_SETTLED_US = 30 * 86_400_000_000
KEEP_JOURNAL_US = 30 * 86_400_000_000
KEEP_SIGNAL_DECISIONS_US = 86_400_000_000
FORGET_ROWS_MAX = 10_000


class PostgresRecords:
    """Reads over a pool; it never writes what the ledger writes."""

    def __init__(self, pool: Pool) -> None:
        """Read over the pool."""
        self._pool = pool

    async def command(self, district: str, command: str) -> Command | None:
        """Return a command, open or terminal."""
        found = await self._rows(sql.ONE_COMMAND, (district, command))
        return rows.command_of(found[0]) if found else None

    async def commands(
        self, district: str, *, device: str, state: State | None, after: tuple[int, str] | None, limit: int
    ) -> CommandPage:
        """Return a page of commands, newest first."""
        before_us, before_id = after or BEFORE_ALL
        arguments = {
            "district": district,
            "device": device,
            "state": "" if state is None else str(state),
            "before_us": before_us,
            "before_id": before_id,
            "limit": limit + 1,
        }
        found = [rows.command_of(row) for row in await self._rows(sql.LIST_COMMANDS, arguments)]
        page = found[:limit]
        more = len(found) > limit
        return CommandPage(page, (page[-1].create_time_us, page[-1].id) if more else None)

    async def changes(self, district: str, after_us: int, limit: int) -> list[tuple[Command, int]]:
        """Return commands in the order of their last change."""
        found = await self._rows(sql.CHANGED_COMMANDS, (district, after_us, limit))
        return [(rows.command_of(row), int(row[-1])) for row in found]

    async def override(self, district: str, override: str) -> Override | None:
        """Return an override."""
        found = await self._rows(sql.ONE_OVERRIDE, (district, override))
        return rows.override_of(found[0]) if found else None

    async def overrides(self, district: str, *, after: tuple[int, int, str] | None, limit: int) -> Sequence[Override]:
        """Return overrides: those that were not ended first, and of them those that end last."""
        ended, end, name = after or (-1, 0, "")
        arguments = {"district": district, "ended": ended, "end": end, "id": name, "limit": limit}
        return [rows.override_of(row) for row in await self._rows(sql.LIST_OVERRIDES, arguments)]

    async def shadow_counts(self, policy: str, start_us: int, end_us: int) -> ShadowCounts:
        """Count what the journal says about a policy in shadow mode in [start, end)."""
        found = await self._rows(sql.COUNT_SHADOW, (policy, start_us, end_us))
        counts = {(str(entry), str(reason)): int(count) for entry, reason, count in found}
        return ShadowCounts(
            switched_on=counts.get(("shadow_on", ""), 0),
            switched_off=counts.get(("shadow_off", ""), 0),
            commands=counts.get(("shadow_command", ""), 0),
            refusals={reason: count for (entry, reason), count in counts.items() if entry == "shadow_refused"},
        )

    async def signal_decisions_near(self, district: str, street_second: int) -> dict[int, dict[str, SignalDecision]]:
        """Return, by second and device, what was decided last up to a second, and first from it on."""
        found = await self._rows(sql.SIGNAL_DECISIONS_NEAR, {"district": district, "second": street_second})
        return {second: signal_decisions_of(district, second, wall_us, text) for second, wall_us, text in found}

    async def open_commands(self) -> list[Command]:
        """Return every command that is not terminal."""
        return [rows.command_of(row) for row in await self._rows(sql.OPEN_COMMANDS, ())]

    async def leases(self, since_us: int) -> list[Command]:
        """Return the newest command of each device, refused ones apart, issued since then."""
        return [rows.command_of(row) for row in await self._rows(sql.LEASES, (since_us,))]

    async def standing(self, programmes_us: int, people_us: int) -> list[Command]:
        """Return what controllers were asked for and may still stand, oldest first: issued since one of these times."""
        since = {"programmes_us": programmes_us, "people_us": people_us, "person": int(Authority.OPERATOR)}
        return [rows.command_of(row) for row in await self._rows(sql.STANDING, since)]

    async def live_overrides(self, after_us: int) -> list[Override]:
        """Return the overrides that were not ended and end after a moment."""
        return [rows.override_of(row) for row in await self._rows(sql.LIVE_OVERRIDES, (after_us,))]

    async def released_districts(self) -> list[str]:
        """Return the districts under local control."""
        return [str(row[0]) for row in await self._rows(sql.RELEASED, ())]

    async def forget(self, wall_us: int) -> int:
        """Delete journal rows, settled commands and signal decisions of an age, a bounded number; returns how many."""
        with translated():
            async with self._pool.connection() as connection:
                journal = await connection.execute(sql.FORGET_JOURNAL, (wall_us - KEEP_JOURNAL_US, FORGET_ROWS_MAX))
                settled = await connection.execute(sql.FORGET_COMMANDS, (wall_us - KEEP_SETTLED_US, FORGET_ROWS_MAX))
                oldest_us = wall_us - KEEP_SIGNAL_DECISIONS_US
                signals = await connection.execute(sql.FORGET_SIGNAL_DECISIONS, (oldest_us, FORGET_ROWS_MAX))
        return journal.rowcount + settled.rowcount + signals.rowcount

    async def _rows(self, statement: Any, arguments: Any) -> list[Any]:  # noqa: ANN401 - a literal of sql.py
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statement, arguments)
                return await cursor.fetchall()
