"""Settings of actuation: ``MAASLOOP_ACTUATION__…``."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from maasloop.runtime.settings import ServiceSettings, loopback


class ActuationSettings(ServiceSettings, service="actuation"):
    """What actuation can be told."""

    keys: ClassVar[tuple[str, ...]] = ("command_key_file",)
    listeners: ClassVar[tuple[str, ...]] = (*ServiceSettings.listeners, "rsmp_address")

    device_registry_address: str = "127.0.0.1:50052"
    """Host and port of the device registry."""
    timeseries_address: str = "127.0.0.1:50053"
    """Host and port of timeseries: what policies look up comes back from it after a start."""
    downlink_credentials_file: Path | None = None
    """File of the NATS user that sends commands, in an account apart (``.creds``); without it the service's own does."""
    command_key_file: Path | None = None
    """File of the Ed25519 key (PKCS #8) that signs what native devices are told."""
    postgres_connections_max: int = Field(default=4, ge=1, le=100)
    """Most connections for reads; the ledger and the outbox have one each beside."""
    rsmp_address: str = ""
    """Host and port on which signal controllers connect that speak RSMP; empty: none can."""
    rsmp_certificate: Path | None = None
    """Certificate that is shown to them; with it and the two that follow the links are TLS 1.3, without all plain TCP."""
    rsmp_key: Path | None = None
    """Key of the certificate."""
    rsmp_site_authority: Path | None = None
    """Certificates that vouch for the sites'."""

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        given = [self.rsmp_certificate, self.rsmp_key, self.rsmp_site_authority]
        if any(given) and not all(given):
            message = "rsmp_certificate, rsmp_key and rsmp_site_authority are set together, or none of them"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _sites_show_certificates(self) -> Self:
        if self.rsmp_address and not self.rsmp_certificate and not loopback(self.rsmp_address):
            message = (
                f"rsmp_address={self.rsmp_address} would let any site in: set rsmp_certificate, or listen on loopback"
            )
            raise ValueError(message)
        return self
