"""PostgreSQL with TimescaleDB from the official image, run in the foreground like any other child.

Untried against a registry: no image could be had where this was written. Tested is the command that is run.
"""

import os
import subprocess
from pathlib import Path

from maasloop.stack.ports import LOOPBACK, free_ports
from maasloop.stack.process import ManagedProcess
from maasloop.stack.servers.passwords import RolePasswords
from maasloop.stack.servers.postgres import SETTINGS, PostgresServer, server_options

TIMESCALE_IMAGE = "timescale/timescaledb:2.19.3-pg17"
IMAGE_PORT = 5432
READY_TIMEOUT_S = 300.0
"""Longest start, with the first download of the image in it."""
REMOVE_TIMEOUT_S = 30.0
"""Longest removal of a container."""


class ContainerPostgresServer(PostgresServer):
    """The same server as a container; its data directory is mounted."""

    def __init__(
        self,
        runtime: str,
        data_directory: Path,
        *,
        port: int | None = None,
        log_path: Path,
        passwords: RolePasswords | None = None,
    ) -> None:
        """Run by ``docker`` or ``podman``; the first start fetches the image."""
        self.passwords = passwords
        self.data_directory = data_directory
        self.port = port if port is not None else free_ports(1)[0]
        self.account = None
        self.name = f"maasloop-postgres-{self.port}"
        self._runtime = runtime
        self.process = ManagedProcess(
            "postgres",
            container_command(runtime, self.name, data_directory, self.port),
            log_path=log_path,
            death_signal="TERM",
        )

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start the container and return when a connection succeeds."""
        self.data_directory.mkdir(parents=True, exist_ok=True)
        self._remove()
        super().start(timeout_s)

    def kill9(self) -> None:
        """Kill the container, whose processes are not below ours, and the client that runs it."""
        self._remove()
        self.process.kill9()

    def _wait_for_predecessor(self) -> None:
        """A container left over was removed just before."""

    def _make_data_directory(self) -> None:
        """Leave initdb to the image."""

    def _remove(self) -> None:
        command = [self._runtime, "rm", "--force", self.name]
        subprocess.run(command, check=False, capture_output=True, timeout=REMOVE_TIMEOUT_S)


def container_command(runtime: str, name: str, data_directory: Path, port: int) -> list[str]:
    """Return the command that runs the official image with our settings, published on loopback only."""
    inside = {"listen_addresses": "*", "unix_socket_directories": "/var/run/postgresql"}
    return [
        runtime, "run", "--rm", "--name", name,
        "--publish", f"{LOOPBACK}:{port}:{IMAGE_PORT}",
        "--volume", f"{data_directory}:/var/lib/postgresql/data",
        "--user", f"{os.getuid()}:{os.getgid()}",
        "--shm-size", "1g",
        "--env", "POSTGRES_HOST_AUTH_METHOD=trust",
        "--env", "POSTGRES_INITDB_ARGS=--data-checksums",
        TIMESCALE_IMAGE, "postgres", *server_options(SETTINGS | inside),
    ]  # fmt: skip
