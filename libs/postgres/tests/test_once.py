"""A step's connection has limits: a server that is silent, and a statement that never ends, end the step."""

import socket

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from maasloop.postgres.once import STEP_TIMEOUT_MS, connect_once

LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name")


def test_a_server_that_accepts_and_says_nothing_ends_the_step() -> None:
    """Without the limit libpq waits for its answer for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            connect_once(dsn, name="test")


@pytest.mark.integration
def test_a_statement_has_a_limit(postgres_dsn: str) -> None:
    """The server ends it, and shows who asked; each limit of a service's connections is there as well."""
    with connect_once(postgres_dsn, name="test-once") as connection:
        shown = [(connection.execute(f"SHOW {each}").fetchone() or ("",))[0] for each in LIMITS]
    brief = connect_once(postgres_dsn, name="test", statement_timeout_ms=50)
    with pytest.raises(psycopg.errors.QueryCanceled), brief as connection:
        connection.execute("SELECT pg_sleep(60)")

    assert shown == [f"{STEP_TIMEOUT_MS // 60_000}min", "5s", "20s", "test-once"]


@pytest.mark.integration
def test_what_the_connection_string_says_wins(postgres_dsn: str) -> None:
    """Whoever administers a slow server says so there."""
    with connect_once(make_conninfo(postgres_dsn, options="-c statement_timeout=7000"), name="test") as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("7s",)
