"""Where the services are: options first, then the environment, then ``.maasloop/stack.json``."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from maasloop.bus.rights import ENSURE_DEVICES
from maasloop.stack.doors import MqttListener, NatsUser
from maasloop.stack.errors import StackError
from maasloop.stack.state import ServiceAddresses, StackState, StateDirectory

if TYPE_CHECKING:
    from maasloop.cli.login_file import Login
    from maasloop.identity.certificates import TlsFiles

ENVIRONMENT_PREFIX = "MAASLOOP_CLI__"
DEVICES_CREDENTIALS = "NATS_DEVICES_CREDENTIALS_FILE"
"""Variable that names the credentials of the user who declares streams in the account of a tenant's devices."""
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
    signed_in: bool = False
    """Call as the person who signed in, also where a certificate lies."""

    def stack(self) -> StackState:
        """Return the running stack of the checkout, or raise ``StackError``."""
        return StateDirectory(self.root).read()

    def service(self, name: str) -> str:
        """Return ``host:port`` of a service's gRPC door for callers with a certificate."""
        return self._given(name) or self._of_stack(name).grpc

    def public(self, name: str, login: "Login | None") -> str:
        """Return ``host:port`` of a service's gRPC door for callers with a token."""
        known = self._given(name) or (login.services.get(name, "") if login else "") or self._of_stack(name).public
        if not known:
            raise StackError(name, "takes no tokens here: its public_grpc_address is empty")
        return known

    def _given(self, name: str) -> str:
        return self.services.get(name) or _environment(f"{name}_ADDRESS")

    def _of_stack(self, name: str) -> ServiceAddresses:
        services = self.stack().services
        if name not in services:
            raise StackError(name, "is not part of the running stack")
        return services[name]

    def token_file(self) -> Path | None:
        """Return the file of the token that the environment names."""
        return _file("TOKEN_FILE")

    def authority(self, login: "Login | None") -> Path | None:
        """Return who vouches for services that are called with a token; none for those whom gRPC believes."""
        named = _file("TLS_CA_FILE") or (Path(login.services_ca_file) if login and login.services_ca_file else None)
        if named is not None:
            return named
        try:
            return _existing(self.stack().ca_file)
        except StackError:
            return None

    def nats_user(self, user: str) -> NatsUser:
        """Return where NATS is and how a user connects: the stack's own, or with the files that the environment names."""
        given = self.nats or _environment("NATS_URL")
        if not given:
            return self.stack().nats_user(user)
        for each in given.split(","):
            _split(each, "nats")
        variable = DEVICES_CREDENTIALS if user.startswith(ENSURE_DEVICES) else "NATS_CREDENTIALS_FILE"
        return NatsUser(given, _file(variable), _file("NATS_CA_FILE"))

    def certificate(self, service: str) -> "TlsFiles | None":
        """Return the certificate to show to a service, if there is one for it.

        Files named in the environment come first. The operator's certificate of the running stack is shown to its own
        services only.
        """
        from maasloop.core.errors import InvalidArgument
        from maasloop.core.reasons import Reason
        from maasloop.identity.certificates import TlsFiles, read_pair

        named = [_environment(name) for name in ("TLS_CERTIFICATE_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")]
        if all(named):
            files = TlsFiles(*map(Path, named))
            if read_pair(files.certificate, files.key) is None:
                message = f"{files.certificate} and {files.key} are no certificate and its key (PEM)"
                raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "tls"})
            return files
        try:
            stack = self.stack()
        except StackError:
            return None
        own = stack.services.get(service)
        return stack.tls if own is not None and self._given(service) in {"", own.grpc} else None

    def require_loopback(self, service: str) -> None:
        """Refuse to call a service beyond this machine as nobody."""
        address = self.service(service)
        if not address.startswith(LOOPBACK_PREFIXES):
            message = f"{address} is not on this machine, and nobody is signed in"
            certificate = (
                f"name a certificate by {ENVIRONMENT_PREFIX}TLS_CERTIFICATE_FILE, …_TLS_KEY_FILE and …_TLS_CA_FILE"
            )
            raise StackError(service, message, next_step=f"maasloop login, or {certificate}")

    def mqtt_url(self) -> str:
        """Return the address of the MQTT door; empty where only NATS was given."""
        given = self.mqtt or _environment("MQTT_URL")
        if given:
            _split(given, "mqtt")
        if given or self.nats or _environment("NATS_URL"):
            return given
        stack = self.stack()
        return f"mqtt://{stack.mqtt_host}:{stack.mqtt_port}"

    def mqtt_listener(self) -> MqttListener:
        """Return where devices connect; each has a user name and a password of its own."""
        given = self.mqtt or _environment("MQTT_URL")
        if not given:
            return self.stack().mqtt_listener()
        url = _split(given, "mqtt")
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
    return _existing(_environment(variable))


def _existing(path: str) -> Path | None:
    return Path(path) if path else None


def _split(address: str, scheme: str) -> SplitResult:
    """Return the parts of an address with a host and, if any, a port that can be."""
    from maasloop.core.errors import InvalidArgument
    from maasloop.core.reasons import Reason

    problem = InvalidArgument(Reason.REQUEST_INVALID, f"{address} is no address like {scheme}://HOST:PORT")
    try:
        found = urlsplit(address if "://" in address else f"{scheme}://{address}")
        if found.hostname and found.port != 0:
            return found
    except ValueError:
        raise problem from None
    raise problem


def _environment(name: str) -> str:
    return os.environ.get(ENVIRONMENT_PREFIX + name.upper().replace("-", "_"), "")
