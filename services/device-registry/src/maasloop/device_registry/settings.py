"""Settings of the registry: ``MAASLOOP_DEVICE_REGISTRY__…``."""

from pydantic import Field

from maasloop.runtime.settings import ServiceSettings


class DeviceRegistrySettings(ServiceSettings, service="device-registry"):
    """What the registry can be told."""

    postgres_connections_max: int = Field(default=8, ge=3, le=100)
    """Most connections to the database; an import holds one for its length."""
