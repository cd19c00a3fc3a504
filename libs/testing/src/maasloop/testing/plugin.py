"""Fixtures for real servers, the order in which tests run, how many run side by side, and what was not run.

Each test that asks gets a NATS server or a database of its own, which cost about 30 ms each; the PostgreSQL server is
started once a session, which is once a worker.
"""

import asyncio
import fcntl
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from maasloop.stack.local import LocalStack, StackOptions
from maasloop.stack.servers.databases import DATABASE, create_service_database, role_name
from maasloop.stack.servers.nats import NatsServer
from maasloop.stack.servers.postgres import PostgresServer
from maasloop.testing.buses import refused_to_services
from maasloop.testing.databases import TestDatabases
from maasloop.testing.endpoints import NatsEndpoint, TimescaleEndpoint
from maasloop.testing.providers import (
    local_nats,
    local_postgres,
    nats_is_local,
    provide_nats,
    provide_timescale,
    scratch_directory,
    wipe_streams,
)
from maasloop.testing.stack_data import StackData

SERVER_FIXTURES = frozenset(
    {"nats_server", "nats_endpoint", "nats_process", "timescale", "test_databases", "postgres_process"}
)
STACK_FIXTURES = frozenset({"local_stack", "shared_stack"})
KINDS = ("", "integration", "e2e")
ALONE = "alone"
WORKERS_MAX = 4
"""Workers of ``--numprocesses auto``: each has servers of its own."""
NOT_RUN = "not run: "
"""Begins the reason of a skip that the end of every run tells: something that a full run compares is missing."""
ERROR_LEVEL = "[error"
ERROR_LINES_MAX = 60
"""Lines of a service's log, from its first error on, that a failed test shows."""

