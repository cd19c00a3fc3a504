"""The six services as processes: their modules, their neighbours, the environment each one gets.

Nothing is imported from a service: it is started as ``python -m``, and settings are names of environment variables.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from maasloop.bus.rights import DOWNLINK
from maasloop.stack.audit_keys import AuditFiles
from maasloop.stack.certificates import StackCertificates
from maasloop.stack.ports import LOOPBACK, free_ports
from maasloop.stack.secrets import (
    command_key_file,
    program_keys_file,
    token_signing_key_file,
    verification_keys_file,
    webhook_key_file,
)
from maasloop.stack.servers.databases import SERVICES
from maasloop.stack.servers.nats import NatsIdentities
from maasloop.stack.state import ServiceAddresses

HTTP_SERVICES = ("ingest",)
HEARS_TENANTS = ("ingest", "timeseries")
"""Who asks the accounts of the devices of every tenant."""
LOOPBACK_NETWORK = "127.0.0.0/8"

NEIGHBOURS: Mapping[str, tuple[str, ...]] = {
    "ingest": ("device-registry", "consent"),
    "device-registry": (),
    "timeseries": ("device-registry", "consent"),
    "actuation": ("device-registry", "timeseries"),
    "notification": ("device-registry",),
    "consent": (),
}


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The addresses that every service is told."""

    nats_url: str
    postgres_dsns: Mapping[str, str]
    services: Mapping[str, ServiceAddresses]
    secrets: Path
    """Directory of what ``ensure_secrets`` made."""
    nats: NatsIdentities | None = None
    """Who NATS lets in; none = anybody."""
    certificates: StackCertificates | None = None
    """None where nobody is identified."""


def module_name(service: str) -> str:
    """Return the Python package of a service."""
    return f"maasloop.{service.replace('-', '_')}"


def setting_name(service: str, field: str) -> str:
    """Return the environment variable of a service's setting."""
    return f"MAASLOOP_{service}__{field}".replace("-", "_").upper()


LISTENERS: tuple[str, ...] = (
    "nats",
    "mqtt",
    "nats-monitor",
    "postgres",
    *(f"{service}-{door}" for service in SERVICES for door in ("grpc", "public", "health")),
    *(f"{service}-http" for service in HTTP_SERVICES),
)
"""Everything of a stack that listens, by the name under which its port may be configured."""


def choose_addresses(configured: Mapping[str, int]) -> dict[str, ServiceAddresses]:
    """Give every service its configured ports of loopback, and free ones where none is configured."""
    ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True)) | dict(configured)
    return {
        service: ServiceAddresses(
            grpc=f"{LOOPBACK}:{ports[f'{service}-grpc']}",
            public=f"{LOOPBACK}:{ports[f'{service}-public']}",
            health=f"{LOOPBACK}:{ports[f'{service}-health']}",
            http=f"{LOOPBACK}:{ports[f'{service}-http']}" if service in HTTP_SERVICES else "",
        )
        for service in SERVICES
    }


def service_environment(service: str, neighbours: Neighbours) -> dict[str, str]:
    """Return the settings of a service as environment variables."""
    own = neighbours.services[service]
    fields = {
        "nats_url": neighbours.nats_url,
        "postgres_dsn": neighbours.postgres_dsns[service],
        "grpc_address": own.grpc,
        "health_address": own.health,
        "migrate_at_start": "true",
    }
    if neighbours.nats is not None:
        fields["nats_credentials_file"] = str(neighbours.nats.city.credentials(service))
        fields["nats_ca_file"] = str(neighbours.nats.tls.authority)
        if service == "device-registry":
            fields["callout_directory"] = str(neighbours.nats.city.directory / "callout")
        if service in HEARS_TENANTS and neighbours.nats.city.tenants_file.exists():
            fields["tenants_file"] = str(neighbours.nats.city.tenants_file)
        if service == "actuation":
            fields["downlink_credentials_file"] = str(neighbours.nats.city.credentials(DOWNLINK))
    if neighbours.certificates is None:
        fields["insecure_on_loopback"] = "true"
    else:
        files = neighbours.certificates.files(service)
        fields["tls_certificate_file"] = str(files.certificate)
        fields["tls_key_file"] = str(files.key)
        fields["tls_ca_file"] = str(files.authority)
        fields["public_grpc_address"] = own.public
        fields["access__program_keys_file"] = str(program_keys_file(neighbours.secrets))
        audit = AuditFiles(neighbours.secrets.parent)
        fields["audit_keys_directory"] = str(audit.secrets)
        fields["audit_checkpoints_directory"] = str(audit.checkpoints)
    if own.http:
        fields["http_address"] = own.http
    if service == "device-registry":
        fields["command_keys_file"] = str(verification_keys_file(neighbours.secrets))
        fields["token_signing_key_file"] = str(token_signing_key_file(neighbours.secrets))
    if service == "actuation" and neighbours.certificates is not None:
        fields["command_key_file"] = str(command_key_file(neighbours.secrets))
    if service == "notification":
        fields["webhook_key_file"] = str(webhook_key_file(neighbours.secrets))
        # Whoever is told by a stack on one machine listens there.
        fields["webhook_networks"] = json.dumps([LOOPBACK_NETWORK])
    for neighbour in NEIGHBOURS[service]:
        fields[f"{neighbour}_address"] = neighbours.services[neighbour].grpc
    return {setting_name(service, field): value for field, value in fields.items()}
