"""What is there in the end: rows, positions, the balance, rollups and newest observations, read from the servers.

Everything is read with SQL and the JetStream API, beside the services, so that no service testifies for itself.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import AsyncConnection, AsyncCursor

from maasloop.bus.columns import READINGS_HEADER
from maasloop.bus.connection import Bus
from maasloop.stack.local import LocalStack
from maasloop.testing.buses import core_bus

MICROSECONDS_1970_TO_2000 = 946_684_800_000_000
COPY_HEADER_BYTES = 19
ROW = np.dtype(
    [
        ("fields", ">i2"), ("l0", ">i4"), ("series", ">i4"), ("l1", ">i4"), ("time", ">i8"), ("l2", ">i4"),
        ("value", ">f8"),
    ]
)  # fmt: skip
"""A row of binary COPY of (series, time, value), none of them null."""
OBSERVATION_STREAMS = ("OBSERVATIONS", "PERSONAL", "IMPORTS")
TERMS = ("accepted", "stored", "duplicate", "conflict", "quarantined", "refused_consent", "shed", "dead_lettered")
COUNT_TIMEOUT_S = 120.0
_TRAILER_BYTES = 2


@dataclass(frozen=True, slots=True)
class Rows:
    """All numbers as columns."""

    device: NDArray[np.int64]
    time_us: NDArray[np.int64]
    value: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found at rest."""

    rows: Rows
    terms: Mapping[str, int]
    """The custody balance over everything."""
    by_door: Mapping[str, Mapping[str, int]]
    lost: int
    """Holes in the running totals of producers."""
    positions: Mapping[str, int]
    """Furthest position by stream, in the present life of each."""
    last_sequences: Mapping[str, int]
    in_streams: int
    """Readings of all messages that the streams of observations ever took."""
    rollup_faults: Mapping[str, int]
    """By table, buckets that differ from a recomputation."""
    latest_faults: int
    """Series whose newest observation is not their newest row."""
    rollups: int
    """Buckets that must be whole, and were compared with a recomputation."""


async def collect(stack: LocalStack) -> Evidence:
    """Read everything."""
    async with (
        await AsyncConnection.connect(stack.postgres_dsn, autocommit=True) as connection,
        core_bus(stack, "faults") as bus,
    ):
        return await read(connection, bus)


async def read(connection: AsyncConnection[Any], bus: Bus) -> Evidence:
    """Read everything, as the transaction of this connection sees it."""
    async with connection.cursor() as cursor:
        await cursor.execute("SET search_path = timeseries, public")
        terms, by_door = await _custody(cursor)
        positions = await _positions(cursor)
        compared, faults = await _rollups(cursor)
        return Evidence(
            rows=await _rows(cursor),
            terms=terms,
            by_door=by_door,
            lost=int(await _one(cursor, "SELECT coalesce(sum(lost), 0)::bigint FROM producers")),
            positions=positions,
            last_sequences={stream: await _last_sequence(bus, stream) for stream in positions},
            in_streams=sum([await _readings(bus, stream) for stream in OBSERVATION_STREAMS]),
            rollup_faults=faults,
            latest_faults=int(await _one(cursor, _LATEST)),
            rollups=compared,
        )


async def _one(cursor: AsyncCursor[Any], query: str) -> Any:  # noqa: ANN401 - a value of the database
    await cursor.execute(query.encode())
    row = await cursor.fetchone()
    assert row is not None
    return row[0]


async def _rows(cursor: AsyncCursor[Any]) -> Rows:
    await cursor.execute("SELECT id, device FROM series")
    device_of = {int(series): int(str(device).rpartition("-")[2]) for series, device in await cursor.fetchall()}
    chunks = []
    statement = 'COPY (SELECT series, time, value FROM "numbers") TO STDOUT (FORMAT binary)'
    async with cursor.copy(statement) as copy:
        chunks = [bytes(chunk) async for chunk in copy]
    found = np.frombuffer(b"".join(chunks)[COPY_HEADER_BYTES:-_TRAILER_BYTES], ROW)
    table = np.zeros(max(device_of, default=0) + 1, np.int64)
    for series, device in device_of.items():
        table[series] = device
    return Rows(
        table[found["series"].astype(np.int64)],
        found["time"].astype(np.int64) + MICROSECONDS_1970_TO_2000,
        found["value"].astype(np.int64),
    )


async def _custody(cursor: AsyncCursor[Any]) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    sums = ", ".join(f"coalesce(sum({term}), 0)::bigint" for term in TERMS)
    await cursor.execute(f"SELECT {sums} FROM custody".encode())
    row: Any = await cursor.fetchone()
    terms = dict(zip(TERMS, map(int, row), strict=True))
    await cursor.execute(f"SELECT door, {sums} FROM custody GROUP BY door".encode())
    by_door = {door: dict(zip(TERMS, map(int, values), strict=True)) for door, *values in await cursor.fetchall()}
    return terms, by_door


