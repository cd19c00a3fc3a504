"""Bounded reads for accounts of devices and for traces."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import IsolationLevel
from psycopg import sql as composed

from maasloop.core.clock import from_us, to_us
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool
from maasloop.timeseries.domain.custody import Terms
from maasloop.timeseries.domain.partitioning import Share
from maasloop.timeseries.domain.sequence import Seam
from maasloop.timeseries.domain.series import Kind, Table
from maasloop.timeseries.ports.accounting import Custody, DeviceAccount, Settled
from maasloop.timeseries.ports.reading import Newest, SeriesRow

from . import sql_accounts as sql

CUSTODY = ("OBSERVATIONS", "IMPORTS", "PERSONAL", "QUARANTINE")
"""Streams whose readings are in the balance."""
_RESULTS = {Kind.NUMBERS: ("value",), Kind.STATES: ("state",), Kind.POSITIONS: ("longitude", "latitude")}


class PostgresAccounts:
    """Reads for queries; every statement has the pool's time-out."""

    def __init__(self, pool: Pool) -> None:
        """Take connections from this pool."""
        self._pool = pool

    async def devices(self, district: str, devices: Sequence[str], *, after: str, size: int) -> Sequence[DeviceAccount]:
        """Return accounts ordered by device, after one; devices with personal series are left out."""
        arguments = {"district": district, "devices": list(devices), "after": after, "size": size}
        async with self._connection() as connection:
            rows: list[Any] = await (await connection.execute(sql.DEVICES, arguments)).fetchall()
        return [_account(row) for row in rows]

    async def row(self, series: Sequence[SeriesRow], time_us: int) -> Newest | None:
        """Return the row of one of these series at a time, the first received where there are several."""
        by_table: defaultdict[Table, list[SeriesRow]] = defaultdict(list)
        for each in series:
            by_table[each.table].append(each)
        found = []
        async with self._connection() as connection:
            for table, members in by_table.items():
                arguments = ([member.id for member in members], from_us(time_us))
                rows: list[Any] = await (await connection.execute(_of(sql.ROW, table), arguments)).fetchall()
                found += [
                    Newest(members[place - 1], to_us(time), to_us(receipt), result[0] if len(result) == 1 else result)
                    for place, time, receipt, *result in rows
                ]
        return min(found, key=lambda each: each.receipt_time_us, default=None)

    async def settled(self) -> Mapping[str, Settled]:
        """Return by stream what has been stored."""
        async with self._connection() as connection:
            rows: list[Any] = await (await connection.execute(sql.POSITIONS, {"district": ""})).fetchall()
        return _settled(rows)

    async def custody(self, district: str) -> Custody:
        """Return the counters of a district, all of the same moment; empty = all."""
        arguments = {"district": district}
        async with self._connection() as connection:
            await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            try:
                async with connection.transaction():
                    found: list[list[Any]] = [
                        await (await connection.execute(statement, arguments)).fetchall()
                        for statement in (sql.TERMS, sql.LOST, sql.SERIES_STORED, sql.POSITIONS)
                    ]
            finally:
                await connection.set_isolation_level(None)
        terms, lost, stored, positions = found
        return Custody({door: Terms(*counts) for door, *counts in terms}, lost[0][0], stored[0][0], _settled(positions))

    async def missing_payloads(self) -> int:
        """Return the payloads that devices counted and that never came."""
        async with self._connection() as connection:
            row: Any = await (await connection.execute(sql.MISSING)).fetchone()
        return int(row[0])

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with translated():
            async with self._pool.connection() as connection:
                yield connection


def _settled(
    rows: Sequence[tuple[str, str, str | None, int | None, int | None, int | None, int]],
) -> dict[str, Settled]:
    """Return what is stored of each stream; a live lane has the stream's name before a stroke."""
    positions: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    floors: defaultdict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    live: defaultdict[tuple[str, str], list[tuple[Share, Seam]]] = defaultdict(list)
    count = 1
    for stream, created, district, partition, partitions, after, sequence in rows:
        if district is not None:
            positions[stream, created][district] = sequence
        elif partition is None:
            count = partitions or 1
        elif after is None:
            floors[stream, created][partition] = sequence
        else:
            live[stream, created].append((Share(partition, partitions or 1), Seam(after, sequence)))
    for (name, created), found in positions.items():
        stream, stroke, lane = name.partition("/")
        if stroke:
            live[stream, created].append((Share.named(lane), Seam(found[""], max(found.values()))))
    streams = {stream: Settled("", {}) for stream in CUSTODY}
    for stream, created in sorted(positions.keys() | floors.keys() | live.keys()):
        if stream in streams:
            of = (stream, created)
            # Where no partition has said anything, there was one only, which stored everything in order.
            reach = floors[of] or {0: max(positions[of].values(), default=0)}
            streams[stream] = Settled(created, positions[of], tuple(live[of]), reach, count)
    return streams


def _account(row: Sequence[Any]) -> DeviceAccount:
    device, stored, duplicate, conflict, quarantined, late, missing, last, receipt_time = row
    return DeviceAccount(
        device=device,
        stored=int(stored),
        duplicate=duplicate,
        conflict=conflict,
        quarantined=quarantined,
        late=int(late),
        missing_payloads=missing,
        last_sequence=last,
        receipt_time_us=None if receipt_time is None else to_us(receipt_time),
    )


def _of(statement: str, table: Table) -> composed.Composed:
    result = composed.SQL(", ").join(map(composed.Identifier, _RESULTS[table.kind]))
    return composed.SQL(statement).format(table=composed.Identifier(table.name), result=result)
