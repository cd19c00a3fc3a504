"""Who a caller is: one form for devices, services, people and programs, however they proved it.

Services and the operator of a machine prove it by a certificate whose URI name (RFC 5280 4.2.1.6) is
``spiffe://{trust domain}/{kind}/{name}``, as SPIFFE IDs are written.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from maasloop.core.ids import valid_id

SCHEME = "spiffe"


class Kind(StrEnum):
    """How somebody proves who they are."""

    DEVICE = "device"
    """By the credential of its enrolment."""
    SERVICE = "service"
    """By a certificate of the platform's own authority."""
    OPERATOR = "operator"
    """By a certificate that lies on the machine itself: the command line beside a local stack."""
    PERSON = "person"
    """By a token of the city's identity provider."""
    PROGRAM = "program"
    """By a token that an API key was exchanged for."""


CERTIFIED = frozenset({Kind.SERVICE, Kind.OPERATOR})
"""Kinds that a certificate can name."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, and where it holds."""

    role: str
    districts: frozenset[str] | None = frozenset()
    """Ids of districts; None means all."""
    domains: frozenset[str] | None = None
    """Domains of observed properties; None means all."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity was proven."""

    kind: Kind
    name: str
    grants: tuple[Grant, ...] = ()
    """What people and programs may; services and devices have lists of their own."""
    data_subject: str = ""
    """Key of the person whose own data this is, for citizens."""
    credential: str = ""
    """Id of the key or token that proved it, never the secret."""
    expire_time: datetime | None = None
    """When the proof ends; None for as long as the connection lasts."""
    authenticated_time: datetime | None = None
    """When a person proved it to the provider; None where that is not told."""
    acr: str = ""
    """How, in the provider's words (authentication context class)."""

    def __str__(self) -> str:
        """Return ``kind/name``, as logs and the audit write it."""
        return f"{self.kind}/{self.name}"

    def uri(self, trust_domain: str) -> str:
        """Return the URI name of its certificate."""
        return f"{SCHEME}://{trust_domain}/{self.kind}/{self.name}"


def of_uri(uri: str, trust_domain: str) -> Principal | None:
    """Return who the URI name of a verified certificate stands for; none if it is foreign or has another form."""
    parts = urlsplit(uri)
    if (parts.scheme, parts.netloc) != (SCHEME, trust_domain) or parts.query or parts.fragment:
        return None
    match parts.path.split("/"):
        case ["", kind, name] if kind in CERTIFIED and valid_id(name):
            return Principal(Kind(kind), name)
    return None
