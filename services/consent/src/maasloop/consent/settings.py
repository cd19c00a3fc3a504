"""Settings of consent: ``MAASLOOP_CONSENT__…``."""

from pydantic import Field

from maasloop.runtime.settings import ServiceSettings


class ConsentSettings(ServiceSettings, service="consent"):
    """What consent can be told."""

    postgres_connections_max: int = Field(default=8, ge=3, le=100)
    """Most connections to the database."""
