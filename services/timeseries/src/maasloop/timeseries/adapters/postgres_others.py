"""States and positions on their way into their tables, compared with what is stored under their keys."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncCursor, errors
from psycopg import sql as composed

from maasloop.core.clock import from_us
from maasloop.timeseries.domain.series import Kind, Table
from maasloop.timeseries.ports.rows import Other
from maasloop.timeseries.ports.writing import KeyTaken

from . import sql

type Result = str | tuple[float, float]


def _into(statement: str, table: Table) -> composed.Composed:
    return composed.SQL(statement).format(table=composed.Identifier(table.name))


async def add_others(cursor: AsyncCursor[Any], others: Sequence[Other]) -> Mapping[int, Result]:
    """Store states or positions of one table and their newest; return what lies under taken keys, by place.

    Of two under one key the first is stored.
    """
    table = others[0].table
    taken = await _existing(cursor, table, others)
    first: dict[tuple[int, int], int] = {}
    for place, other in enumerate(others):
        if place not in taken:
            earlier = first.setdefault((other.series, other.time_us), place)
            if earlier != place:
                taken[place] = others[earlier].result
    new = [others[place] for place in first.values()]
    if new:
        await _insert(cursor, table, new)
        await _renew_latest(cursor, new)
    return taken


async def _existing(cursor: AsyncCursor[Any], table: Table, others: Sequence[Other]) -> dict[int, Result]:
    states = table.kind is Kind.STATES
    span = (from_us(min(other.time_us for other in others)), from_us(max(other.time_us for other in others)))
    keys = ([other.series for other in others], [from_us(other.time_us) for other in others])
    await cursor.execute(_into(sql.EXISTING_STATES if states else sql.EXISTING_POSITIONS, table), (*keys, *span))
    return {int(row[0]) - 1: row[1] if states else (row[1], row[2]) for row in await cursor.fetchall()}


async def _insert(cursor: AsyncCursor[Any], table: Table, new: Sequence[Other]) -> None:
    columns: list[list[Any]] = [
        [other.series for other in new],
        [from_us(other.time_us) for other in new],
        [from_us(other.receipt_time_us) for other in new],
    ]
    if table.kind is Kind.STATES:
        columns.append([other.result for other in new])
    else:
        columns += [[other.result[axis] for other in new] for axis in (0, 1)]
    statement = sql.ADD_STATES if table.kind is Kind.STATES else sql.ADD_POSITIONS
    try:
        await cursor.execute(_into(statement, table), columns)
    except errors.UniqueViolation as error:
        raise KeyTaken(table.name) from error


async def _renew_latest(cursor: AsyncCursor[Any], new: Sequence[Other]) -> None:
    newest: dict[int, Other] = {}
    for other in sorted(new, key=lambda each: (each.series, each.time_us)):
        newest[other.series] = other
    stored = Counter(other.series for other in new)
    late = Counter(other.series for other in new if other.late)
    results = [
        (other.result, None, None) if isinstance(other.result, str) else (None, *other.result)
        for other in newest.values()
    ]
    columns = [
        list(newest),
        [from_us(other.time_us) for other in newest.values()],
        [from_us(other.receipt_time_us) for other in newest.values()],
        *(list(column) for column in zip(*results, strict=True)),
        [stored[series] for series in newest],
        [late[series] for series in newest],
    ]
    await cursor.execute(sql.MERGE_LATEST_OTHERS, columns)