async def _positions(cursor: AsyncCursor[Any]) -> dict[str, int]:
    await cursor.execute(
        """
        SELECT DISTINCT ON (stream) stream, last FROM (
            SELECT stream, created, epoch, max(sequence) AS last FROM positions_in_streams GROUP BY 1, 2, 3
        ) AS lives ORDER BY stream, created DESC, epoch DESC
        """
    )
    return {stream: int(last) for stream, last in await cursor.fetchall()}


async def _last_sequence(bus: Bus, stream: str) -> int:
    answer = await bus.api(f"STREAM.INFO.{stream}")
    return int(answer["state"]["last_seq"]) if "error" not in answer else 0


async def _readings(bus: Bus, stream: str) -> int:
    """Add up the readings of all messages of a stream, by their headers."""
    last = await _last_sequence(bus, stream)
    if not last:
        return 0
    inbox = bus.client.new_inbox()
    total, seen, done = 0, 0, asyncio.Event()

    async def hear(message: Any) -> None:  # noqa: ANN401 - a message of the driver
        nonlocal total, seen
        told = (message.headers or {}).get(READINGS_HEADER, "1")
        # As the writer counts a message that cannot be read and does not say how many readings it held.
        total += int(told) if told.isdigit() else 1
        seen = int(message.reply.split(".")[5])
        if seen >= last:
            done.set()

    subscription = await bus.client.subscribe(inbox, cb=hear, pending_msgs_limit=-1, pending_bytes_limit=-1)
    config = {
        "deliver_subject": inbox,
        "deliver_policy": "all",
        "ack_policy": "none",
        "headers_only": True,
        "mem_storage": True,
    }
    answer = await bus.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config})
    assert "error" not in answer, answer
    async with asyncio.timeout(COUNT_TIMEOUT_S):
        await done.wait()
    await subscription.unsubscribe()
    return total


async def _rollups(cursor: AsyncCursor[Any]) -> tuple[int, dict[str, int]]:
    """Compare every bucket of every class with what its rows give.

    A bucket whose readings all lie before the open window is whole. From there on readers take figures from rows, and the
    tables may lack readings, but never hold more than there are.
    """
    compared, faults = 0, {}
    for kind, seconds in (("minutes", 60), ("hours", 3600)):
        for retention in ("7d", "90d", "2y", "forever"):
            table = f"{kind}_{retention}"
            names = {"table": table, "rows": f"numbers_{retention}", "retention": retention, "seconds": seconds}
            await cursor.execute(_RECOMPUTED.format(**names).encode())
            row: Any = await cursor.fetchone()
            compared += int(row[0])
            if row[1]:
                faults[table] = int(row[1])
    return compared, faults


_RECOMPUTED = """
    WITH made AS (
        SELECT series,
            to_timestamp(946857600 + {seconds} * floor((extract(epoch FROM time) - 946857600) / {seconds})) AS bucket,
            count(*) AS count, sum(value) AS sum, min(value) AS minimum, max(value) AS maximum,
            (array_agg(value ORDER BY time))[1] AS first, min(time) AS first_time,
            (array_agg(value ORDER BY time DESC))[1] AS last, max(time) AS last_time
        FROM "{rows}" GROUP BY 1, 2
    ), compared AS (
        SELECT greatest(m.last_time, r.last_time) < coalesce(
                (SELECT min(open_from) FROM rollup_windows WHERE retention = '{retention}'), 'infinity'
            ) AS closed,
            r.count > coalesce(m.count, 0) AS beyond,
            m.count IS DISTINCT FROM r.count OR m.minimum IS DISTINCT FROM r.minimum
                OR m.maximum IS DISTINCT FROM r.maximum OR m.first IS DISTINCT FROM r.first
                OR m.first_time IS DISTINCT FROM r.first_time OR m.last IS DISTINCT FROM r.last
                OR m.last_time IS DISTINCT FROM r.last_time OR abs(m.sum - r.sum) > 1e-9 * abs(m.sum)
                OR m.sum IS NULL OR r.sum IS NULL AS different
        FROM made AS m FULL JOIN "{table}" AS r ON r.series = m.series AND r.time = m.bucket
    )
    SELECT count(*) FILTER (WHERE closed), count(*) FILTER (WHERE beyond OR (closed AND different)) FROM compared
"""
_LATEST = """
    SELECT count(*) FROM (
        SELECT series, max(time) AS time FROM numbers GROUP BY series
    ) AS n LEFT JOIN latest AS l ON l.series = n.series
    LEFT JOIN numbers AS r ON r.series = n.series AND r.time = n.time
    WHERE l.time IS DISTINCT FROM n.time OR l.value IS DISTINCT FROM r.value
"""
