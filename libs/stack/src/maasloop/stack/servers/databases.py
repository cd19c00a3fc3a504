"""The one database of a local stack: a schema and a role of its own for each service.

In production the same separation is made by whoever runs the database; here it is made on every start, and a second
time changes nothing.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Protocol

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from maasloop.audit.schema import AUDITOR, auditor_sql, log_sql, schema_sql
from maasloop.postgres.once import StepConnection, connect_once
from maasloop.stack.servers.passwords import set_password

SERVICES = ("ingest", "device-registry", "timeseries", "actuation", "notification", "consent")
DATABASE = "maasloop"
CLIENT = "maasloop-database"
LOCK_TIMEOUT_S = 2
LOCK_TRIES = 15
_LAST_RUN = "SELECT obj_description(to_regnamespace('audit'), 'pg_namespace')"


class Passwords(Protocol):
    """The passwords of roles."""

    def of(self, role: str) -> str:
        """Return the password of a role; empty for one that has none, as which nobody can log in."""
        ...


class GivenPasswords:
    """Passwords as the connection strings of roles hold them."""

    def __init__(self, dsns: Mapping[str, str]) -> None:
        """Take a connection string by role."""
        self._dsns = dsns

    def of(self, role: str) -> str:
        """Return the password of a role, empty without a string; raises ``ValueError`` for one of another role or without it."""
        if role not in self._dsns:
            return ""
        found = conninfo_to_dict(self._dsns[role])
        if found.get("user") != role or not found.get("password"):
            message = f"the connection string of {role} must name that role and its password"
            raise ValueError(message)
        return str(found["password"])


def schema_name(service: str) -> str:
    """Return the schema of a service: its name in SQL's spelling."""
    return service.replace("-", "_")


def role_name(service: str) -> str:
    """Return the database role of a service."""
    return f"maasloop_{schema_name(service)}"


def create_service_database(
    server_dsn: str, database_dsn: str, name: str = DATABASE, *, passwords: Passwords | None = None
) -> None:
    """Create the database with TimescaleDB, and roles and schemas of the services, where they are missing.

    ``server_dsn`` reaches any database of the server as superuser, ``database_dsn`` the new one.
    """
    with connect_once(server_dsn, name=CLIENT, autocommit=True) as connection:
        _create_roles(connection)
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with connect_once(database_dsn, name=CLIENT, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        _create_schemas(connection)
        _create_audit(connection)
        if passwords is not None:
            _set_passwords(connection, passwords)


def _set_passwords(connection: StepConnection, passwords: Passwords) -> None:
    """Come last, so that a service that waits for the database comes in when all that it needs is there."""
    for role in (*map(role_name, SERVICES), AUDITOR):
        if password := passwords.of(role):
            set_password(connection, role, password)


def _create_roles(connection: StepConnection) -> None:
    """A role finds its own schema first and the extension's functions in ``public`` after it."""
    known = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
    for service in SERVICES:
        role = sql.Identifier(role_name(service))
        if role_name(service) not in known:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(
            sql.SQL("ALTER ROLE {} SET search_path = {}, public").format(role, sql.Identifier(schema_name(service)))
        )


def _create_schemas(connection: StepConnection) -> None:
    for service in SERVICES:
        connection.execute(
            sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(
                sql.Identifier(schema_name(service)), sql.Identifier(role_name(service))
            )
        )


def _create_audit(connection: StepConnection) -> None:
    """The logs belong to a role of their own: a service adds to its log and can change nothing that is there.

    What locks their tables runs only where it differs from what ran last, of which the schema's comment has the digest:
    services write to them meanwhile.
    """
    statements = schema_sql() + auditor_sql()
    digest = sha256(statements.encode()).hexdigest()
    if connection.execute(_LAST_RUN).fetchone() != (digest,):
        _run_locking(connection, f"{statements}; COMMENT ON SCHEMA audit IS '{digest}'")
    for service in SERVICES:
        connection.execute(log_sql(service, role_name(service)).encode())


def _run_locking(connection: StepConnection, statements: str) -> None:
    """Run them whole or not at all; where a lock is not to be had soon, let those who wait behind it pass, and try again."""
    connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'")
    for left in reversed(range(LOCK_TRIES)):
        try:
            connection.execute(statements.encode())
        except (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
            if not left:
                raise
        else:
            return
