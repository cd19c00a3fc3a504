"""Readers with SQL: roles that see the rows of some districts through the views of timeseries, and have no other right."""

import re
from collections.abc import Sequence

import psycopg
from psycopg import sql

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.postgres.once import StepConnection, connect_once
from maasloop.stack.servers.databases import role_name, schema_name
from maasloop.stack.servers.passwords import RolePasswords, dsn_of, set_password

CLIENT = "maasloop-readers"
OWNER = "timeseries"
"""The service whose rows they read."""
NAME = re.compile(r"(?!maasloop_|pg_|postgres$)[a-z][a-z0-9_]{0,62}")

_KNOWN = "SELECT 1 FROM pg_roles WHERE rolname = %s"
_ADMITTED = "SELECT role::text, array_agg(district ORDER BY district) FROM readers GROUP BY role ORDER BY role"
_RIGHTS = "SELECT format('%s has %s on %s', grantee, privilege, relation) FROM foreign_rights ORDER BY 1"


def admit(dsn: str, reader: str, districts: Sequence[str], passwords: RolePasswords) -> str:
    """Let a role read these districts and no others, none ends it; return how it connects.

    ``dsn`` is the superuser's. A role that is missing is made, with a password of ``passwords``. Raises
    ``InvalidArgument`` for a name that is the platform's, or of a role with rights of its own on the rows.
    """
    if not NAME.fullmatch(reader):
        message = f"{reader!r} is no name of a reader: lower-case letters, digits, underscores, and not the platform's"
        raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "reader"})
    with connect_once(dsn, name=CLIENT) as connection:
        if connection.execute(_KNOWN, [reader]).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(reader)))
            set_password(connection, reader, passwords.of(reader))
        _become_owner(connection)
        try:
            connection.execute("SELECT admit_reader(%s, %s)", [reader, list(districts)])
        except psycopg.errors.RaiseException as error:
            raise InvalidArgument(
                Reason.REQUEST_INVALID, str(error.diag.message_primary), {"field": "reader"}
            ) from None
    return dsn_of(dsn, reader, passwords.file(reader))


def admitted(dsn: str) -> dict[str, list[str]]:
    """Return the districts of every reader; ``dsn`` is the superuser's."""
    with connect_once(dsn, name=CLIENT) as connection:
        _become_owner(connection)
        return dict(connection.execute(_ADMITTED).fetchall())


def foreign_rights(dsn: str) -> list[str]:
    """Return, as sentences, what others than the owner may do to tables and chunks; nothing is well."""
    with connect_once(dsn, name=CLIENT) as connection:
        _become_owner(connection)
        return [row[0] for row in connection.execute(_RIGHTS)]


def _become_owner(connection: StepConnection) -> None:
    """For the rest of the transaction: what the owner may do is all that is needed."""
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role_name(OWNER))))
    connection.execute(sql.SQL("SET LOCAL search_path = {}, public").format(sql.Identifier(schema_name(OWNER))))
