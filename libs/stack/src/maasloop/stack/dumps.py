"""The database as a file, by ``pg_dump``, and back, with every row counted on both sides.

Rows are counted in the transaction whose snapshot ``pg_dump`` takes, so that the counts are those of the file while
services go on writing.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg import conninfo, sql

from maasloop.postgres.once import StepConnection, connect_once
from maasloop.stack.errors import StackError
from maasloop.stack.servers.databases import DATABASE, SERVICES, create_service_database, schema_name
from maasloop.stack.servers.postgres import binary

DUMP_TIMEOUT_S = 24 * 3_600.0
"""Longest run of ``pg_dump`` or ``pg_restore``, and longest statement beside them."""
AUDIT_SCHEMA = "audit"
MILLISECONDS = 1_000
_SAID_MAX = 2_000

type Counts = dict[str, int]


def dump(dsn: str, path: Path) -> Counts:
    """Write the database to a file; return the rows of each table as they are in it."""
    with _connected(dsn, autocommit=False) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # While pg_dump works this transaction only waits.
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        (snapshot,) = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
        _run(["pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={path}", f"--dbname={dsn}"])
        return _counts(connection)


def restore(dsn: str, path: Path) -> Counts:
    """Make the database from a file in place of the one that is there; return the rows of each table."""
    server = conninfo.make_conninfo(dsn, dbname="postgres")
    name = sql.Identifier(DATABASE)
    with _connected(server) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    with _connected(dsn) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        # Chunks and their catalogue are set, not made, until the second call (TimescaleDB, "Logical backup").
        connection.execute("SELECT timescaledb_pre_restore()")
    _run(["pg_restore", "--exit-on-error", f"--dbname={dsn}", str(path)])
    with _connected(dsn) as connection:
        connection.execute("SELECT timescaledb_post_restore()")
    create_service_database(server, dsn)
    with _connected(dsn) as connection:
        connection.execute("ANALYZE")
        return _counts(connection)


def rows(dsn: str) -> Counts:
    """Return the rows of each table of the services and of the audit logs."""
    with _connected(dsn) as connection:
        return _counts(connection)


def _connected(dsn: str, *, autocommit: bool = True) -> StepConnection:
    return connect_once(
        dsn, name="maasloop-dumps", autocommit=autocommit, statement_timeout_ms=int(DUMP_TIMEOUT_S * MILLISECONDS)
    )


def _counts(connection: StepConnection) -> Counts:
    schemas = [*map(schema_name, SERVICES), AUDIT_SCHEMA]
    tables = connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) ORDER BY 1, 2", [schemas]
    ).fetchall()
    counts: Counts = {}
    for schema, table in tables:
        counted = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table)))
        counts[f"{schema}.{table}"] = int((counted.fetchone() or (0,))[0])
    return counts


def _run(command: Sequence[str]) -> None:
    program, *arguments = command
    done = subprocess.run(
        [str(binary(program)), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=DUMP_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise StackError("postgres", f"{program} ended with status {done.returncode}\n{done.stderr[-_SAID_MAX:]}")
