"""Every role of a stack's database has its own password, and nothing else lets anybody in."""

import stat
from pathlib import Path

import psycopg
import pytest

from maasloop.audit.schema import AUDITOR
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.stack.ports import LOOPBACK
from maasloop.stack.servers.databases import DATABASE, SERVICES, role_name
from maasloop.stack.servers.passwords import RolePasswords, dsn_of

pytestmark = pytest.mark.integration

SERVERS_ONLY = StackOptions(services=(), restart=False, ensure_streams=False, durable_initdb=False)


async def test_a_role_gets_in_with_its_own_password_only(checkout: Path) -> None:
    """Without a password, with another role's and as superuser the server refuses; it does so after a restart, too."""
    async with LocalStack(checkout, SERVERS_ONLY) as stack:
        stack.postgres.restart()
        files = list((stack.directory.secrets / "postgres").iterdir())
        assert len(files) == len(SERVICES) + 2
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        passwords = stack.postgres.passwords
        assert passwords is not None
        assert passwords.of(role_name("consent")) not in stack.directory.stack_file.read_text()
        for role, secret in (
            ("postgres", ""),
            (role_name("consent"), ""),
            (role_name("consent"), passwords.option(role_name("ingest"))),
            (role_name("consent"), "?password=maasloop"),
        ):
            with pytest.raises(psycopg.OperationalError, match=r"password"):
                psycopg.connect(f"postgresql://{role}@{LOOPBACK}:{stack.postgres.port}/{DATABASE}{secret}")
        for dsn in (stack.service_dsns["consent"], stack.postgres_dsn, dsn_of(stack.postgres_dsn, AUDITOR)):
            psycopg.connect(dsn).close()


def test_a_password_is_made_once(tmp_path: Path) -> None:
    """Two roles have different ones, which stay."""
    passwords = RolePasswords(tmp_path / "postgres")
    first = passwords.of("a")
    assert len(first) > 40
    assert RolePasswords(tmp_path / "postgres").of("a") == first != passwords.of("b")
