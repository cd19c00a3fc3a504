"""The connection of a service to NATS, as whom its settings say."""

from contextlib import AbstractAsyncContextManager

from maasloop.bus.connection import Bus, connect

from .settings import ServiceSettings


def connected(settings: ServiceSettings, name: str) -> AbstractAsyncContextManager[Bus]:
    """Connect for the block; ``name`` tells this connection from others of the same user."""
    return connect(
        settings.nats_url,
        name=name,
        credentials_file=settings.nats_credentials_file,
        authority_file=settings.nats_ca_file,
    )
