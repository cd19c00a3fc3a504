"""Bounded reads for accounts of devices and for traces."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import sql as composed

from maasloop.core.clock import from_us, to_us
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool
from maasloop.timeseries.domain.series import Kind, Table
from maasloop.timeseries.ports.accounting import DeviceAccount
from maasloop.timeseries.ports.reading import Newest, SeriesRow

from . import sql_accounts as sql

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

    async def positions(self, district: str) -> dict[str, int]:
        """Return by stream how far a district has been stored."""
        async with self._connection() as connection:
            rows: list[Any] = await (await connection.execute(sql.POSITIONS, (district,))).fetchall()
        return dict(rows)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with translated():
            async with self._pool.connection() as connection:
                yield connection


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
