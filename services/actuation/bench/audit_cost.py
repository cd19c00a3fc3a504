"""What the audit log costs a commit of commands: the same ledger with it and without, turn by turn.

    .venv/bin/python services/actuation/bench/audit_cost.py

PostgreSQL is real and durable; each figure is the median of its runs, with the 99th percentile beside it.
"""

import asyncio
import random
import statistics
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from maasloop.actuation.adapters.postgres_ledger import PostgresLedger
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.setpoint import LightLevel
from maasloop.actuation.entrypoints.messages import MessageCodec
from maasloop.core.clock import SystemClock
from maasloop.postgres.migrate import migrate, of_package
from maasloop.stack.servers.databases import role_name
from maasloop.testing.databases import TestDatabases
from maasloop.testing.providers import provide_timescale

SERVICE = "actuation"
SIZES = (1, 20, 200)
"""Commands of a commit."""
COMMITS = 150


def commands(count: int) -> Batch:
    """Return commands of policies to lamps, each with an id of its own."""
    made = [
        Command(
            id=uuid.uuid4().hex,
            district="noord",
            device=f"lamp-{random.randrange(1_000)}",
            setpoint=LightLevel(50.0, 0.0),
            authority=Authority.ADAPTIVE,
            issuer="policies/dim",
            cause="sensor/presence@1",
            state=State.ACCEPTED,
            create_time_us=1,
            not_before_us=1,
            expire_us=900_000_001,
            verify_by_us=10_000_001,
        )
        for _ in range(count)
    ]
    return Batch(commands=made)


@asynccontextmanager
async def ledger_of(dsn: str, *, audited: bool) -> AsyncIterator[PostgresLedger]:
    """Run a ledger for the block."""
    ledger = PostgresLedger(dsn, MessageCodec(), SystemClock(), audited=audited)
    await ledger.open()
    running = asyncio.create_task(ledger.run())
    try:
        yield ledger
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await ledger.close()


async def measure(dsns: dict[bool, str], size: int) -> None:
    """Commit in turns and print both."""
    clock = SystemClock()
    milliseconds: dict[bool, list[float]] = {False: [], True: []}
    async with ledger_of(dsns[False], audited=False) as plain, ledger_of(dsns[True], audited=True) as audited:
        for _ in range(COMMITS):
            for kind, ledger in ((False, plain), (True, audited)):
                batch = commands(size)
                began_s = clock.monotonic_s()
                await ledger.commit(batch)
                milliseconds[kind].append((clock.monotonic_s() - began_s) * 1_000)
    for kind, found in milliseconds.items():
        p50, p99 = statistics.median(found), statistics.quantiles(found, n=100)[98]
        print(
            f"{size:4} commands a commit, {'with' if kind else 'without'} the log: p50 {p50:.2f} ms, p99 {p99:.2f} ms,"
            f" {size * 1_000 / statistics.mean(found):,.0f} commands/s"
        )


async def main() -> None:
    """Measure every size."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with provide_timescale() as server:
        databases = TestDatabases(server)
        databases.prepare()
        names = {audited: databases.create() for audited in (False, True)}
        dsns = {audited: server.dsn(name, role_name(SERVICE)) for audited, name in names.items()}
        for dsn in dsns.values():
            await migrate(dsn, of_package("maasloop.actuation"))
        for size in SIZES:
            await measure(dsns, size)
        for name in names.values():
            databases.drop(name)
        databases.close()


asyncio.run(main())
