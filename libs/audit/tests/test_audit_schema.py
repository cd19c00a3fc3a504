"""PostgreSQL keeps audit logs as they are: a service adds to its own, and nobody changes what is there."""

from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors

from maasloop.audit.chain import links
from maasloop.audit.schema import AUDITOR, log_sql
from maasloop.audit.tree import leaf_hash

BODIES = ['{"actor":"person/ada"}', '{"actor":"person/zoë"}', '{"actor":"nobody"}']
APPEND = "SELECT audit.append(%s::text[])"


def test_a_log_is_chained_by_the_database(service_dsn: Callable[[str], str], postgres_dsn: str) -> None:
    """Positions and links come from the database and are those that anybody computes; each role has a log of its own."""
    with psycopg.connect(service_dsn("consent"), autocommit=True) as connection:
        assert connection.execute(APPEND, [BODIES[:2]]).fetchone() == (2,)
        assert connection.execute(APPEND, [BODIES[2:]]).fetchone() == (3,)
        assert connection.execute(APPEND, [[]]).fetchone() == (None,)
        rows = connection.execute("SELECT place, entry, link FROM audit.read(0, 100)").fetchall()
    with psycopg.connect(service_dsn("ingest")) as connection:
        assert connection.execute("SELECT * FROM audit.read(0, 100)").fetchall() == []

    leaves = [leaf_hash(body.encode()) for body in BODIES]
    assert rows == list(zip((1, 2, 3), BODIES, links(leaves), strict=True))
    with psycopg.connect(postgres_dsn) as connection:
        assert connection.execute("SELECT log, leaf FROM audit.entries ORDER BY position").fetchall() == [
            ("consent", leaf) for leaf in leaves
        ]


def test_what_rolls_back_was_never_there(service_dsn: Callable[[str], str]) -> None:
    """An entry lives and dies with the transaction of what it tells about, and leaves no gap."""
    with psycopg.connect(service_dsn("consent")) as connection:
        connection.execute(APPEND, [BODIES[:2]])
        connection.rollback()
        assert connection.execute(APPEND, [BODIES[2:]]).fetchone() == (1,)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM audit.entries",
        "INSERT INTO audit.entries VALUES ('consent', 1, '', '', '')",
        "UPDATE audit.logs SET size = 0",
        "DELETE FROM audit.checkpoints",
        "TRUNCATE audit.entries",
        "ALTER TABLE audit.entries DISABLE TRIGGER ALL",
        "CREATE OR REPLACE FUNCTION audit.append(bodies text[]) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
        "SET ROLE maasloop_audit",
        "SET SESSION AUTHORIZATION maasloop_ingest",
    ],
)
def test_a_service_can_only_add(service_dsn: Callable[[str], str], statement: str) -> None:
    """The role of a service has no other way into the logs than the functions about its own."""
    with psycopg.connect(service_dsn("consent"), autocommit=True) as connection:
        connection.execute(APPEND, [BODIES])
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement.encode())


@pytest.mark.parametrize("statement", ["UPDATE {} SET log = ''", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("table", ["audit.entries", "audit.checkpoints"])
def test_even_a_superuser_is_refused(postgres_dsn: str, statement: str, table: str) -> None:
    """Who owns the server is stopped too, until he takes a trigger away on purpose."""
    with (
        psycopg.connect(postgres_dsn, autocommit=True) as connection,
        pytest.raises(errors.InsufficientPrivilege, match="only grows"),
    ):
        connection.execute(statement.format(table).encode())


def test_the_auditor_reads_everything_and_writes_nothing(postgres_dsn: str, service_dsn: Callable[[str], str]) -> None:
    """One role sees all logs, and cannot add to any."""
    with psycopg.connect(service_dsn("consent"), autocommit=True) as connection:
        connection.execute(APPEND, [BODIES])
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f"SET ROLE {AUDITOR}")
        assert connection.execute("SELECT count(*) FROM audit.entries").fetchone() == (3,)
        for statement in ("INSERT INTO audit.logs VALUES ('x', 'y')", "DELETE FROM audit.entries"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement.encode())
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(APPEND, [BODIES])


def test_a_name_is_no_statement() -> None:
    """What would be made into a statement must be a name."""
    with pytest.raises(ValueError, match="no name"):
        log_sql("consent'; DROP", "maasloop_consent")
