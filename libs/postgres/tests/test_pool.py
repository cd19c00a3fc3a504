"""Connections wait for the database, carry their limits, and say what a failure means."""

import asyncio
import socket

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout
from structlog.testing import capture_logs

from maasloop.core.clock import FakeClock
from maasloop.core.errors import InvalidArgument, ResourceExhausted, Unavailable
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import PAUSE_MAX_S, check, connect, connection_string, open_pool
from maasloop.telemetry import metrics

STEPS_TO_A_CONNECTION = 30
"""Turns of the event loop, more than a checkout takes."""


def _refusing_dsn() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    return f"postgresql://me:hunter2@127.0.0.1:{port}/nowhere"


async def test_a_pool_s_connections_carry_the_limits(postgres_dsn: str) -> None:
    """Time-outs and the client's name are set on the server's side."""
    async with open_pool(postgres_dsn, name="maasloop-test") as pool, pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
            " current_setting('application_name'), current_setting('timezone')"
        )

        assert await cursor.fetchone() == ("15s", "5s", "maasloop-test", "UTC")


def test_options_of_the_dsn_are_kept() -> None:
    """What the DSN says itself wins over the defaults."""
    merged = conninfo_to_dict(
        connection_string("postgresql://host/db?connect_timeout=9&options=-c%20statement_timeout%3D1", name="x")
    )

    assert merged["connect_timeout"] in {"9", 9}
    assert str(merged["options"]).endswith("-c statement_timeout=1")
    assert merged["host"] == "host"


async def test_a_connection_waits_with_growing_pauses_and_a_word() -> None:
    """While nobody listens each try is logged, the pauses grow to a limit, and no password is shown."""
    clock = FakeClock()
    with capture_logs() as lines:
        waiting = asyncio.create_task(connect(_refusing_dsn(), name="test", clock=clock))
        while len(lines) < 8:
            await asyncio.sleep(0.01)
            await clock.advance(PAUSE_MAX_S)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    pauses = [line["pause_s"] for line in lines]
    assert {line["event"] for line in lines} == {"database_awaited"}
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE_MAX_S
    assert "hunter2" not in str(lines)


async def test_the_check_says_nothing_of_a_healthy_database(postgres_dsn: str) -> None:
    """A pool that answers has no reason against it."""
    async with open_pool(postgres_dsn, name="maasloop-test") as pool:
        assert await check(pool) is None


async def test_a_caller_cancelled_while_it_waits_leaves_transactions_whole(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever on its way to a connection it is cancelled, also on a busy loop, the next one gets no autocommit."""
    # As on an event loop that was busy for long: each step of psycopg lets others run.
    monkeypatch.setattr(psycopg.waiting, "MAX_BUSY_TIME", -1.0)
    async with open_pool(postgres_dsn, name="maasloop-test", size_max=1) as pool:

        async def ask() -> None:
            async with pool.connection() as connection:
                await connection.execute("SELECT 1")

        for steps in range(STEPS_TO_A_CONNECTION):
            asking = asyncio.create_task(ask())
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            async with pool.connection(timeout=30.0) as connection:
                assert not connection.autocommit, f"cancelled after {steps} steps"


async def test_a_connection_killed_by_the_server_is_replaced(postgres_dsn: str) -> None:
    """A checkout never hands out a connection that the server has closed."""
    async with open_pool(postgres_dsn, name="maasloop-test", size_max=1) as pool:
        async with pool.connection() as connection:
            killed = connection.info.backend_pid
        async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as other:
            await other.execute("SELECT pg_terminate_backend(%s, 1000)", (killed,))

        async with pool.connection() as connection:
            assert connection.info.backend_pid != killed


async def test_a_checkout_asks_the_server_nothing(postgres_dsn: str) -> None:
    """A connection on which nothing was heard is given as it is: what was asked last is what its last caller asked."""
    async with (
        open_pool(postgres_dsn, name="maasloop-test", size_max=1) as pool,
        await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as other,
    ):
        async with pool.connection() as connection:
            await connection.execute("SELECT 'mine'")
        async with pool.connection() as connection:
            cursor = await other.execute(
                "SELECT query FROM pg_stat_activity WHERE pid = %s", (connection.info.backend_pid,)
            )

            assert await cursor.fetchone() == ("COMMIT",)


@pytest.mark.parametrize(
    ("raised", "expected", "reason"),
    [
        (psycopg.OperationalError("gone"), Unavailable, "NEIGHBOUR_UNAVAILABLE"),
        (psycopg.InterfaceError("closed"), Unavailable, "NEIGHBOUR_UNAVAILABLE"),
        (psycopg.errors.DeadlockDetected("deadlock"), Unavailable, "NEIGHBOUR_UNAVAILABLE"),
        (psycopg.errors.QueryCanceled("statement timeout"), Unavailable, "NEIGHBOUR_UNAVAILABLE"),
        (psycopg.errors.ReadOnlySqlTransaction("a standby"), Unavailable, "NEIGHBOUR_UNAVAILABLE"),
        (psycopg.errors.IdleInTransactionSessionTimeout("too slow"), Unavailable, "NEIGHBOUR_UNAVAILABLE"),
        (psycopg.errors.DiskFull("full"), ResourceExhausted, "OVERLOADED"),
        (PoolTimeout("busy"), ResourceExhausted, "OVERLOADED"),
    ],
)
def test_failures_that_may_pass_become_retryable(raised: psycopg.Error, expected: type[Exception], reason: str) -> None:
    """Each is counted under its reason and asks the caller to come back."""
    before = metrics.value("maasloop_postgres_failures_total", reason=reason)

    with pytest.raises(expected) as caught, translated():
        raise raised

    assert getattr(caught.value, "reason", None) == reason
    assert caught.value.__cause__ is raised
    assert metrics.value("maasloop_postgres_failures_total", reason=reason) == before + 1


async def test_a_text_that_no_column_holds_is_the_caller_s_to_change(postgres_dsn: str) -> None:
    """U+0000 is refused with a reason; other wrong data is a fault of ours and stays what it is."""
    async with open_pool(postgres_dsn, name="maasloop-test") as pool:
        for text in ("a\0b", Jsonb("a\0b")):
            with pytest.raises(InvalidArgument) as refused, translated():
                async with pool.connection() as connection:
                    await connection.execute("SELECT %s", (text,))
            assert refused.value.reason == "TEXT_INVALID"
        with pytest.raises(psycopg.DataError), translated():
            async with pool.connection() as connection:
                await connection.execute("SELECT 1 / 0")


def test_other_database_errors_pass_unchanged() -> None:
    """A violated constraint is for the adapter that knows its meaning."""
    with pytest.raises(psycopg.errors.UniqueViolation), translated():
        raise psycopg.errors.UniqueViolation
