"""Bring a service's schema to the state its code expects.

A migration is a file ``NNNN_name.sql`` in the package of its service. Each runs once, in order, in a transaction of its
own, under an advisory lock, so that any number of instances may start together. What was applied is never edited: a
changed file is refused. A version that the database knows and the code does not is left alone, because an older
instance may run beside a newer one.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import structlog

from .pool import Connection, connect

# A migration may rewrite a table; an instance that waits for another one's migration waits this long too.
STATEMENT_TIMEOUT_MS = 600_000

_FILE = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
_LOCK = "SELECT pg_advisory_lock(hashtextextended('maasloop.migrations.' || current_schema(), 0))"
_CREATE = """
    CREATE TABLE IF NOT EXISTS migrations (
        version integer PRIMARY KEY,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_time timestamptz NOT NULL DEFAULT now()
    )
"""
_APPLIED = "SELECT version, name, checksum FROM migrations ORDER BY version"
_RECORD = "INSERT INTO migrations (version, name, checksum) VALUES (%s, %s, %s)"

_log = structlog.get_logger()


class MigrationChanged(Exception):
    """A file that was applied has been edited; only a person can mend that."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of SQL."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, by which an edit is noticed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(directory: Traversable) -> list[Migration]:
    """Read the migrations of a directory in order; a number used twice or left out is an error."""
    found: list[Migration] = []
    for entry in directory.iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(entry.name)
        if match is None:
            message = f"{entry.name} is no migration: NNNN_name.sql is needed"
            raise ValueError(message)
        found.append(Migration(int(match["version"]), match["name"], entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        message = f"migrations are numbered 0001, 0002, … without a gap; found {[m.version for m in found]}"
        raise ValueError(message)
    return found


def of_package(package: str) -> list[Migration]:
    """Read the migrations in the directory ``migrations`` of a package, for example ``maasloop.actuation``."""
    return load(files(package) / "migrations")


async def migrate(dsn: str, migrations: Iterable[Migration]) -> list[Migration]:
    """Apply what is missing and return it; waits for the database and for other instances that migrate."""
    connection = await connect(dsn, name="maasloop-migrate", autocommit=True, statement_timeout_ms=STATEMENT_TIMEOUT_MS)
    async with connection:
        await connection.execute("SET lock_timeout = 0")
        await connection.execute(_LOCK)
        # The lock ends with the connection.
        await connection.execute(_CREATE)
        return await _apply_missing(connection, list(migrations))


async def _apply_missing(connection: Connection, migrations: list[Migration]) -> list[Migration]:
    applied = await _applied(connection)
    missing = []
    for migration in migrations:
        known = applied.pop(migration.version, None)
        if known is None:
            missing.append(migration)
        elif known != (migration.name, migration.checksum):
            _refuse_changed(migration, known[0])
    if applied:
        _log.warning("migrations_unknown_here", versions=sorted(applied))
    for migration in missing:
        async with connection.transaction():
            await connection.execute(migration.sql.encode())
            await connection.execute(_RECORD, (migration.version, migration.name, migration.checksum))
        _log.info("migration_applied", version=migration.version, name=migration.name)
    return missing


async def _applied(connection: Connection) -> dict[int, tuple[str, str]]:
    cursor = await connection.execute(_APPLIED)
    return {int(str(version)): (str(name), str(checksum)) for version, name, checksum in await cursor.fetchall()}


def _refuse_changed(migration: Migration, known_name: str) -> None:
    message = (
        f"migration {migration.version:04d}_{migration.name} differs from the one that was applied"
        f" ({migration.version:04d}_{known_name}): restore the file and write the change as a new migration"
    )
    raise MigrationChanged(message)
