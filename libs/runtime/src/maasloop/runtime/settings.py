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
from urllib.parse import urlsplit

import yaml
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from maasloop.identity.certificates import TlsFiles
from maasloop.identity.strength import require_strong
from maasloop.telemetry import LogFormat
from maasloop.telemetry.tracing import TRACES_PER_SECOND_MAX

from .access import AccessSettings

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
    keys: ClassVar[tuple[str, ...]] = ()
    """Fields that name a file of keys without which the service does not serve."""
    listeners: ClassVar[tuple[str, ...]] = ("grpc_address", "public_grpc_address", "health_address")
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
    """Host and port of the gRPC server for callers with a certificate; port 0 takes a free one."""
    public_grpc_address: str = ""
    """Host and port of the gRPC server for callers with a token; empty for none."""
    health_address: str = "127.0.0.1:0"
    """Host and port of probes and metrics, in clear text for anybody who reaches it; port 0 takes a free one."""
    tls_certificate_file: Path | None = None
    """Certificate of this service (PEM), whose URI name is `spiffe://{trust domain}/service/{service}`; a renewed file is taken up."""
    tls_key_file: Path | None = None
    """Private key of the certificate (PEM)."""
    tls_ca_file: Path | None = None
    """Certificates of the authorities (PEM) whose services and operators are believed."""
    audit_keys_directory: Path | None = None
    """Directory with the key that signs this service's audit log (`{service}.key`), and the city's key of pseudonyms."""
    audit_checkpoints_directory: Path | None = None
    """Directory for the newest checkpoint of the audit log; the database and the bus have it in any case."""
    insecure_on_loopback: bool = False
    """Identify nobody and encrypt nothing, for benches: every listener, neighbour and server must then be on loopback."""
    access: AccessSettings = AccessSettings()
    """Whose tokens are believed, for callers without a certificate."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""
    log_format: LogFormat = "console"
    """``console`` for people, ``json`` for collectors."""
    otlp_endpoint: str | None = None
    """Address of an OTLP/gRPC collector of traces; none switches them off."""
    otlp_metrics: bool = False
    """Send the metrics to that collector too, every 15 s; they are served at `/metrics` in any case."""
    traces_per_second_max: float = Field(default=TRACES_PER_SECOND_MAX, ge=0, le=10_000)
    """Traces that may begin in this process each second, of readings and calls that nobody traces already."""
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
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class names it
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

    @property
    def tls(self) -> TlsFiles | None:
        """The files by which this service and its neighbours know each other; none where nobody is identified.

        Whatever listens or calls asks for it, so nothing does before ``require_identities`` agrees.
        """
        self.require_identities()
        if self.insecure_on_loopback:
            return None
        return TlsFiles(*(Path(str(getattr(self, name))) for name in _TLS))

    def require_identities(self) -> None:
        """Refuse, with ``ValueError``, to serve where callers would not be identified, or a secret could be guessed.

        Migrations serve nobody, so they are not asked.
        """
        if self.insecure_on_loopback:
            if beyond := self.beyond_loopback():
                message = (
                    f"insecure_on_loopback identifies nobody, so this may not lie beyond loopback: {', '.join(beyond)}"
                )
                raise ValueError(message)
        elif missing := [name for name in (*_IDENTITY, *self.keys) if not readable(getattr(self, name))]:
            message = (
                f"nobody would be identified: {', '.join(missing)} must name a file or directory that can be read"
                " (insecure_on_loopback is for benches)"
            )
            raise ValueError(message)
        elif (password := _database_password(self.postgres_dsn.get_secret_value())) is not None:
            require_strong("postgres_dsn", password)

    def beyond_loopback(self) -> list[str]:
        """Return the listeners, neighbours and servers that are not on loopback, as ``field=address``; no secret."""
        found = {name: str(getattr(self, name)) for name in type(self).model_fields if name.endswith("_address")}
        found |= {f"nats_url[{at}]": address for at, address in enumerate(_nats_addresses(self.nats_url))}
        found["postgres_dsn"] = f"{_database_host(self.postgres_dsn.get_secret_value())}:0"
        return [f"{name}={address}" for name, address in found.items() if address and not loopback(address)]


_TLS = ("tls_certificate_file", "tls_key_file", "tls_ca_file")
_IDENTITY = (*_TLS, "nats_credentials_file", "nats_ca_file", "audit_keys_directory")


def readable(file: Path | None) -> bool:
    """Tell whether a file of the settings is named and can be read."""
    return file is not None and os.access(file, os.R_OK)


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


def loopback(address: str) -> bool:
    """Tell whether ``host:port`` is reached from this machine only; a directory is that of a local socket."""
    host, _ = split_address(address)
    if host.startswith("/"):
        return True
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _nats_addresses(url: str) -> list[str]:
    parts = (urlsplit(part if "//" in part else f"nats://{part}") for part in url.split(","))
    return [f"{part.hostname or ''}:{part.port or 0}" for part in parts]


def _database_host(dsn: str) -> str:
    """Return the host of a connection string; the local socket's where it names none."""
    try:
        host = conninfo_to_dict(dsn).get("host")
    except ProgrammingError:
        return "unreadable"
    hosts = str(host or "/").split(",")
    return next((each for each in hosts if not loopback(f"{each}:0")), hosts[0])


def _database_password(dsn: str) -> str | None:
    """Return the password of a connection string; none where a file or a certificate proves the role."""
    try:
        password = conninfo_to_dict(dsn).get("password")
    except ProgrammingError:
        return None
    return None if password is None else str(password)


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
