"""The database of a stack as its first start leaves it, made once and copied.

A stack on a copy does the same as on nothing, and finds nothing missing.
"""

import asyncio
import subprocess
from contextlib import ExitStack
from pathlib import Path

from maasloop.postgres.migrate import migrate, of_package
from maasloop.stack.account import database_account
from maasloop.stack.servers.databases import DATABASE, SERVICES, create_service_database, role_name
from maasloop.stack.servers.postgres import BINARY_DIRECTORY
from maasloop.stack.services import module_name
from maasloop.stack.state import StateDirectory
from maasloop.testing.providers import local_postgres


class StackData:
    """What the stacks of this process start from."""

    def __init__(self) -> None:
        """Nothing is made before the first copy."""
        self._made: Path | None = None
        self._scratch = ExitStack()

    def copy_to(self, root: Path) -> None:
        """Lay a copy where a stack in ``root`` keeps its database; nothing where that is in a container."""
        if (BINARY_DIRECTORY / "postgres").exists():
            self._made = self._made or self._make()
            place = StateDirectory(root).postgres(database_account())
            # With owner and modes: the server takes no other directory.
            subprocess.run(["/bin/cp", "--archive", str(self._made), str(place / "data")], check=True)

    def remove(self) -> None:
        """Delete what was made."""
        self._made = None
        self._scratch.close()

    def _make(self) -> Path:
        with ExitStack() as running:
            server = running.enter_context(local_postgres())
            create_service_database(server.dsn(), server.dsn(DATABASE))
            for service in SERVICES:
                dsn = server.dsn(DATABASE, role_name(service))
                asyncio.run(_migrated(dsn, module_name(service)))
            server.stop()
            self._scratch = running.pop_all()
        return server.data_directory


async def _migrated(dsn: str, package: str) -> None:
    await migrate(dsn, of_package(package))
