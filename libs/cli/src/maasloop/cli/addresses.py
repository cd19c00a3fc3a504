"""Where the services are: options first, then the environment, then ``.maasloop/stack.json``."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from maasloop.bus.rights import ENSURE_DEVICES
from maasloop.stack.doors import MqttListener, NatsUser
from maasloop.stack.errors import StackError
from maasloop.stack.state import StackState, StateDirectory

if TYPE_CHECKING:
    from maasloop.identity.certificates import TlsFiles

ENVIRONMENT_PREFIX = "MAASLOOP_CLI__"
CREDENTIALS = {ENSURE_DEVICES: "NATS_DEVICES_CREDENTIALS_FILE"}
"""Variables that name the credentials of users who are not the one of the command."""
MQTT_PORT = 1883
LOOPBACK_PREFIXES = ("127.", "localhost:", "[::1]:")


@dataclass(frozen=True, slots=True)
class Addresses:
    """What the command line says about addresses; everything else is looked up when it is needed."""

    root: Path
    nats: str = ""
    mqtt: str = ""
    services: Mapping[str, str] = field(default_factory=dict)
    """``host:port`` by service name."""

    def stack(self) -> StackState:
        """Return the running stack of the checkout, or raise ``StackError``."""
        return StateDirectory(self.root).read()

    def service(self, name: str) -> str:
        """Return ``host:port`` of a service's gRPC door."""
        given = self.services.get(name) or _environment(f"{name}_ADDRESS")
        if given:
            return given
        services = self.stack().services
        if name not in services:
            raise StackError(name, "is not part of the running stack")
        return services[name].grpc

    def nats_user(self, user: str) -> NatsUser:
        """Return where NATS is and how a user connects: the stack's own, or with the files that the environment names."""
        given = self.nats or _environment("NATS_URL")
        if not given:
            return self.stack().nats_user(user)
        variable = CREDENTIALS.get(user, "NATS_CREDENTIALS_FILE")
        return NatsUser(given, _file(variable), _file("NATS_CA_FILE"))

    def tls(self, service: str) -> "TlsFiles | None":
        """Return the certificate to show to a service; none where nobody is identified.

        Files named in the environment come first. The operator's certificate of the running stack is shown to its own
        services only.
        """
        from maasloop.identity.certificates import TlsFiles

        named = [_environment(name) for name in ("TLS_CERTIFICATE_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")]
        if all(named):
            return TlsFiles(*map(Path, named))
        address = self.service(service)
        try:
            stack = self.stack()
        except StackError:
            stack = None
        if stack is not None and service in stack.services and stack.services[service].grpc == address:
            return stack.tls
        if not address.startswith(LOOPBACK_PREFIXES):
            message = f"{address} is not on this machine: name a certificate by {ENVIRONMENT_PREFIX}TLS_CERTIFICATE_FILE, …_TLS_KEY_FILE and …_TLS_CA_FILE"
            raise StackError(service, message)
        return None

    def mqtt_url(self) -> str:
        """Return the address of the MQTT door; empty where only NATS was given."""
        given = self.mqtt or _environment("MQTT_URL")
        if given or self.nats or _environment("NATS_URL"):
            return given
        stack = self.stack()
        return f"mqtt://{stack.mqtt_host}:{stack.mqtt_port}"

    def mqtt_listener(self) -> MqttListener:
        """Return where devices connect; each has a user name and a password of its own."""
        given = self.mqtt or _environment("MQTT_URL")
        if not given:
            return self.stack().mqtt_listener()
        url = urlsplit(given)
        return MqttListener(url.hostname or "", url.port or MQTT_PORT, authority_file=_environment("NATS_CA_FILE"))

    def command_keys(self) -> Path:
        """Return the file of the keys whose commands devices obey."""
        return _file("COMMAND_KEYS_FILE") or Path(self.stack().command_keys)


def named_root() -> Path | None:
    """Return the checkout that the environment names."""
    return _file("ROOT")


def service_addresses(given: list[str]) -> dict[str, str]:
    """Read ``SERVICE=HOST:PORT`` options."""
    found = {}
    for option in given:
        service, equals, address = option.partition("=")
        if not equals or ":" not in address:
            message = f"--address takes SERVICE=HOST:PORT, for example device-registry=127.0.0.1:50051; got {option}"
            raise ValueError(message)
        found[service] = address
    return found


def _file(variable: str) -> Path | None:
    named = _environment(variable)
    return Path(named) if named else None


def _environment(name: str) -> str:
    return os.environ.get(ENVIRONMENT_PREFIX + name.upper().replace("-", "_"), "")
