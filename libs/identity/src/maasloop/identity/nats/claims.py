"""Claims of operator, account and user: what NATS may be told of them, as plain values.

Field names are those of nats-server's JWT format, version 2. A limit of ``UNLIMITED`` is none. What is not said here
(weighted mappings, tiers, latency sampling) Maasloop does not use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

UNLIMITED = -1
NANOSECONDS = 1_000_000_000


class ConnectionType(StrEnum):
    """How a client may connect."""

    STANDARD = "STANDARD"
    MQTT = "MQTT"
    WEBSOCKET = "WEBSOCKET"
    LEAFNODE = "LEAFNODE"


class Sharing(StrEnum):
    """Which way a subject crosses accounts."""

    STREAM = "stream"
    """Messages flow from the exporter to the importer."""
    SERVICE = "service"
    """Requests flow from the importer to the exporter, answers back."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Subjects that may be published and subscribed; what is not allowed is refused."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    """A member of a queue group is ``subject queue``."""
    publish_except: tuple[str, ...] = ()
    """What of ``publish`` is refused all the same."""
    answers_max: int = 0
    """Answers that may be published on the reply subject of each request that was heard."""
    answer_within_s: float = 0.0

    def claims(self) -> dict[str, Any]:
        """Return them as the token has them; an empty list would allow everything, so it denies everything."""
        made: dict[str, Any] = {"pub": _allowed(self.publish), "sub": _allowed(self.subscribe)}
        if self.publish_except:
            made["pub"]["deny"] = list(self.publish_except)
        if self.answers_max:
            made["resp"] = {"max": self.answers_max, "ttl": int(self.answer_within_s * NANOSECONDS)}
        return made


def _allowed(subjects: tuple[str, ...]) -> dict[str, Any]:
    return {"allow": list(subjects)} if subjects else {"deny": [">"]}


@dataclass(frozen=True, slots=True)
class UserLimits:
    """What one connection of a user may use."""

    subscriptions: int = UNLIMITED
    payload_bytes: int = UNLIMITED


@dataclass(frozen=True, slots=True)
class User:
    """A user of an account."""

    rights: Rights
    limits: UserLimits = UserLimits()
    connection_types: tuple[ConnectionType, ...] = (ConnectionType.STANDARD,)
    bearer: bool = False
    """The token alone is enough, without a proof of the key: MQTT clients cannot sign."""
    sources: tuple[str, ...] = ()
    """Networks (CIDR) from which it may connect; empty = any."""
    issuer_account: str = ""
    """Public key of the account when a signing key of it signs."""

    def claims(self) -> dict[str, Any]:
        """Return what the token has under ``nats``."""
        made: dict[str, Any] = {
            "type": "user",
            **self.rights.claims(),
            "subs": self.limits.subscriptions,
            "data": UNLIMITED,
            "payload": self.limits.payload_bytes,
            "allowed_connection_types": [str(kind) for kind in self.connection_types],
        }
        if self.bearer:
            made["bearer_token"] = True
        if self.sources:
            made["src"] = list(self.sources)
        if self.issuer_account:
            made["issuer_account"] = self.issuer_account
        return made


@dataclass(frozen=True, slots=True)
class Export:
    """A subject that other accounts may import."""

    name: str
    subject: str
    sharing: Sharing
    private: bool = False
    """Importers need an activation token of this account."""
    streamed_answers: bool = False
    """A request is answered by many messages."""
    account_token_position: int = 0
    """Place (from 1) of the ``*`` that must be the importer's public key; 0 = none."""

    def claims(self) -> dict[str, Any]:
        """Return it as the token has it."""
        made: dict[str, Any] = {"name": self.name, "subject": self.subject, "type": str(self.sharing)}
        if self.private:
            made["token_req"] = True
        if self.streamed_answers:
            made["response_type"] = "Stream"
        if self.account_token_position:
            made["account_token_position"] = self.account_token_position
        return made


@dataclass(frozen=True, slots=True)
class Import:
    """A subject of another account, made one of this account."""

    name: str
    subject: str
    account: str
    """Public key of the exporter."""
    sharing: Sharing
    activation: str = ""
    """The exporter's token for a private export."""
    local_subject: str = ""
    """Its name here when it is another one."""

    def claims(self) -> dict[str, Any]:
        """Return it as the token has it."""
        made: dict[str, Any] = {
            "name": self.name,
            "subject": self.subject,
            "account": self.account,
            "type": str(self.sharing),
        }
        if self.activation:
            made["token"] = self.activation
        if self.local_subject:
            made["local_subject"] = self.local_subject
        return made


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """What JetStream may use; nothing by default."""

    memory_bytes: int = 0
    disk_bytes: int = 0
    streams: int = 0
    consumers: int = 0


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What an account may use."""

    connections: int = UNLIMITED
    subscriptions: int = UNLIMITED
    payload_bytes: int = UNLIMITED
    leaf_nodes: int = 0
    storage: StorageLimits = StorageLimits()

    def claims(self) -> dict[str, Any]:
        """Return them as the token has them."""
        return {
            "subs": self.subscriptions,
            "data": UNLIMITED,
            "payload": self.payload_bytes,
            "imports": UNLIMITED,
            "exports": UNLIMITED,
            "wildcards": True,
            "conn": self.connections,
            "leaf": self.leaf_nodes,
            "mem_storage": self.storage.memory_bytes,
            "disk_storage": self.storage.disk_bytes,
            "streams": self.storage.streams,
            "consumer": self.storage.consumers,
        }


@dataclass(frozen=True, slots=True)
class ExternalAuthorization:
    """Who decides which clients enter an account (auth callout)."""

    auth_users: tuple[str, ...]
    """Public keys of the users that answer, and enter by their own token."""
    allowed_accounts: tuple[str, ...]
    """Public keys of accounts into which an answer may place a client."""
    curve_key: str = ""
    """Public X25519 key for which the server seals its requests."""

    def claims(self) -> dict[str, Any]:
        """Return it as the token has it."""
        made: dict[str, Any] = {
            "auth_users": list(self.auth_users),
            "allowed_accounts": list(self.allowed_accounts),
        }
        if self.curve_key:
            made["xkey"] = self.curve_key
        return made


@dataclass(frozen=True, slots=True)
class Account:
    """An account: its limits, what it shares, whom it has revoked."""

    limits: AccountLimits = AccountLimits()
    exports: tuple[Export, ...] = ()
    imports: tuple[Import, ...] = ()
    authorization: ExternalAuthorization | None = None
    signing_keys: tuple[str, ...] = ()
    revocations: Mapping[str, int] = field(default_factory=dict)
    """By public key of a user the second until which its tokens are void."""

    def claims(self) -> dict[str, Any]:
        """Return what the token has under ``nats``."""
        made: dict[str, Any] = {
            "type": "account",
            "limits": self.limits.claims(),
            "exports": [export.claims() for export in self.exports],
            "imports": [each.claims() for each in self.imports],
            "default_permissions": {"pub": {}, "sub": {}},
        }
        if self.authorization is not None:
            made["authorization"] = self.authorization.claims()
        if self.signing_keys:
            made["signing_keys"] = list(self.signing_keys)
        if self.revocations:
            made["revocations"] = dict(self.revocations)
        return made


def operator_claims(system_account: str) -> dict[str, Any]:
    """Return what an operator's token has under ``nats``."""
    return {"type": "operator", "system_account": system_account}


def activation_claims(subject: str, sharing: Sharing) -> dict[str, Any]:
    """Return what the exporter signs so that an account (the token's subject) may import a private export."""
    return {"type": "activation", "subject": subject, "kind": str(sharing)}
