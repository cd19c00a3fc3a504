"""What a test needs to know of a server, wherever it comes from."""

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class NatsEndpoint:
    """Addresses of one NATS server."""

    url: str
    mqtt_address: tuple[str, int]


class TimescaleEndpoint(Protocol):
    """A PostgreSQL server with TimescaleDB."""

    def dsn(self, database: str = "postgres", role: str = "postgres") -> str:
        """Return the connection string of a role and a database."""
        ...


@dataclass(frozen=True, slots=True)
class GivenTimescale:
    """A server named by a superuser's URL; other roles are taken to need no password."""

    superuser_url: str

    def dsn(self, database: str = "postgres", role: str = "postgres") -> str:
        """Return the URL with another database, and another user unless the superuser is meant."""
        parts = urlsplit(self.superuser_url)
        netloc = parts.netloc if role == "postgres" else f"{role}@{parts.netloc.rpartition('@')[2]}"
        return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}"))
