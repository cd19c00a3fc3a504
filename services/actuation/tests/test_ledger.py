"""The one writer: what it stores, what it refuses to unsay, and who may write at all."""

# ruff: noqa: ANN401 - the classes of the fixtures live in conftest, which cannot be imported by name

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from maasloop.actuation.adapters.postgres_ledger import LeaseLost, PostgresLedger
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.override import Override, ended
from maasloop.actuation.domain.setpoint import LightLevel
from maasloop.actuation.entrypoints.messages import MessageCodec
from maasloop.actuation.entrypoints.steps import Steps
from maasloop.core.clock import SystemClock
from maasloop.postgres.migrate import migrate, of_package

COMMAND = Command(
    id="c1",
    district="noord",
    device="lamp-1",
    setpoint=LightLevel(50.0, 0.0),
    authority=Authority.OPERATOR,
    issuer="callers/unidentified",
    cause="requests/1",
    state=State.ACCEPTED,
    create_time_us=1,
    not_before_us=1,
    expire_us=900_000_001,
    verify_by_us=10_000_001,
)


@pytest.fixture
async def dsn(service_dsn: Callable[[str], str]) -> str:
    """Return the connection string of a database with our tables."""
    found = service_dsn("actuation")
    await migrate(found, of_package("maasloop.actuation"))
    return found


@asynccontextmanager
async def _ledger(dsn: str) -> AsyncIterator[PostgresLedger]:
    ledger = PostgresLedger(dsn, MessageCodec(), SystemClock())
    await ledger.open()
    running = asyncio.create_task(ledger.run())
    try:
        yield ledger
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await ledger.close()


async def _rows(dsn: str, statement: Any) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        return await (await connection.execute(statement)).fetchall()


async def _cut(dsn: str) -> None:
    """End the session of the ledger, as a restart of the server does."""
    await _rows(
        dsn,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'maasloop-actuation-ledger'",
    )


async def test_state_and_events_are_durable_together(dsn: str) -> None:
    """After a commit the row and its events are there, also of what was deferred before it."""
    async with _ledger(dsn) as ledger:
        ledger.defer(Batch(commands=[COMMAND]))
        await ledger.commit(Batch(commands=[replace(COMMAND, state=State.DISPATCHED)]))
        rows = await _rows(dsn, "SELECT state FROM commands")
        events = await _rows(dsn, "SELECT ce_id FROM outbox ORDER BY id")

    assert rows == [("DISPATCHED",)]
    assert events == [("c1-issued",), ("c1-dispatched",)]


async def test_events_leave_in_the_order_in_which_things_happened(dsn: str) -> None:
    """A command that is withdrawn before its commit began is told as issued first and then as settled."""
    nothing: Any = None
    sent: Any = _sent
    async with _ledger(dsn) as ledger:
        steps = Steps(
            City(), SystemClock(), ledger, evaluate=nothing, decide=nothing, verify=nothing, expire=nothing,
            pass_time=nothing, dispatch=sent, tell=nothing,
        )  # fmt: skip
        steps.start(Batch(commands=[COMMAND]))
        ledger.defer(Batch(commands=[replace(COMMAND, state=State.SUPERSEDED, reason="COMMAND_CANCELLED")]))
        await steps.land()
        events = await _rows(dsn, "SELECT ce_id FROM outbox ORDER BY id")

    assert events == [("c1-issued",), ("c1-settled",)]


async def _sent(*_: object, **__: object) -> None:
    """Send nothing."""


async def test_a_row_never_goes_backward(dsn: str) -> None:
    """A late copy of an older state changes nothing in the table."""
    async with _ledger(dsn) as ledger:
        await ledger.commit(Batch(commands=[replace(COMMAND, state=State.VERIFIED, reason="EFFECT_OBSERVED")]))
        await ledger.commit(Batch(commands=[replace(COMMAND, state=State.DISPATCHED)]))
        rows = await _rows(dsn, "SELECT state, reason FROM commands")

    assert rows == [("VERIFIED", "EFFECT_OBSERVED")]


async def test_an_older_state_in_the_same_transaction_undoes_nothing(dsn: str) -> None:
    """In whatever order states are handed over, a command that ended stays ended."""
    superseded = replace(COMMAND, state=State.SUPERSEDED, reason="LOCAL_CONTROL")
    async with _ledger(dsn) as ledger:
        ledger.defer(Batch(commands=[superseded]))
        await ledger.commit(Batch(commands=[COMMAND]))
        rows = await _rows(dsn, "SELECT state, reason FROM commands")

    assert rows == [("SUPERSEDED", "LOCAL_CONTROL")]


async def test_an_override_set_and_ended_at_once_is_stored_as_ended(dsn: str) -> None:
    """Both states of an override may share a transaction, in which each row is written once."""
    override = Override(
        id="o1",
        district="noord",
        device="lamp-1",
        setpoint=LightLevel(80.0, 0.0),
        authority=Authority.OPERATOR,
        end_us=900_000_001,
        justification="inspection",
        create_time_us=1,
    )
    async with _ledger(dsn) as ledger:
        ledger.defer(Batch(overrides=[override], released={"noord": True}))
        await ledger.commit(Batch(overrides=[ended(override, wall_us=2)], released={"noord": False}))
        rows = await _rows(dsn, "SELECT id, ended_time_us FROM overrides")
        released = await _rows(dsn, "SELECT district FROM released_districts")

    assert rows == [("o1", 2)]
    assert released == []


async def test_many_at_once_share_transactions(dsn: str) -> None:
    """Whatever waits while a transaction is under way goes into the next one."""
    heard: list[int] = []
    async with _ledger(dsn) as ledger:
        ledger.listen(lambda changes: heard.append(len(changes)))
        await asyncio.gather(*(ledger.commit(Batch(commands=[replace(COMMAND, id=f"c{one}")])) for one in range(200)))
        count = await _rows(dsn, "SELECT count(*) FROM commands")

    assert count == [(200,)]
    assert sum(heard) == 200
    assert len(heard) < 20


async def test_a_lost_connection_delays_and_loses_nothing(dsn: str) -> None:
    """A commit during which the server ends the session is tried again, with the lease taken anew."""
    async with _ledger(dsn) as ledger:
        await ledger.commit(Batch(commands=[COMMAND]))
        await _cut(dsn)
        await ledger.commit(Batch(commands=[replace(COMMAND, id="c2")]))
        rows = await _rows(dsn, "SELECT id FROM commands ORDER BY id")
        epoch = await _rows(dsn, "SELECT epoch FROM lease")

    assert rows == [("c1",), ("c2",)]
    assert epoch == [(2,)]


async def test_a_second_instance_waits_for_the_lease(dsn: str) -> None:
    """Two instances never write at the same time; the second one takes over when the first is gone."""
    second = PostgresLedger(dsn, MessageCodec(), SystemClock())
    async with _ledger(dsn):
        waiting = asyncio.create_task(second.open())
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
    await waiting
    assert await second.check() is None
    await second.close()


async def test_who_lost_the_lease_to_another_does_not_go_on(dsn: str) -> None:
    """If somebody else wrote meanwhile, the state in memory is not the truth, and nothing of it may be written."""
    first = PostgresLedger(dsn, MessageCodec(), SystemClock())
    await first.open()
    await _cut(dsn)
    async with _ledger(dsn):
        pass
    with pytest.raises(LeaseLost):
        await first.open()
    await first.close()
