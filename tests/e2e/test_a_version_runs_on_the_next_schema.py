"""The schema of the next version is no matter to this one: while it is rolled out, and after it was rolled back."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from maasloop.stack.servers.databases import SERVICES, schema_name

if TYPE_CHECKING:
    from maasloop.stack.local import LocalStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SELFTEST_TIMEOUT_S = 200
LOCK_TIMEOUT_S = 30
TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition
"""


async def test_this_version_runs_on_the_next_schema(shared_stack: "LocalStack") -> None:
    """With one more migration applied, which adds to every table, running services go on and restarted ones start."""
    changed = sum(_expanded(shared_stack.postgres_dsn, schema_name(service)) for service in SERVICES)
    beside = await asyncio.to_thread(_selftest, shared_stack)
    for service in SERVICES:
        await asyncio.to_thread(shared_stack.services[service].stop)
        shared_stack.services[service].start()
    for service in SERVICES:
        await shared_stack.wait_ready(service)
    after = await asyncio.to_thread(_selftest, shared_stack)

    assert changed > len(SERVICES)
    assert (beside.returncode, beside.stderr) == (0, "")
    assert (after.returncode, after.stderr) == (0, "")
    assert "migrations_unknown_here" in shared_stack.services["consent"].log_path.read_text()


def _expanded(dsn: str, schema: str) -> int:
    """Do what a migration of the next version may do, to every table; returns how many there are."""
    with psycopg.connect(dsn) as connection:
        connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'".encode())
        tables = [str(row[0]) for row in connection.execute(TABLES, [schema])]
        for table in tables:
            connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN of_the_next text NOT NULL DEFAULT 'next'").format(
                    sql.Identifier(schema, table)
                )
            )
        connection.execute(
            sql.SQL("INSERT INTO {} (version, name, checksum) VALUES (9999, 'of_the_next', '')").format(
                sql.Identifier(schema, "migrations")
            )
        )
    return len(tables)


def _selftest(stack: "LocalStack") -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).parent / "maasloop"
    return subprocess.run(
        [str(command), "--root", str(stack.directory.path.parent), "selftest", "--wait", "90"],
        capture_output=True,
        text=True,
        timeout=SELFTEST_TIMEOUT_S,
        check=False,
    )
