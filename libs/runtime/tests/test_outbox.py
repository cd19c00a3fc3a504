"""Facts leave in order, at least once, under one id, and only if their transaction was committed."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql

from maasloop.core.clock import FakeClock
from maasloop.core.errors import Unavailable
from maasloop.runtime import outbox
from maasloop.runtime.outbox import OUTBOX_DDL, OutboxRelay, OutboxRow, append


def _fact(number: int) -> OutboxRow:
    return OutboxRow(
        subject=f"subject.{number}", ce_id=f"id-{number}", ce_type="type", body=bytes([number]), revision=number
    )


class Broker:
    """Stores what it is told, and refuses as often as it is told to."""

    def __init__(self) -> None:
        self.stored: list[OutboxRow] = []
        self.refusals = 0
        self.changed = asyncio.Event()

    async def publish(self, row: OutboxRow) -> None:
        """Store a fact."""
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("NEIGHBOUR_UNAVAILABLE", "no PubAck")
        self.stored.append(row)
        self.changed.set()

    async def hold(self, count: int) -> list[str]:
        """Wait until that many facts are stored and return their ids."""
        while len(self.stored) < count:
            self.changed.clear()
            await self.changed.wait()
        return [row.ce_id for row in self.stored]


@pytest.fixture(name="connection")
async def _connection(postgres_dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as connection:
        await connection.execute(OUTBOX_DDL.encode())
        await connection.commit()
        yield connection


@pytest.fixture(name="broker")
async def _broker() -> Broker:
    return Broker()


@pytest.fixture(name="relay")
async def _relay(postgres_dsn: str, connection: object, broker: Broker) -> AsyncIterator[OutboxRelay]:
    relay = OutboxRelay(postgres_dsn, broker.publish, name="maasloop-test")
    running = asyncio.create_task(relay.run())
    yield relay
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def _write(connection: psycopg.AsyncConnection, *numbers: int) -> None:
    async with connection.transaction(), connection.cursor() as cursor:
        await append(cursor, [_fact(number) for number in numbers])


async def _emptied(connection: psycopg.AsyncConnection) -> None:
    while True:
        cursor = await connection.execute("SELECT count(*) FROM outbox")
        row = await cursor.fetchone()
        await connection.commit()
        if row == (0,):
            return
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("relay")
async def test_facts_leave_in_order_and_whole(connection: psycopg.AsyncConnection, broker: Broker) -> None:
    """Each field arrives as it was written, in order of writing, and the table is empty afterwards."""
    await _write(connection, 1, 2)
    await _write(connection, 3)

    assert await broker.hold(3) == ["id-1", "id-2", "id-3"]
    first = broker.stored[0]
    assert (first.subject, first.ce_type, first.body, first.traceparent, first.revision) == (
        "subject.1",
        "type",
        b"\x01",
        "",
        1,
    )
    await _emptied(connection)


@pytest.mark.usefixtures("relay")
async def test_what_was_rolled_back_never_leaves(connection: psycopg.AsyncConnection, broker: Broker) -> None:
    """A fact belongs to its transaction."""
    async with connection.cursor() as cursor:
        await append(cursor, [_fact(1)])
    await connection.rollback()
    await _write(connection, 2)

    assert await broker.hold(1) == ["id-2"]


@pytest.mark.usefixtures("relay")
async def test_a_refused_fact_is_tried_again_before_later_ones(
    connection: psycopg.AsyncConnection, broker: Broker
) -> None:
    """Order survives a broker that does not answer, and the id stays the same."""
    broker.refusals = 2
    await _write(connection, 1, 2)

    assert await broker.hold(2) == ["id-1", "id-2"]
    await _emptied(connection)


async def test_what_a_dead_relay_left_is_published_by_the_next(
    postgres_dsn: str, connection: psycopg.AsyncConnection, broker: Broker
) -> None:
    """Facts wait in the table; published but not yet deleted ones go again under the same id."""
    await _write(connection, 1)
    published = asyncio.Event()

    async def publish_and_die(row: OutboxRow) -> None:
        await broker.publish(row)
        published.set()
        await asyncio.Event().wait()

    first = asyncio.create_task(OutboxRelay(postgres_dsn, publish_and_die, name="first").run())
    await published.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(OutboxRelay(postgres_dsn, broker.publish, name="second").run())

    assert await broker.hold(2) == ["id-1", "id-1"]
    await _emptied(connection)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)


@pytest.mark.usefixtures("relay")
async def test_of_two_relays_one_publishes(
    postgres_dsn: str, connection: psycopg.AsyncConnection, broker: Broker
) -> None:
    """A second instance waits for the lead, so that order holds."""
    await _write(connection, 1)
    await broker.hold(1)
    other = Broker()
    second = asyncio.create_task(OutboxRelay(postgres_dsn, other.publish, name="second").run())
    for number in range(2, 12):
        await _write(connection, number)

    assert await broker.hold(11) == [f"id-{number}" for number in range(1, 12)]
    assert other.stored == []
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)


@pytest.mark.usefixtures("relay")
async def test_a_lost_connection_is_opened_again(
    postgres_dsn: str, connection: psycopg.AsyncConnection, broker: Broker
) -> None:
    """When the server ends the relay's session, it comes back and goes on."""
    await _write(connection, 1)
    await broker.hold(1)
    async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as other:
        await other.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE application_name = 'maasloop-test'"
        )
    await _write(connection, 2)

    assert (await broker.hold(2))[-1] == "id-2"


@pytest.mark.usefixtures("relay")
async def test_a_server_that_takes_no_changes_is_waited_for(
    postgres_dsn: str, connection: psycopg.AsyncConnection, broker: Broker
) -> None:
    """A relay that meets a standby after a failover goes on as soon as changes are taken again."""
    name = sql.Identifier(connection.info.dbname)
    await connection.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    await connection.commit()
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE application_name = 'maasloop-test'"
    )
    await connection.commit()
    await _write(connection, 1)
    # Published, and published again because it could not be deleted.
    assert await broker.hold(2) == ["id-1", "id-1"]

    await connection.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
    await connection.commit()

    await _emptied(connection)


async def test_a_fact_that_waits_long_makes_the_service_unready(
    postgres_dsn: str, connection: psycopg.AsyncConnection
) -> None:
    """The readiness check names the fact that the broker does not take."""
    clock = FakeClock()
    asked = asyncio.Event()

    async def never(_row: OutboxRow) -> None:
        asked.set()
        await asyncio.Event().wait()

    relay = OutboxRelay(postgres_dsn, never, name="stuck", clock=clock)
    await _write(connection, 1)
    running = asyncio.create_task(relay.run())
    await asked.wait()
    assert await relay.check() is None

    await clock.advance(outbox.STUCK_AFTER_S)

    assert "waits for the broker since 10 s" in (await relay.check() or "")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
