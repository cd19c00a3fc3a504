"""Who may connect: what a client says about itself, judged by what is known of its holder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .credential import UNTRUSTED, Credential, Holder, HolderKind, Method
from .device import DeviceState

CONNECTIONS_MAX = 64
"""Connections of one credential on one server, those that ended since they were last counted among them."""


class Refusal(StrEnum):
    """Why a client was not let in; a label of the count of refusals."""

    USER_UNKNOWN = "user-unknown"
    """The user name is none, or nobody of this name has a credential that holds."""
    PROOF_MISSING = "proof-missing"
    PROOF_WRONG = "proof-wrong"
    CLIENT_ID_FOREIGN = "client-id-foreign"
    """An MQTT client id is that of another: it would throw that one out."""
    PROTOCOL_CLOSED = "protocol-closed"
    """Neither MQTT nor NATS."""
    UNTRUSTED = "untrusted"
    """The device is in quarantine, retired or unknown."""
    TOO_MANY = "too-many"
    """More than ``CONNECTIONS_MAX`` connections."""
    DISTRICT_UNASSIGNED = "district-unassigned"
    """Tenants share the services, and none of them has the device's district."""
    REVOKED_MEANWHILE = "revoked-meanwhile"
    """The credential ended between its check and the answer."""


class Refused(Exception):
    """A client is not let in; not an error of ours, and no detail reaches it."""

    def __init__(self, refusal: Refusal) -> None:
        """Say why."""
        super().__init__(refusal.value)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Knock:
    """A client at the door: who it says it is, and what it brought to prove it."""

    server: str
    connection: int
    protocol: str
    """``mqtt`` or ``nats``; others are not served."""
    user_name: str
    """Not read where a key or a certificate says whose it is."""
    client_id: str
    """Of MQTT; empty for NATS."""
    method: Method | None
    """None when it brought nothing."""
    proof: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a holder at a moment."""

    credentials: Sequence[Credential]
    """Those that are not revoked."""
    state: DeviceState | None
    """State of the device; None for what is no device, or unknown."""
    speaks_for: Sequence[str] = ()
    """Ids of the devices whose gateway it is."""
    connections: int = 0
    """Connections recorded on the server that asks."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who is let in, on which credential, until when."""

    holder: Holder
    credential: Credential
    speaks_for: Sequence[str]
    expire_time: datetime


def holder_of(knock: Knock, keyed: Holder | None) -> Holder:
    """Return whom a client stands for, or refuse; ``keyed`` is the holder of the key or certificate it brought."""
    if knock.protocol not in {"mqtt", "nats"}:
        raise Refused(Refusal.PROTOCOL_CLOSED)
    if knock.method is None:
        raise Refused(Refusal.PROOF_MISSING)
    holder = Holder.of_user_name(knock.user_name) if knock.method is Method.PASSWORD else keyed
    if holder is None:
        raise Refused(Refusal.USER_UNKNOWN)
    if knock.protocol == "mqtt" and knock.client_id != holder.user_name:
        raise Refused(Refusal.CLIENT_ID_FOREIGN)
    return holder


def require_credential(holder: Holder, standing: Standing, knock: Knock, now: datetime) -> Credential:
    """Return the credential that the client proved, or refuse."""
    method = knock.method or Method.PASSWORD
    holding = [credential for credential in standing.credentials if credential.holds(now)]
    if not holding:
        raise Refused(Refusal.USER_UNKNOWN)
    proven = [credential for credential in holding if credential.proven_by(method, knock.proof)]
    if not proven:
        raise Refused(Refusal.PROOF_WRONG)
    if holder.kind is HolderKind.DEVICE and (standing.state is None or standing.state in UNTRUSTED):
        raise Refused(Refusal.UNTRUSTED)
    return proven[0]


def require_room(standing: Standing) -> None:
    """Refuse a holder that has as many connections as one may have."""
    if standing.connections >= CONNECTIONS_MAX:
        raise Refused(Refusal.TOO_MANY)
