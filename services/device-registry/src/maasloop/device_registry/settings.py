"""Settings of the registry: ``MAASLOOP_DEVICE_REGISTRY__…``."""

from pathlib import Path

from pydantic import Field

from maasloop.runtime.settings import ServiceSettings


class DeviceRegistrySettings(ServiceSettings, service="device-registry"):
    """What the registry can be told."""

    postgres_connections_max: int = Field(default=8, ge=3, le=100)
    """Most connections to the database; an import holds one for its length."""
    callout_directory: Path | None = None
    """Directory with what answers the broker about clients (`account.seed`, `curve.seed`, `devices.seed`,
    `devices.account`, `districts.json`, `callout.creds`) and closes their connections (`revoker.creds`). Without it no device is let in by this replica."""
    certificate_nats_url: str = ""
    """Address of a second nats-server, whose listener for devices takes client certificates and no passwords."""
    callout_connections_max: int = Field(default=4, ge=1, le=100)
    """Most connections to the database for clients at the broker's door."""
    device_authority_certificate_file: Path | None = None
    """Certificate (PEM) of the authority that signs certificates of devices; none where devices have none."""
    device_authority_key_file: Path | None = None
    """Its private key (PEM, elliptic curve)."""
    command_keys_file: Path | None = None
    """Public keys of commands (JWK Set), which devices are given when they enrol and ask for after a rotation."""
    token_signing_key_file: Path | None = None
    """Private key (JWK set) that signs tokens of programs; without it no key of a program is exchanged here."""
