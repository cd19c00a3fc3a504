"""The embedded PostgreSQL, run by its own configuration, and what the database job makes in it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import typer.testing
from psycopg.conninfo import make_conninfo
from tests.chart.parts.rendered import BLOCKS, PROFILES, HelmLibrary, merged, of_kind

from maasloop.cli.main import build
from maasloop.stack.preflight import database_findings
from maasloop.stack.servers import databases
from maasloop.stack.servers.databases import (
    DATABASE,
    SERVICES,
    GivenPasswords,
    create_service_database,
    role_name,
)
from maasloop.stack.servers.postgres import PostgresServer
from maasloop.stack.services import setting_name
from maasloop.testing.providers import scratch_directory

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

LOCAL_SUPERUSER = "host all postgres 127.0.0.1/32 trust\n"
"""Before the chart's own rules: the test makes no Secret for it."""


@pytest.fixture(name="server")
def _server(library: HelmLibrary) -> Iterator[PostgresServer]:
    """A server with the files of the ConfigMap, by the paths of this machine."""
    files = of_kind(library.render(PROFILES["laptop"]), "ConfigMap")["postgres"]["data"]
    with scratch_directory() as directory:
        rules = directory / "pg_hba.conf"
        rules.write_text(LOCAL_SUPERUSER + files["pg_hba.conf"])
        configuration = directory / "postgresql.conf"
        configuration.write_text(files["postgresql.conf"])
        for path in (rules, configuration):
            path.chmod(0o644)
        told = {"config_file": str(configuration), "hba_file": str(rules)}
        server = PostgresServer(
            directory / "data", log_path=directory / "postgres.log", settings=told, durable_initdb=False
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


def test_the_job_has_what_its_command_asks_for(library: HelmLibrary) -> None:
    """The connection string of each service, of one that is off as well: roles are made for all six, and rights name them."""
    off = {key: {"enabled": False} for key in BLOCKS if key != "deviceRegistry"}
    job = of_kind(library.render(merged(PROFILES["laptop"], off)), "Job")["database"]
    (container,) = job["spec"]["template"]["spec"]["containers"]

    assert {setting_name(service, "postgres_dsn") for service in SERVICES} <= {
        each["name"] for each in container["env"]
    }


def test_the_job_makes_what_services_need(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each role comes in by its password alone, once all is there, and owns its schema; a second run waits for no writer."""
    dsns = {
        service: f"postgresql://{role_name(service)}:secret-of-{service}@127.0.0.1:{server.port}/{DATABASE}"
        for service in SERVICES
    }
    nowhere = make_conninfo(server.dsn(), port=1)
    with pytest.raises(psycopg.OperationalError):
        create_service_database(
            server.dsn(), nowhere, passwords=GivenPasswords({role_name(each): dsn for each, dsn in dsns.items()})
        )
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(dsns["ingest"], connect_timeout=5)

    monkeypatch.setenv("MAASLOOP_CLI__POSTGRES_DSN", server.dsn())
    for service, dsn in dsns.items():
        monkeypatch.setenv(setting_name(service, "postgres_dsn"), dsn)
    first = typer.testing.CliRunner().invoke(build(), ["database", "ensure", "--json"])
    assert first.exit_code == 0, first.output
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=5s")
    with psycopg.connect(make_conninfo(server.dsn(), dbname=DATABASE)) as writing:
        writing.execute("LOCK TABLE audit.entries IN ROW EXCLUSIVE MODE")
        second = typer.testing.CliRunner().invoke(build(), ["database", "ensure", "--json"])

    assert second.exit_code == 0, second.exception
    assert list(database_findings(dsns)) == []
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(make_conninfo(dsns["ingest"], password="another"), connect_timeout=5)


def test_a_changed_audit_schema_lets_writers_pass(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for the lock of a table gives up soon, so that others write, and tries again until it is free."""
    monkeypatch.setattr(databases, "LOCK_TIMEOUT_S", 1)
    own = make_conninfo(server.dsn(), dbname=DATABASE)
    create_service_database(server.dsn(), own)
    with psycopg.connect(own, autocommit=True) as connection, ThreadPoolExecutor(1) as pool:
        connection.execute("COMMENT ON SCHEMA audit IS 'of a version before'")
        with connection.transaction():
            connection.execute("LOCK TABLE audit.entries IN ROW EXCLUSIVE MODE")
            ensured = pool.submit(create_service_database, server.dsn(), own)
            with psycopg.connect(own) as other:
                while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                    other.rollback()
                other.execute("LOCK TABLE audit.entries IN ROW EXCLUSIVE MODE")
            assert not ensured.done()
        ensured.result()
        (digest,) = connection.execute("SELECT obj_description('audit'::regnamespace)").fetchone() or ("",)
    assert digest != "of a version before"


def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The job waits as long as it was told, and ends with what is missing."""
    nowhere = f"postgresql://postgres@127.0.0.1:1/x?application_name={tmp_path.name}"
    for service in SERVICES:
        monkeypatch.setenv(setting_name(service, "postgres_dsn"), nowhere)
    monkeypatch.setenv("MAASLOOP_CLI__POSTGRES_DSN", nowhere)
    ended = typer.testing.CliRunner().invoke(build(), ["database", "ensure", "--wait", "0"])
    assert "whether it runs" in str(ended.exception)

    monkeypatch.delenv(setting_name("consent", "postgres_dsn"))
    ended = typer.testing.CliRunner().invoke(build(), ["database", "ensure", "--wait", "0"])
    assert "MAASLOOP_CONSENT__POSTGRES_DSN" in str(ended.exception)
