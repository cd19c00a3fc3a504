"""Settings of timeseries: ``MAASLOOP_TIMESERIES__…``."""

from pydantic import Field

from maasloop.runtime.settings import ServiceSettings


class TimeseriesSettings(ServiceSettings, service="timeseries"):
    """What timeseries can be told."""

    device_registry_address: str = "127.0.0.1:50052"
    """Host and port of the registry: properties decide where rows go, devices whose they are."""
    consent_address: str = "127.0.0.1:50056"
    """Host and port of consent: personal series are hidden without it."""
    postgres_connections_max: int = Field(default=8, ge=4, le=100)
    """Most connections for reads; the four writers have up to seven more."""
