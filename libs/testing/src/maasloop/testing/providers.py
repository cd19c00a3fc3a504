"""Where the servers of a test session come from: the environment, local processes, or containers.

``MAASLOOP_TEST_NATS_URL`` (with ``MAASLOOP_TEST_MQTT_ADDRESS``) and ``MAASLOOP_TEST_POSTGRES_URL`` (a superuser's) name
servers that are there; their streams are deleted between tests. Otherwise processes are started on loopback, and where
this machine has no PostgreSQL 17, containers.
"""

import asyncio
import os
import shutil
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

MEMORY_DIRECTORY = Path("/dev/shm")  # noqa: S108 - names inside are made by tempfile
MEMORY_FREE_MIN_BYTES = 8 * 1024**3
"""Scratch directories lie in memory from this much free."""
FALLBACK_DIRECTORY = Path("/var/lib/maasloop")
SCRATCH_PREFIX = "maasloop-test-"
MQTT_PORT = 1883

SMALL_POSTGRES = {"shared_buffers": "128MB", "min_wal_size": "80MB", "max_wal_size": "1GB"}
"""Tests run several servers at once, and their data may lie in memory."""


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
def local_nats() -> Iterator[NatsEndpoint]:
    """Start a nats-server in a scratch directory."""
    with scratch_directory() as directory:
        server = NatsServer(directory)
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
    with scratch_directory() as directory:
        server = PostgresServer(
            directory / "data", log_path=directory / "postgres.log", settings=SMALL_POSTGRES, durable_initdb=False
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Make a directory that the account of the database can enter, and remove it at the end.

    It lies in memory where there is plenty: the tests kill processes and never cut the power, so what a server has
    written survives there as well, and hundreds of short-lived databases do not wait for one disk.
    """
    parent = scratch_parent()
    remove_orphans(parent)
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH_PREFIX}{os.getpid()}-", dir=parent) as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


def remove_orphans(parent: Path) -> None:
    """Remove scratch directories of sessions that were killed: in memory they would cost it until the next boot."""
    for directory in parent.glob(f"{SCRATCH_PREFIX}*-*"):
        owner = directory.name.removeprefix(SCRATCH_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(directory, ignore_errors=True)


def scratch_parent() -> Path:
    """Return where scratch directories go."""
    account = database_account()
    if MEMORY_DIRECTORY.is_dir() and shutil.disk_usage(MEMORY_DIRECTORY).free >= MEMORY_FREE_MIN_BYTES:
        return MEMORY_DIRECTORY
    parent = Path(tempfile.gettempdir())
    if can_enter(account, parent):
        return parent
    FALLBACK_DIRECTORY.mkdir(parents=True, exist_ok=True)
    return FALLBACK_DIRECTORY


def wipe_streams(url: str) -> None:
    """Delete every stream of a NATS server from outside an event loop."""
    asyncio.run(delete_streams(url))


async def delete_streams(url: str) -> None:
    """Delete every stream of a NATS server, KV buckets among them."""
    client = await nats.connect(url)
    try:
        stream_api = client.jetstream()
        for stream in await stream_api.streams_info():
            await stream_api.delete_stream(str(stream.config.name))
    finally:
        await client.close()
