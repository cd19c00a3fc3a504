"""What a device proves itself with: passwords, keys, certificates, and the one-time claims that they are given for.

Secrets are 256 random bits. They are kept as their SHA-256 and compared in constant time; a slow hash would protect
nothing, because there is nothing to guess.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Self
from uuid import UUID

from maasloop.core.errors import FailedPrecondition, ResourceExhausted, Unauthenticated
from maasloop.core.ids import valid_id
from maasloop.core.reasons import Reason

from .device import DeviceState

SECRET_BYTES = 32
CLAIM_PREFIX = "mlc_"
"""Begins every claim, so that scanners for secrets know one."""
PASSWORD_PREFIX = "mld_"  # noqa: S105 - begins every password, and is none
NETWORK_SERVERS = "network-servers"
RATE_WINDOW = timedelta(minutes=1)
UNTRUSTED = frozenset({DeviceState.QUARANTINED, DeviceState.RETIRED})
"""States of a device in which none of its credentials holds."""


class HolderKind(StrEnum):
    """Who holds credentials."""

    DEVICE = "device"
    NETWORK_SERVER = "network-server"


class Holder(NamedTuple):
    """Whom a credential stands for; ``district`` is empty for a network server."""

    kind: HolderKind
    district: str
    id: str

    @property
    def user_name(self) -> str:
        """User name and MQTT client id: ids of devices are unique in their district only."""
        return f"{self.district or NETWORK_SERVERS}/{self.id}"

    def __str__(self) -> str:
        """Return the resource name."""
        if self.kind is HolderKind.NETWORK_SERVER:
            return f"networkServers/{self.id}"
        return f"districts/{self.district}/devices/{self.id}"

    @classmethod
    def of_user_name(cls, text: str) -> Self | None:
        """Return whom a user name means; none for what is no user name."""
        place, slash, id_ = text.partition("/")
        if not slash or not valid_id(place) or not valid_id(id_):
            return None
        if place == NETWORK_SERVERS:
            return cls(HolderKind.NETWORK_SERVER, "", id_)
        return cls(HolderKind.DEVICE, place, id_)


def device_holder(district: str, device: str) -> Holder:
    """Return the holder that a device is."""
    return Holder(HolderKind.DEVICE, district, device)


class Method(StrEnum):
    """How a credential is proven."""

    PASSWORD = "PASSWORD"  # noqa: S105 - a name
    NKEY = "NKEY"
    CERTIFICATE = "CERTIFICATE"


@dataclass(frozen=True, slots=True)
class Credential:
    """One way in for one holder."""

    id: str
    holder: Holder
    method: Method
    proof: bytes
    """SHA-256 of the password, the public nkey, or SHA-256 of the certificate (DER)."""
    create_time: datetime
    expire_time: datetime | None = None
    revoke_time: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Tell whether it may still be used."""
        return self.revoke_time is None and (self.expire_time is None or now < self.expire_time)

    def proven_by(self, method: Method, proof: bytes) -> bool:
        """Tell whether this was presented, in the same time whatever differs."""
        return method is self.method and hmac.compare_digest(self.proof, proof)


def new_credential(holder: Holder, method: Method, proof: bytes, now: datetime) -> Credential:
    """Return a credential under an id of its own."""
    return Credential(secrets.token_hex(8), holder, method, proof, now)


def new_password() -> str:
    """Return a password that nobody can guess."""
    return PASSWORD_PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def digest(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def overlapping(credential: Credential, now: datetime, overlap: timedelta) -> Credential:
    """Return a credential whose successor was made: it ends after the overlap, or earlier if it would anyway."""
    end = now + overlap
    return replace(credential, expire_time=min(credential.expire_time or end, end))


def revoked(credential: Credential, now: datetime) -> Credential:
    """Return the credential ended for good; one that was revoked stays as it is."""
    return credential if credential.revoke_time else replace(credential, revoke_time=now)


@dataclass(frozen=True, slots=True)
class Claim:
    """A one-time right to enrol a device of a district."""

    digest: bytes
    batch: UUID
    rate_per_minute: int
    """Most enrolments of its batch in a minute."""
    district: str
    device: str
    """The only device it is good for; empty for any of the district without a credential."""
    expire_time: datetime
    use_time: datetime | None = None


def new_claim() -> str:
    """Return the secret of a claim."""
    return CLAIM_PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def require_claim(claim: Claim | None, holder: Holder, now: datetime, *, has_credential: bool) -> Claim:
    """Return a claim that is good for the device, or refuse; the refusal does not tell which of its rules broke."""
    good = (
        claim is not None
        and claim.use_time is None
        and now < claim.expire_time
        and claim.district == holder.district
        and (claim.device == holder.id if claim.device else not has_credential)
    )
    if claim is None or not good:
        message = f"the claim is unknown, used, expired, or not good for {holder}"
        raise Unauthenticated(Reason.CLAIM_INVALID, message)
    return claim


def require_rate(claim: Claim, used_in_window: int) -> None:
    """Refuse an enrolment above the rate of the claim's batch."""
    if used_in_window >= claim.rate_per_minute:
        message = f"the batch of this claim enrols at most {claim.rate_per_minute} devices a minute"
        raise ResourceExhausted(Reason.RATE_LIMITED, message, retry_after_s=10.0)


def require_trusted(holder: Holder, state: DeviceState | None) -> None:
    """Refuse credentials for a device that is in quarantine or retired."""
    if state in UNTRUSTED:
        message = f"{holder} is not to be trusted: release it first, or use another"
        raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": str(state)})
