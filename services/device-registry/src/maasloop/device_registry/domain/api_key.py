"""What a program proves itself with: a secret that is shown once, with roles, an end, and an id to revoke it by."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from maasloop.core.errors import Unauthenticated
from maasloop.core.reasons import Reason

from .credential import SECRET_BYTES, digest

KEY_PREFIX = "mlk_"
"""Begins every secret, so that scanners for secrets know one."""


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """A role, and where it holds."""

    role: str
    districts: frozenset[str] | None
    """Ids of districts; None means all."""
    domains: frozenset[str] | None
    """Domains of observed properties; None means all."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret."""

    id: str
    program: str
    digest: bytes
    grants: tuple[RoleGrant, ...]
    create_time: datetime
    expire_time: datetime
    revoke_time: datetime | None = None


def new_api_key(program: str, grants: Sequence[RoleGrant], now: datetime, ttl: timedelta) -> tuple[ApiKey, str]:
    """Return a key and its secret."""
    secret = KEY_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    return ApiKey(secrets.token_hex(8), program, digest(secret), tuple(grants), now, now + ttl), secret


def require_valid(key: ApiKey | None, now: datetime) -> ApiKey:
    """Return a key that holds, or refuse its bearer."""
    if key is None:
        raise Unauthenticated(Reason.CREDENTIALS_INVALID, "there is no such key")
    if key.revoke_time is not None:
        raise Unauthenticated(Reason.CREDENTIALS_REVOKED, "the key was revoked")
    if key.expire_time <= now:
        raise Unauthenticated(Reason.CREDENTIALS_EXPIRED, "the key is past its end")
    return key


def revoked(key: ApiKey, now: datetime) -> ApiKey:
    """Return a key that has ended; one that was revoked stays as it is."""
    return key if key.revoke_time is not None else replace(key, revoke_time=now)
