"""Where the servers of a test session come from: the environment, local processes, or containers.

``MAASLOOP_TEST_NATS_URL`` (with ``MAASLOOP_TEST_MQTT_ADDRESS``) and ``MAASLOOP_TEST_POSTGRES_URL`` (a superuser's) name
servers that are there; their streams are deleted between tests. Otherwise processes are started on loopback, and where
this machine has no PostgreSQL 17, containers.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import nats

from maasloop.stack.account import can_enter, database_account
from maasloop.stack.servers.nats import NatsServer
from maasloop.stack.servers.postgres import BINARY_DIRECTORY, PostgresServer
from maasloop.testing.containers import timescale_container
from maasloop.testing.endpoints import GivenTimescale, NatsEndpoint, TimescaleEndpoint

NATS_URL_VARIABLE = "MAASLOOP_TEST_NATS_URL"
MQTT_ADDRESS_VARIABLE = "MAASLOOP_TEST_MQTT_ADDRESS"
POSTGRES_URL_VARIABLE = "MAASLOOP_TEST_POSTGRES_URL"

FALLBACK_DIRECTORY = Path("/var/lib/maasloop")
MQTT_PORT = 1883


def nats_is_local() -> bool:
    """Say whether NATS servers are processes of our own."""
    return NATS_URL_VARIABLE not in os.environ


def provide_nats() -> AbstractContextManager[NatsEndpoint]:
    """Return the NATS server of the session; nats-server is in our own environment, so no container is needed."""
    return local_nats() if nats_is_local() else given_nats()


@contextmanager
def given_nats() -> Iterator[NatsEndpoint]:
    """Take the server that the environment names."""
    host, _, port = os.environ.get(MQTT_ADDRESS_VARIABLE, "").partition(":")
    yield NatsEndpoint(os.environ[NATS_URL_VARIABLE], (host or "127.0.0.1", int(port or MQTT_PORT)))


@contextmanager
def local_nats(directory: Path | None = None) -> Iterator[NatsEndpoint]:
    """Start a nats-server, in a temporary directory unless one is given."""
    with tempfile.TemporaryDirectory(prefix="maasloop-nats-") as temporary:
        server = NatsServer(directory or Path(temporary))
        server.start()
        try:
            yield NatsEndpoint(server.url, server.mqtt_address)
        finally:
            server.stop()


def provide_timescale() -> AbstractContextManager[TimescaleEndpoint]:
    """Return the PostgreSQL server of the session by the first provider that fits."""
    if POSTGRES_URL_VARIABLE in os.environ:
        return given_timescale()
    if (BINARY_DIRECTORY / "postgres").exists():
        return local_postgres()
    return timescale_container()


@contextmanager
def given_timescale() -> Iterator[TimescaleEndpoint]:
    """Take the server that the environment names."""
    yield GivenTimescale(os.environ[POSTGRES_URL_VARIABLE])


@contextmanager
def local_postgres() -> Iterator[PostgresServer]:
    """Start a PostgreSQL server in a temporary directory that its account can reach."""
    with reachable_directory() as directory:
        server = PostgresServer(directory / "data", log_path=directory / "postgres.log", durable_initdb=False)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """Make a temporary directory that the account of the database can enter, and remove it at the end."""
    account = database_account()
    parent = Path(tempfile.gettempdir())
    if not can_enter(account, parent):
        FALLBACK_DIRECTORY.mkdir(parents=True, exist_ok=True)
        parent = FALLBACK_DIRECTORY
    with tempfile.TemporaryDirectory(prefix="maasloop-postgres-", dir=parent) as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


def wipe_streams(url: str) -> None:
    """Delete every stream of a NATS server, KV buckets among them."""

    async def wipe() -> None:
        client = await nats.connect(url)
        try:
            stream_api = client.jetstream()
            for stream in await stream_api.streams_info():
                await stream_api.delete_stream(str(stream.config.name))
        finally:
            await client.close()

    asyncio.run(wipe())
