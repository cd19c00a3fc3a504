"""Ingest's only table: the quarantine."""

from collections.abc import Mapping, Sequence
from typing import Any

from maasloop.core.clock import from_us, to_us
from maasloop.ingest.domain.outcome import Recorded
from maasloop.ingest.ports import QuarantineEntry, QuarantineFilter
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Pool

from . import sql


class PostgresQuarantine:
    """The quarantine in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        """Take connections from this pool."""
        self._pool = pool

    async def keep(self, entry: QuarantineEntry) -> None:
        """Store an entry; one that is there stays as it is."""
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(
                    sql.KEEP,
                    (
                        entry.id,
                        from_us(entry.receipt_time_us),
                        entry.door,
                        entry.district,
                        entry.device,
                        entry.reason,
                        entry.detail,
                        entry.reading_count,
                        entry.content_type,
                        entry.payload,
                    ),
                )

    async def page(
        self, chosen: QuarantineFilter, *, size: int, after: tuple[int, str] | None
    ) -> list[QuarantineEntry]:
        """Return entries, newest first, after a position."""
        arguments = {
            "district": chosen.district,
            "reason": chosen.reason,
            "device": chosen.device,
            "after_time": None if after is None else from_us(after[0]),
            "after_id": "" if after is None else after[1],
            "size": size,
        }
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(sql.LIST, arguments, binary=True)
                return [_entry(row) for row in await cursor.fetchall()]

    async def get(self, ids: Sequence[str]) -> list[QuarantineEntry]:
        """Return those of the entries that exist, oldest first."""
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(sql.GET, (list(ids),), binary=True)
                return [_entry(row) for row in await cursor.fetchall()]

    async def districts(self, ids: Sequence[str]) -> Mapping[str, str]:
        """Return by id the districts of those of the entries that exist; empty for one of none."""
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(sql.DISTRICTS, (list(ids),))
                return {str(id_): str(district) for id_, district in await cursor.fetchall()}

    async def replayed(self, entry: QuarantineEntry, recorded: Recorded, now_us: int) -> None:
        """Drop an entry whose readings are durable now, or keep it with its new reason."""
        with translated():
            async with self._pool.connection() as connection:
                if not recorded.refused_count:
                    await connection.execute(sql.DROP, (entry.id,))
                    return
                first = recorded.refusals[0]
                await connection.execute(
                    sql.REPLAYED, (first.reason, first.detail, recorded.refused_count, from_us(now_us), entry.id)
                )

    async def replay(self, request_id: str) -> tuple[int, int] | None:
        """Return what the replay with this request id answered within the last day."""
        with translated():
            async with self._pool.connection() as connection:
                row: Any = await (await connection.execute(sql.REPLAY, (request_id,))).fetchone()
                return None if row is None else (int(row[0]), int(row[1]))

    async def remember_replay(self, request_id: str, accepted: int, refused: int) -> None:
        """Keep the answer of a replay, and forget those of yesterday."""
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(sql.FORGET_REPLAYS)
                await connection.execute(sql.REMEMBER_REPLAY, (request_id, accepted, refused))

    async def forget(self, days: int) -> int:
        """Drop entries that are older than that, and return how many."""
        with translated():
            async with self._pool.connection() as connection:
                return (await connection.execute(sql.FORGET_QUARANTINE, (days,))).rowcount


def _entry(row: Any) -> QuarantineEntry:  # noqa: ANN401 - a row of the driver
    return QuarantineEntry(
        id=row[0],
        receipt_time_us=to_us(row[1]),
        door=row[2],
        district=row[3],
        device=row[4],
        reason=row[5],
        detail=row[6],
        reading_count=row[7],
        content_type=row[8],
        payload=bytes(row[9]),
        replay_time_us=to_us(row[10]) if row[10] is not None else 0,
    )
