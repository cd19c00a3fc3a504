"""A command and its line in the audit log are one transaction."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import psycopg
import pytest
from psycopg._queries import MAX_CACHED_STATEMENT_LENGTH, MAX_CACHED_STATEMENT_PARAMS

from maasloop.actuation.adapters import sql
from maasloop.actuation.adapters.postgres_ledger import PostgresLedger
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.setpoint import LightLevel
from maasloop.actuation.entrypoints.messages import MessageCodec
from maasloop.audit.entries import Verb, decode
from maasloop.core.clock import SystemClock
from maasloop.postgres.migrate import migrate, of_package

COMMAND = Command(
    id="c1",
    district="noord",
    device="lamp-1",
    setpoint=LightLevel(50.0, 0.0),
    authority=Authority.OPERATOR,
    issuer="person/ada",
    cause="requests/1",
    state=State.ACCEPTED,
    create_time_us=7,
    not_before_us=1,
    expire_us=900_000_001,
    verify_by_us=10_000_001,
)


@pytest.fixture(name="dsn")
async def _dsn(service_dsn: Callable[[str], str]) -> str:
    found = service_dsn("actuation")
    await migrate(found, of_package("maasloop.actuation"))
    return found


@asynccontextmanager
async def _ledger(dsn: str) -> AsyncIterator[tuple[PostgresLedger, asyncio.Task[None]]]:
    ledger = PostgresLedger(dsn, MessageCodec(), SystemClock(), audited=True)
    await ledger.open()
    running = asyncio.create_task(ledger.run())
    try:
        yield ledger, running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await ledger.close()


def test_the_driver_reads_the_statement_of_a_commit_once() -> None:
    """What is longer than its cache takes it would parse anew at each commit, on the event loop."""
    assert sql.WRITE_AUDITED.count("%s") <= MAX_CACHED_STATEMENT_PARAMS
    assert len(sql.WRITE_AUDITED) <= MAX_CACHED_STATEMENT_LENGTH


async def test_a_command_is_in_the_log(dsn: str) -> None:
    """What was accepted and what was refused is there with issuer, authority and reason; later states are not."""
    refused = replace(COMMAND, id="c2", state=State.REFUSED, reason="OUTRANKED")
    async with _ledger(dsn) as (ledger, _):
        await ledger.commit(Batch(commands=[COMMAND, refused]))
        await ledger.commit(Batch(commands=[replace(COMMAND, state=State.DISPATCHED)]))
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT entry FROM audit.read(0, 10)").fetchall()
        events = connection.execute("SELECT ce_id FROM outbox ORDER BY id").fetchall()

    first, second = (decode(row[0]) for row in rows)
    assert (first.verb, first.actor, first.authority, first.call) == (Verb.COMMANDED, "person/ada", "OPERATOR", "c1")
    assert first.resource == "districts/noord/devices/lamp-1"
    assert first.time_us == 7
    assert (second.verb, second.outcome, second.reason) == (Verb.REFUSED, "REFUSED", "OUTRANKED")
    assert events == [("c1-issued",), ("c2-issued",), ("c2-settled",), ("c1-dispatched",)]


async def test_the_relay_hears_of_events_at_the_commit(dsn: str) -> None:
    """The notification of the outbox goes out with the audited statement too."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as listener:
        await listener.execute('LISTEN "actuation.outbox"')
        async with _ledger(dsn) as (ledger, _):
            await ledger.commit(Batch(commands=[COMMAND]))
        heard = [notice.channel async for notice in listener.notifies(timeout=20, stop_after=1)]

    assert heard == ["actuation.outbox"]


async def test_without_the_log_there_is_no_command(dsn: str, postgres_dsn: str) -> None:
    """Where the log takes no entry, nothing of the transaction happens, and the process ends."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION audit.append FROM maasloop_actuation")
    async with _ledger(dsn) as (ledger, running):
        ledger.defer(Batch(commands=[COMMAND]))
        async with asyncio.timeout(30):
            await asyncio.wait([running])
        assert isinstance(running.exception(), psycopg.errors.InsufficientPrivilege)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM commands").fetchone() == (0,)
