"""Dividing the districts into another number of partitions, in one transaction.

Nothing is moved: rows, positions of districts and accounts are everybody's. What a partition keeps for itself begins anew:
its floors where the last of the partitions before was, its window where the first of those began that may have held
something back; and what live lanes stored is inherited by all.
"""

from collections import defaultdict
from datetime import datetime
from typing import Any

import structlog
from psycopg import AsyncCursor

from maasloop.timeseries.domain.partitioning import Share, partition_of
from maasloop.timeseries.domain.sequence import Life

from . import sql_partitions as sql

type _Window = tuple[int, str]
"""Partition and retention class."""

log = structlog.get_logger(__name__)


async def divide(cursor: AsyncCursor[Any], before: int, partitions: int) -> None:
    """Let nobody write for the partitions before, and begin new ones."""
    await cursor.execute(sql.WINDOWS)
    windows: list[Any] = await cursor.fetchall()
    for statement in (sql.FLOORS_LOCK, sql.LANES_LOCK, sql.FENCES_RAISE, sql.SEAMS_PASSED):
        await cursor.execute(statement)
    await cursor.execute(sql.FLOORS_ANEW, {"before": before, "partitions": partitions})
    edges = {(partition, retention): edge for partition, retention, edge in windows}
    await _divide_windows(cursor, edges, before, partitions)
    await _inherit_seams(cursor)
    await cursor.execute(sql.DIVIDE, {"partitions": partitions})
    log.info("districts_divided", before=before, partitions=partitions)


async def _divide_windows(
    cursor: AsyncCursor[Any], edges: dict[_Window, datetime | None], before: int, partitions: int
) -> None:
    await cursor.execute(sql.NEWEST)
    newest: dict[_Window, datetime] = {}
    for district, retention, end in await cursor.fetchall():
        window = (partition_of(district, before), retention)
        newest[window] = max(end, newest.get(window, end))
    begun = _edges(edges, newest)
    arguments = {"partitions": partitions, "retentions": list(begun), "edges": list(begun.values())}
    await cursor.execute(sql.WINDOWS_ANEW, arguments)


def _edges(edges: dict[_Window, datetime | None], newest: dict[_Window, datetime]) -> dict[str, datetime | None]:
    """Return by class where all windows begin; one with no row behind its edge held nothing back, and is whole."""
    whole: defaultdict[str, list[datetime]] = defaultdict(list)
    held: defaultdict[str, list[datetime]] = defaultdict(list)
    for window, edge in edges.items():
        if edge is not None:
            (held if window in newest and newest[window] > edge else whole)[window[1]].append(edge)
    return {
        retention: min(held[retention]) if held[retention] else max(whole[retention], default=None)
        for _, retention in edges
    }


async def _inherit_seams(cursor: AsyncCursor[Any]) -> None:
    await cursor.execute(sql.LANES_TAKE)
    lanes: list[Any] = await cursor.fetchall()
    for name, created, epoch, after, upto in lanes:
        life, share = Life(name.partition("/")[0], created, epoch), Share.named(name)
        seam = (life.stream, life.created, life.epoch, share.partition, share.partitions, after, upto)
        await cursor.execute(sql.SEAM_INHERIT, seam)
