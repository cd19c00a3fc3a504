"""When readings become readable: a few are followed, each by asking for its series' newest observation."""

import asyncio
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from tests.load.city import DISTRICT, device_id
from tests.load.offering import Due, Outcome

POLL_S = 0.02
"""Pause between two questions; what is told is too long by half of it on average."""
PAUSE_S = 0.15
"""Pause of a watcher between two readings."""
PATIENCE_S = 30.0
_SERIES = "SELECT device, id FROM timeseries.series WHERE district = %s"
_READABLE = "SELECT time >= %s FROM timeseries.latest WHERE series = %s"


@dataclass
class Seen:
    """How long readings took from when they were due until they were readable."""

    latency_s: array[float] = field(default_factory=lambda: array("d"))
    never: int = 0


@asynccontextmanager
async def watched(
    dsn: str, outcomes: Sequence[Outcome], *, counts_from_s: float, watchers: int
) -> AsyncIterator[list[Seen]]:
    """Follow readings of each sender while the block runs; one result a sender."""
    seen = [Seen() for _ in outcomes]
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        rows = await (await connection.execute(_SERIES, (DISTRICT,))).fetchall()
    series: dict[str, int] = dict(rows)
    tasks = [
        asyncio.create_task(_follow(dsn, outcome, series, found, counts_from_s))
        for outcome, found in zip(outcomes, seen, strict=True)
        for _ in range(watchers)
    ]
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        for failed in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(failed, Exception):
                raise failed


async def _follow(dsn: str, outcome: Outcome, series: dict[str, int], seen: Seen, counts_from_s: float) -> None:
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        while True:
            waiting: asyncio.Future[Due] = asyncio.get_running_loop().create_future()
            outcome.watched.append(waiting)
            due = await waiting
            if await _readable(connection, series[device_id(due.device)], due):
                if due.due_s >= counts_from_s:
                    seen.latency_s.append(time.perf_counter() - due.due_s)
            else:
                seen.never += 1
            await asyncio.sleep(PAUSE_S)


async def _readable(connection: AsyncConnection[Any], series: int, due: Due) -> bool:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=due.event_time_us)
    deadline_s = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < deadline_s:
        row = await (await connection.execute(_READABLE, (moment, series))).fetchone()
        if row is not None and row[0]:
            return True
        await asyncio.sleep(POLL_S)
    return False
