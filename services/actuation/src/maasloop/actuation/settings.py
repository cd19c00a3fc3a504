"""Settings of actuation: ``MAASLOOP_ACTUATION__…``."""

from pydantic import Field

from maasloop.runtime.settings import ServiceSettings


class ActuationSettings(ServiceSettings, service="actuation"):
    """What actuation can be told."""

    device_registry_address: str = "127.0.0.1:7002"
    """Host and port of the device registry."""
    timeseries_address: str = "127.0.0.1:50053"
    """Host and port of timeseries: what policies look up comes back from it after a start."""
    postgres_connections_max: int = Field(default=4, ge=1, le=100)
    """Most connections for reads; the ledger and the outbox have one each beside."""