_running: list[LocalStack] = []
_stack_data = StackData()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test that needs a server, and run what is cheap first.

    Workers take the longest files first, by time limit and kind, so that none of them is left with one at the end, and
    last of all those that want to be alone.
    """
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & SERVER_FIXTURES:
            item.add_marker(pytest.mark.integration)
        if fixtures & STACK_FIXTURES:
            item.add_marker(pytest.mark.e2e)
    items.sort(key=_kind)
    if _is_worker(config):
        files: dict[Path, list[pytest.Item]] = defaultdict(list)
        for item in items:
            files[item.path].append(item)
        weights = {path: _weight(found) for path, found in files.items()}
        items.sort(key=lambda item: weights[item.path], reverse=True)


def _weight(items: list[pytest.Item]) -> tuple[bool, float, int]:
    among_others = all(item.get_closest_marker(ALONE) is None for item in items)
    return among_others, max(map(_limit_s, items)), max(map(_kind, items))


def _kind(item: pytest.Item) -> int:
    return max(index for index, kind in enumerate(KINDS) if not kind or item.get_closest_marker(kind))


def _limit_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None and marker.args else 0.0


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker a core, and one more for tests with servers, which wait for a third of their time.

    One alone where a NATS server is given, whose streams every test deletes.
    """
    if not nats_is_local():
        return 1
    servers = "not integration" not in config.getoption("markexpr")
    return min((os.cpu_count() or 1) + servers, WORKERS_MAX)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let what measures run while no other worker runs anything."""
    if not _is_worker(item.config):
        return (yield)
    # A lock of the checkout; the kernel opens it when the descriptor is closed, or the worker ends.
    checkout = os.open(item.config.rootpath, os.O_RDONLY)
    try:
        fcntl.flock(checkout, fcntl.LOCK_SH if item.get_closest_marker(ALONE) is None else fcntl.LOCK_EX)
        return (yield)
    finally:
        os.close(checkout)


def pytest_unconfigure() -> None:
    """Remove what stacks were started from."""
    _stack_data.remove()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end of a run what was not run, and why."""
    reports = (str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    missed = Counter(text.partition(NOT_RUN)[2].rstrip("')]") for text in reports if NOT_RUN in text)
    if missed:
        terminalreporter.section("not run")
        for reason, count in sorted(missed.items()):
            terminalreporter.line(f"{count} tests: {reason}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test the errors in the logs of its services, which end with their stack."""
    report = yield
    if report.failed:
        for stack in _running:
            report.sections += [(f"errors of {name} ({item.name})", text) for name, text in _errors(stack)]
    return report


def _errors(stack: LocalStack) -> Iterator[tuple[str, str]]:
    for name in stack.services:
        log = stack.directory.logs / f"{name}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        first = next((place for place, line in enumerate(lines) if ERROR_LEVEL in line), None)
        if first is not None:
            yield name, "\n".join(lines[first : first + ERROR_LINES_MAX])


@pytest.fixture(autouse=True)
def _unchanged_logging() -> Iterator[None]:
    """Undo what a test's command or service has done to logging, which belongs to the whole process."""
    configuration = structlog.get_config()
    configured = structlog.is_configured()
    yield
    if configured:
        structlog.configure(**configuration)
    else:
        structlog.reset_defaults()


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsEndpoint]:
    """One NATS server for the session; its streams are shared, so prefer ``nats_url``."""
    with provide_nats() as endpoint:
        yield endpoint


@pytest.fixture
def nats_endpoint(request: pytest.FixtureRequest) -> Iterator[NatsEndpoint]:
    """An empty NATS server for one test: a process of its own, or the given server with its streams deleted."""
    if nats_is_local():
        with local_nats() as endpoint:
            yield endpoint
        return
    endpoint = request.getfixturevalue("nats_server")
    wipe_streams(endpoint.url)
    yield endpoint


@pytest.fixture
def nats_url(nats_endpoint: NatsEndpoint) -> str:
    """Address of an empty NATS server with JetStream."""
    return nats_endpoint.url


@pytest.fixture
def mqtt_address(nats_endpoint: NatsEndpoint) -> tuple[str, int]:
    """Host and port of the MQTT listener of the server behind ``nats_url``."""
    return nats_endpoint.mqtt_address


@pytest.fixture
def nats_process() -> Iterator[NatsServer]:
    """A started nats-server that the test may kill, pause and restart."""
    with scratch_directory() as directory:
        server = NatsServer(directory)
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def timescale() -> Iterator[TimescaleEndpoint]:
    """One PostgreSQL server with TimescaleDB for the session."""
    with provide_timescale() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def test_databases(timescale: TimescaleEndpoint) -> Iterator[TestDatabases]:
    """The template from which each test's database is copied."""
    databases = TestDatabases(timescale)
    databases.prepare()
    yield databases
    databases.close()


@pytest.fixture
def postgres_database(test_databases: TestDatabases) -> Iterator[str]:
    """Name of a fresh database with TimescaleDB and the schemas and roles of the six services."""
    name = test_databases.create()
    yield name
    test_databases.drop(name)


@pytest.fixture
def postgres_dsn(timescale: TimescaleEndpoint, postgres_database: str) -> str:
    """Connection string of a superuser to a fresh database."""
    return timescale.dsn(postgres_database)


@pytest.fixture
def service_dsn(timescale: TimescaleEndpoint, postgres_database: str) -> Callable[[str], str]:
    """Connection strings by service name: its own role, which finds its own schema, in a fresh database."""

    def dsn_of(service: str) -> str:
        return timescale.dsn(postgres_database, role_name(service))

    return dsn_of


@pytest.fixture
def postgres_process() -> Iterator[PostgresServer]:
    """A started PostgreSQL with the database ``maasloop`` that the test may kill, pause and restart."""
    with local_postgres() as server:
        create_service_database(server.dsn(), server.dsn(DATABASE))
        yield server


@pytest.fixture
def local_stack() -> Iterator[LocalStack]:
    """NATS, PostgreSQL and all six services for one test, which may kill and start each; nothing restarts by itself."""
    with running_stack() as stack:
        yield stack


@pytest.fixture(scope="module")
def shared_stack() -> Iterator[LocalStack]:
    """The same for all tests of a module, which leave its processes alone."""
    with running_stack() as stack:
        yield stack


@contextmanager
def running_stack(
    options: StackOptions | None = None, *, prepare: Callable[[Path], None] | None = None, migrated: bool = True
) -> Iterator[LocalStack]:
    """Run a stack on empty state, or on what ``prepare`` leaves in its directory; independent of any event loop.

    Its database has the tables of this version unless it is not to be ``migrated``.
    """
    with scratch_directory() as directory:
        if prepare is not None:
            prepare(directory)
        if migrated:
            _stack_data.copy_to(directory)
        stack = LocalStack(directory, replace(options or StackOptions(), restart=False, durable_initdb=False))
        asyncio.run(stack.__aenter__())
        _running.append(stack)
        try:
            yield stack
        finally:
            _running.remove(stack)
            asyncio.run(stack.__aexit__(None, None, None))
        refused = refused_to_services(stack)
        assert not refused, f"NATS refused services what they tried: {refused}"
