"""Identifiers and resource names (AIP-122).

An id is one token everywhere: in resource names, NATS subjects, MQTT topics, SQL and Kubernetes labels. Foreign ids are
mapped once, at import, by ``to_id``.
"""

import hashlib
import re
from typing import NamedTuple, Self

from .errors import InvalidArgument

ID_PATTERN = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
ID_LENGTH_MAX = 63


def valid_id(text: str) -> bool:
    """Tell whether ``text`` is an id of Maasloop."""
    return ID_PATTERN.fullmatch(text) is not None


def require_id(text: str, field: str) -> str:
    """Return ``text``, or refuse the request with the name of the field that holds it."""
    if not valid_id(text):
        message = f"{field} must be 1 to 63 of a-z, 0-9 and '-', not starting or ending with '-'; got {text[:80]!r}"
        raise InvalidArgument("ID_MALFORMED", message, {"field": field})
    return text


def to_id(foreign: str) -> str:
    """Map a foreign id to an id: the same one for ever, different ones for different foreign ids.

    Ids that are valid already stay. Others are lower-cased, foreign characters become ``-``, and eight hexadecimal
    digits of the SHA-256 of the foreign id keep them apart.
    """
    if valid_id(foreign):
        return foreign
    digest = hashlib.sha256(foreign.encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9]+", "-", foreign.lower()).strip("-")[: ID_LENGTH_MAX - 9].rstrip("-")
    return f"{readable}-{digest}" if readable else digest


class DistrictName(NamedTuple):
    """``districts/{district}``."""

    district: str

    def __str__(self) -> str:
        """Return the resource name."""
        return f"districts/{self.district}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse a resource name, or refuse it."""
        return cls(*_parse(name, ("districts",)))


class DeviceName(NamedTuple):
    """``districts/{district}/devices/{device}``."""

    district: str
    device: str

    def __str__(self) -> str:
        """Return the resource name."""
        return f"districts/{self.district}/devices/{self.device}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse a resource name, or refuse it."""
        return cls(*_parse(name, ("districts", "devices")))


class CommandName(NamedTuple):
    """``districts/{district}/commands/{command}``."""

    district: str
    command: str

    def __str__(self) -> str:
        """Return the resource name."""
        return f"districts/{self.district}/commands/{self.command}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse a resource name, or refuse it."""
        return cls(*_parse(name, ("districts", "commands")))


def parse_name(name: str, *collections: str) -> tuple[str, ...]:
    """Return the ids of a resource name made of these collections, in order, or refuse it.

    ``parse_name("policies/dim", "policies")`` gives ``("dim",)``.
    """
    return tuple(_parse(name, collections))


def _parse(name: str, collections: tuple[str, ...]) -> list[str]:
    parts = name.split("/")
    if len(parts) == 2 * len(collections) and tuple(parts[::2]) == collections and all(map(valid_id, parts[1::2])):
        return parts[1::2]
    pattern = "/".join(f"{collection}/{{id}}" for collection in collections)
    message = f"a resource name of the form {pattern} is needed; got {name[:160]!r}"
    raise InvalidArgument("NAME_MALFORMED", message, {"pattern": pattern})
