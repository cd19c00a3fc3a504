"""The Secrets of a release whose cluster has no authority of its own: a laptop, a test, containers without a cluster.

Made by the same code as those of a local stack and kept in a directory, so that a second call gives the same ones; only
certificates that are due are new. They hold for a day: a city has cert-manager.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from maasloop.audit.schema import AUDITOR
from maasloop.bus.city import City
from maasloop.bus.rights import DOWNLINK, ENSURE, ENSURE_DEVICES, OPERATOR
from maasloop.core.clock import Clock
from maasloop.identity.certificates import DevelopmentCertificates, Holder, TlsFiles
from maasloop.identity.command_keys import VERIFICATION_KEYS_FILE
from maasloop.identity.principals import Kind, Principal
from maasloop.identity.secret_files import secret_directory
from maasloop.stack.audit_keys import AuditFiles
from maasloop.stack.secrets import (
    command_key_file,
    ensure_secrets,
    program_keys_file,
    token_signing_key_file,
    verification_keys_file,
    webhook_key_file,
)
from maasloop.stack.servers.databases import DATABASE, SERVICES, role_name
from maasloop.stack.servers.passwords import RolePasswords
from maasloop.stack.servers.postgres import SUPERUSER
from maasloop.stack.services import HEARS_TENANTS

NATS, POSTGRES = "nats", "postgres"
ACCOUNTS_DIRECTORY = Path("/data/accounts")
"""Where the server of the chart keeps accounts."""

type Secrets = Mapping[str, Mapping[str, bytes]]
"""Content by key by name of the Secret."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release of the chart with servers of its own."""

    fullname: str = "maasloop"
    """What the names of its objects begin with."""
    namespace: str = "default"

    def hosts(self, component: str) -> tuple[str, ...]:
        """Return what a component is called inside the cluster."""
        name = f"{self.fullname}-{component}"
        return name, f"{name}.{self.namespace}", f"{name}.{self.namespace}.svc"


def cluster_secrets(directory: Path, release: Release, clock: Clock) -> Secrets:
    """Return the Secrets under the names that the chart looks for; ``directory`` is the operator's and stays apart."""
    secret_directory(directory)
    city = City(directory / "nats", clock)
    city.ensure()
    ensure_secrets(directory / "secrets")
    AuditFiles(directory).ensure(SERVICES)
    certificates = DevelopmentCertificates(directory / "tls", clock)
    certificates.ensure(_holders(release))
    passwords = RolePasswords(directory / "postgres")
    return {
        "maasloop-nats": {
            "nats-identities.conf": city.server_configuration(ACCOUNTS_DIRECTORY).encode(),
            **_pair(certificates.files(NATS)),
        },
        "maasloop-postgres": {
            "password": passwords.of(SUPERUSER).encode(),
            "postgres-dsn": _dsn(release, SUPERUSER, passwords, "postgres"),
            "auditor-dsn": _dsn(release, AUDITOR, passwords, DATABASE),
        },
        "maasloop-streams-nats": {
            **{f"{user}.creds": city.credentials(user).read_bytes() for user in (ENSURE, ENSURE_DEVICES)},
            "ca.crt": certificates.files(NATS).authority.read_bytes(),
        },
        "maasloop-tokens": {
            path.name: path.read_bytes()
            for path in (token_signing_key_file(directory / "secrets"), program_keys_file(directory / "secrets"))
        },
        "maasloop-operator": {
            **_trusted_pair(certificates.files(OPERATOR)),
            VERIFICATION_KEYS_FILE: verification_keys_file(directory / "secrets").read_bytes(),
        },
        **dict(_of_services(directory, release, city, certificates, passwords)),
    }


def _holders(release: Release) -> list[Holder]:
    services = [Holder(each, Principal(Kind.SERVICE, each), release.hosts(each)) for each in SERVICES]
    operator = Holder(OPERATOR, Principal(Kind.OPERATOR, "cluster"), hosts=())
    return [*services, operator, Holder(NATS, hosts=release.hosts(NATS))]


def _of_services(
    directory: Path, release: Release, city: City, certificates: DevelopmentCertificates, passwords: RolePasswords
) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    audit = AuditFiles(directory)
    own_users = {"actuation": {"downlink.creds": city.credentials(DOWNLINK)}}
    own_users["device-registry"] = {path.name: path for path in (city.directory / "callout").iterdir()}
    if city.tenants_file.exists():
        own_users |= {service: {city.tenants_file.name: city.tenants_file} for service in HEARS_TENANTS}
    own_keys = {
        "device-registry": {VERIFICATION_KEYS_FILE: verification_keys_file(directory / "secrets")},
        "actuation": {"command.key": command_key_file(directory / "secrets")},
        "notification": {"webhook.key": webhook_key_file(directory / "secrets")},
    }
    for service in SERVICES:
        files = certificates.files(service)
        users = {"user.creds": city.credentials(service), "ca.crt": files.authority, **own_users.get(service, {})}
        log_key = f"{service}.key"
        keys = {
            log_key: audit.secrets / log_key,
            audit.pseudonyms_key.name: audit.pseudonyms_key,
            **own_keys.get(service, {}),
        }
        yield f"maasloop-{service}", {"postgres-dsn": _dsn(release, role_name(service), passwords, DATABASE)}
        yield f"maasloop-{service}-tls", _trusted_pair(files)
        yield f"maasloop-{service}-nats", {name: path.read_bytes() for name, path in users.items()}
        yield f"maasloop-{service}-keys", {name: path.read_bytes() for name, path in keys.items()}


def _dsn(release: Release, role: str, passwords: RolePasswords, database: str) -> bytes:
    password = quote(passwords.of(role), safe="")
    return f"postgresql://{role}:{password}@{release.fullname}-{POSTGRES}:5432/{database}".encode()


def _pair(files: TlsFiles) -> dict[str, bytes]:
    return {"tls.crt": files.certificate.read_bytes(), "tls.key": files.key.read_bytes()}


def _trusted_pair(files: TlsFiles) -> dict[str, bytes]:
    return {**_pair(files), "ca.crt": files.authority.read_bytes()}
