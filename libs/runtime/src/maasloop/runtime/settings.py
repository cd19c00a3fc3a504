"""Settings of a service: from the environment, then from a file, and nothing that nobody knows.

A subclass names its service: ``class IngestSettings(ServiceSettings, service="ingest")``. Its environment variables
then begin with ``MAASLOOP_INGEST__``, nested fields continue with ``__``, and a variable with that prefix that is no
field is an error: a typing mistake never becomes a default. The file (YAML, JSON or TOML) is named by
``MAASLOOP_INGEST__SETTINGS_FILE`` or ``--settings``; the environment wins over it.
"""

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from maasloop.telemetry import LogFormat

SETTINGS_FILE = "SETTINGS_FILE"
SETTINGS_FILE_BYTES_MAX = 1024 * 1024


class UnknownSetting(Exception):
    """An environment variable or a key of the file that no field takes."""


class ServiceSettings(BaseSettings):
    """What all six services can be told."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_nested_delimiter="__",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    service: ClassVar[str] = ""
    listeners: ClassVar[tuple[str, ...]] = ("grpc_address", "health_address")
    """Fields that name an address to listen on; a service with more doors adds them."""

    nats_url: str = "nats://127.0.0.1:4222"
    """Address of NATS; several are separated by commas."""
    nats_credentials_file: Path | None = None
    """File with the token and key of this service's user (``.creds``)."""
    nats_ca_file: Path | None = None
    """File with the authorities (PEM) that vouch for NATS; with it the link is TLS."""
    postgres_dsn: SecretStr
    """Connection string of the service's own role."""
    grpc_address: str = "127.0.0.1:0"
    """Host and port of the gRPC server; port 0 takes a free one."""
    health_address: str = "127.0.0.1:0"
    """Host and port of probes and metrics; port 0 takes a free one."""
    allow_insecure_bind: bool = False
    """Listen on other addresses than loopback although callers are not identified."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""
    log_format: LogFormat = "console"
    """``console`` for people, ``json`` for collectors."""
    otlp_endpoint: str | None = None
    """Address of an OTLP/gRPC collector of traces; none switches them off."""
    drain_s: float = Field(default=10.0, gt=0, le=600)
    """Seconds that work in flight gets at shutdown; the process ends within twice that and 10 s more."""
    migrate_at_start: bool = True
    """Bring the database schema up to date before anything else."""

    def __init_subclass__(cls, *, service: str = "", **kwargs: Any) -> None:  # noqa: ANN401 - pydantic's own
        """Take the name of the service, from which the prefix of its environment variables follows."""
        super().__init_subclass__(**kwargs)
        if service:
            cls.service = service
            cls.model_config = {**cls.model_config, "env_prefix": environment_prefix(service)}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings' own
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class names it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over what the constructor, that is the file, says."""
        return env_settings, init_settings

    @classmethod
    def load(cls, file: Path | None = None) -> Self:
        """Read the file, if one is named, and the environment over it."""
        prefix = environment_prefix(cls.service)
        _refuse_unknown(prefix, os.environ, cls.model_fields)
        named = file or os.environ.get(prefix + SETTINGS_FILE)
        return cls(**(read_file(Path(named)) if named else {}))

    @model_validator(mode="after")
    def _loopback_only(self) -> Self:
        open_listeners = self.insecure_listeners()
        if open_listeners and not self.allow_insecure_bind:
            message = (
                f"{', '.join(open_listeners)} would accept anybody: callers are not identified yet, so listen on"
                " loopback (127.0.0.1) or set allow_insecure_bind"
            )
            raise ValueError(message)
        return self

    def insecure_listeners(self) -> list[str]:
        """Return the listeners that are not bound to loopback, as ``field=address``."""
        addresses = {name: str(getattr(self, name)) for name in self.listeners}
        return [f"{name}={address}" for name, address in addresses.items() if address and not _loopback(address)]


def environment_prefix(service: str) -> str:
    """Return the prefix of a service's variables: ``device-registry`` → ``MAASLOOP_DEVICE_REGISTRY__``."""
    return f"MAASLOOP_{service.upper().replace('-', '_')}__"


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings of a YAML, JSON or TOML file."""
    if path.stat().st_size > SETTINGS_FILE_BYTES_MAX:
        message = f"{path} is larger than {SETTINGS_FILE_BYTES_MAX} bytes"
        raise ValueError(message)
    text = path.read_text(encoding="utf-8")
    found = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    if not isinstance(found, dict | None):
        message = f"{path} must hold a mapping of settings"
        raise ValueError(message)  # noqa: TRY004 - wrong content of a file, not a wrong argument
    return found or {}


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of ``host:port``; the host of ``[::1]:80`` is ``::1``."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _loopback(address: str) -> bool:
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_unknown(prefix: str, variables: Mapping[str, str], fields: Mapping[str, object]) -> None:
    known = {SETTINGS_FILE, *(name.upper() for name in fields)}
    unknown = sorted(
        name
        for name in variables
        if name.upper().startswith(prefix) and name.upper().removeprefix(prefix).split("__")[0] not in known
    )
    if unknown:
        message = f"no such setting: {', '.join(unknown)}"
        raise UnknownSetting(message)
