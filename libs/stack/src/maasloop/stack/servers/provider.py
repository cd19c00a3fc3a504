"""PostgreSQL from the distribution's package, or from the official container where there is no such package."""

from pathlib import Path

from maasloop.stack.account import database_account
from maasloop.stack.errors import StackError
from maasloop.stack.servers.container import ContainerPostgresServer
from maasloop.stack.servers.postgres import BINARY_DIRECTORY, PostgresServer
from maasloop.stack.setup.packages import container_runtime
from maasloop.stack.state import StateDirectory


def postgres_server(
    directory: StateDirectory, *, port: int | None, log_path: Path, durable_initdb: bool
) -> PostgresServer:
    """Return the server of a stack, not started."""
    if (BINARY_DIRECTORY / "postgres").exists():
        data_directory = directory.postgres(database_account()) / "data"
        return PostgresServer(data_directory, port=port, log_path=log_path, durable_initdb=durable_initdb)
    runtime = container_runtime()
    if runtime is None:
        raise StackError("postgres", "neither PostgreSQL 17 nor a container runtime is here", next_step="make setup")
    return ContainerPostgresServer(runtime, directory.path / "postgres" / "data", port=port, log_path=log_path)
