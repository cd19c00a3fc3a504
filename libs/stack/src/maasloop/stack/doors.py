"""How devices and users of a stack connect: addresses, credentials and authorities in the form that clients take."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maasloop.identity.nats.credentials import read_credentials


@dataclass(frozen=True, slots=True)
class MqttListener:
    """The MQTT listener, and as whom a client connects there."""

    host: str
    port: int
    username: str = ""
    """Empty = the listener asks nobody."""
    password: str = ""
    authority_file: str = ""
    """Who vouches for the listener (PEM); empty = no TLS."""

    def context(self) -> ssl.SSLContext | None:
        """Return what TLS trusts, or nothing for a plain connection."""
        return ssl.create_default_context(cafile=self.authority_file) if self.authority_file else None

    def options(self) -> dict[str, Any]:
        """Return the arguments of an ``aiomqtt.Client`` that say where and as whom."""
        return {
            "hostname": self.host,
            "port": self.port,
            "username": self.username or None,
            "password": self.password or None,
            "tls_context": self.context(),
        }


@dataclass(frozen=True, slots=True)
class NatsUser:
    """A user of NATS: what ``maasloop.bus.connection.connect`` is told beside a name."""

    url: str
    credentials_file: Path | None = None
    authority_file: Path | None = None

    def options(self) -> dict[str, Any]:
        """Return the arguments of ``connect``."""
        return {
            "url": self.url,
            "credentials_file": self.credentials_file,
            "authority_file": self.authority_file,
        }


def token_of(credentials_file: Path) -> str:
    """Return the token of a user, which MQTT takes as a password if the user may show it without a proof."""
    return read_credentials(credentials_file.read_text(encoding="ascii"))[0]
