"""Settings of ingest: ``MAASLOOP_INGEST__…``."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from maasloop.runtime.settings import ServiceSettings


class IngestSettings(ServiceSettings, service="ingest"):
    """What ingest can be told."""

    listeners: ClassVar[tuple[str, ...]] = (*ServiceSettings.listeners, "http_address")

    http_address: str = "127.0.0.1:0"
    """Host and port of the HTTPS door; port 0 takes a free one."""
    device_registry_address: str = "127.0.0.1:50052"
    """Host and port of the registry, from which the projection of devices starts."""
    consent_address: str = "127.0.0.1:50056"
    """Host and port of consent, from which the gate's projection starts."""
    tenants_file: Path | None = None
    """File that declares tenants whose devices have accounts of their own on NATS (`tenants.json`); none or absent: only the city's."""
    quarantine_kept_days: int = Field(default=30, ge=1, le=3650)
    """Refused readings are forgotten after this many days."""
