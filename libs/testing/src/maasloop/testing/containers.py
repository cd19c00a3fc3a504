"""TimescaleDB from its official image, for a machine whose distribution has no package of it.

Untried against a registry: the image could not be had where this was written. What is tested is that the container is
asked for with the settings below.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from maasloop.testing.endpoints import GivenTimescale, TimescaleEndpoint

TIMESCALE_IMAGE = "timescale/timescaledb:2.19.3-pg17"
PORT = 5432
READY_LOG = "database system is ready to accept connections"
READY_TIMEOUT_S = 120
"""Longest start of the container."""
# The image starts the server once to initialise it and a second time to serve.
READY_LOG_LINES = 2


@contextmanager
def timescale_container() -> Iterator[TimescaleEndpoint]:
    """Run the official image and wait until it serves."""
    # Its import is slow and needed by few.
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - costs its start only where containers are used
    from testcontainers.core.waiting_utils import wait_for_logs  # noqa: PLC0415 - costs its start only where containers are used

    container = (
        DockerContainer(TIMESCALE_IMAGE)
        .with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
        .with_env("POSTGRES_INITDB_ARGS", "--data-checksums")
        .with_exposed_ports(PORT)
    )
    with container:
        wait_for_logs(container, rf"(?s)({READY_LOG}.*){{{READY_LOG_LINES}}}", timeout=READY_TIMEOUT_S)
        host, port = container.get_container_host_ip(), container.get_exposed_port(PORT)
        yield GivenTimescale(f"postgresql://postgres@{host}:{port}/postgres")
