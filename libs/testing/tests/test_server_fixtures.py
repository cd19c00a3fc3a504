"""The fixtures give real servers, and a state of its own to each test."""

from collections.abc import Callable

import nats
import psycopg
import pytest

from maasloop.stack.servers.nats import NatsServer
from maasloop.stack.servers.postgres import PostgresServer


@pytest.mark.parametrize("attempt", [1, 2])
async def test_each_test_finds_jetstream_empty(nats_url: str, attempt: int) -> None:
    """A stream that one test makes is not there for the next."""
    client = await nats.connect(nats_url)
    stream_api = client.jetstream()

    assert await stream_api.streams_info() == [], attempt

    await stream_api.add_stream(name="LEFTOVER", subjects=["leftover"])
    await client.close()


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_finds_its_database_empty(postgres_dsn: str, attempt: int) -> None:
    """A table that one test makes is not there for the next."""
    with psycopg.connect(postgres_dsn) as connection:
        found = connection.execute("SELECT to_regclass('public.leftover') IS NULL").fetchone()

        assert found == (True,), attempt

        connection.execute("CREATE TABLE public.leftover (id integer)")


def test_a_service_finds_its_own_schema_and_no_other(service_dsn: Callable[[str], str]) -> None:
    """A role makes hypertables in its schema and may not read its neighbour's."""
    with psycopg.connect(service_dsn("timeseries")) as connection:
        connection.execute("CREATE TABLE readings (time timestamptz NOT NULL, value double precision)")
        connection.execute("SELECT create_hypertable('readings', 'time')")
        schema = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'readings'").fetchone()

    assert schema == ("timeseries",)

    with (
        psycopg.connect(service_dsn("consent")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT 1 FROM timeseries.readings")


async def test_nats_process_survives_kill9(nats_process: NatsServer) -> None:
    """What JetStream acknowledged is there after kill -9 and a restart."""
    client = await nats.connect(nats_process.url)
    await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
    acknowledged = await client.jetstream().publish("kept", b"reading")
    await client.close()

    nats_process.kill9()
    nats_process.start()

    client = await nats.connect(nats_process.url)
    message = await client.jetstream().get_msg("KEPT", acknowledged.seq)
    await client.close()
    assert message.data == b"reading"


def test_postgres_process_survives_kill9(postgres_process: PostgresServer) -> None:
    """What was committed is there after kill -9 of the server with all its backends, and the port stays."""
    dsn = postgres_process.dsn("maasloop", "maasloop_consent")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept (id integer)")
        connection.execute("INSERT INTO kept VALUES (7)")

    postgres_process.kill9()
    postgres_process.start()

    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT id FROM kept").fetchone() == (7,)
