"""Passwords of database roles: made at the first start, one file a role in libpq's own form (pgpass), 0600.

Connection strings name the file, so that no password stands in an environment, in ``stack.json`` or in a log.
"""

import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from maasloop.identity.secret_files import secret_directory, write_secret

PASSWORD_BYTES = 32


class RolePasswords:
    """The passwords of one server's roles."""

    def __init__(self, directory: Path) -> None:
        """Keep them in ``directory``."""
        self._directory = directory

    def option(self, role: str) -> str:
        """Return what a connection string of the role says, as a query."""
        return f"?passfile={quote(str(self.file(role)), safe='/')}"

    def of(self, role: str) -> str:
        """Return the password of a role; the first call makes it."""
        file = self.file(role)
        if not file.exists():
            secret_directory(self._directory)
            # Every host, port and database: the password is the role's.
            write_secret(file, f"*:*:*:{role}:{secrets.token_urlsafe(PASSWORD_BYTES)}\n".encode())
        return file.read_text(encoding="utf-8").strip().rpartition(":")[2]

    def renew(self, role: str) -> str:
        """Make another password for a role and return it; who connects from then on reads it."""
        self.file(role).unlink(missing_ok=True)
        return self.of(role)

    def file(self, role: str) -> Path:
        """Return where the password of a role lies."""
        return self._directory / f"{role}.pgpass"


def dsn_of(dsn: str, role: str, passfile: Path | None = None) -> str:
    """Return how a role connects to the database of another role's string.

    Its password is in the file, by default in the one that lies beside the other role's.
    """
    given: dict[str, Any] = {**conninfo_to_dict(dsn), "user": role}
    given.pop("password", None)
    if passfile is None and "passfile" in given:
        passfile = Path(given["passfile"]).with_name(f"{role}.pgpass")
    if passfile is not None:
        given["passfile"] = str(passfile)
    return make_conninfo(**given)


def set_password(connection: psycopg.Connection, role: str, password: str) -> None:
    """Give a role its password, of which the server sees the verifier only."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))
