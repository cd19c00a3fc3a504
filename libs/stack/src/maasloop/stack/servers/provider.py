"""PostgreSQL from the distribution's package, or from the official container where there is no such package."""

from pathlib import Path

from maasloop.stack.account import database_account
from maasloop.stack.errors import StackError
from maasloop.stack.servers.container import ContainerPostgresServer
from maasloop.stack.servers.passwords import RolePasswords
from maasloop.stack.servers.postgres import BINARY_DIRECTORY, PostgresServer
from maasloop.stack.setup.packages import container_runtime
from maasloop.stack.state import StateDirectory


def postgres_server(
    directory: StateDirectory, *, port: int | None, log_path: Path, durable_initdb: bool, secure: bool
) -> PostgresServer:
    """Return the server of a stack, not started; a secure one asks every role for its password."""
    passwords = RolePasswords(directory.secrets / "postgres") if secure else None
    if (BINARY_DIRECTORY / "postgres").exists():
        data_directory = directory.postgres(database_account()) / "data"
        return PostgresServer(
            data_directory, port=port, log_path=log_path, durable_initdb=durable_initdb, passwords=passwords
        )
    runtime = container_runtime()
    if runtime is None:
        raise StackError("postgres", "neither PostgreSQL 17 nor a container runtime is here", next_step="make setup")
    data_directory = directory.path / "postgres" / "data"
    return ContainerPostgresServer(runtime, data_directory, port=port, log_path=log_path, passwords=passwords)
