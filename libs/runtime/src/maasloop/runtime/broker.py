"""The connection of a service to NATS, as whom its settings say."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from maasloop.bus.connection import Bus, connect

from .settings import ServiceSettings


def connected(
    settings: ServiceSettings, name: str, *, credentials_file: Path | None = None
) -> AbstractAsyncContextManager[Bus]:
    """Connect for the block; ``name`` tells this connection from others of the same user.

    ``credentials_file`` is for a connection as somebody else than the service's own user.
    """
    return connect(
        settings.nats_url,
        name=name,
        credentials_file=credentials_file or settings.nats_credentials_file,
        authority_file=settings.nats_ca_file,
    )
