"""JWTs of NATS, version 2: claims signed by an nkey (header ``ed25519-nkey``), as nats-server's jwt library reads them.

An operator signs accounts, an account signs users; each token names its subject by public key. A verifier checks the
signature by the issuer that the token names, and then that this issuer is one it trusts: ``issuers`` of ``verified``.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from maasloop.core.errors import InvalidArgument

from .keys import KeyPair, verify

HEADER: Mapping[str, str] = {"typ": "JWT", "alg": "ed25519-nkey"}
VERSION = 2
TOKEN_BYTES_MAX = 1024 * 1024
PARTS = 3


@dataclass(frozen=True, slots=True)
class Token:
    """What a verified token says."""

    subject: str
    """Public key of whom it is about."""
    issuer: str
    """Public key of who signed it."""
    name: str
    issued_at: int
    """Seconds since the epoch."""
    expires_at: int
    """Seconds since the epoch; 0 = never."""
    audience: str
    nats: Mapping[str, Any]
    """The claims of NATS: ``type``, ``version`` and what that type has."""


def sign(
    nats: Mapping[str, Any],
    *,
    subject: str,
    name: str,
    signer: KeyPair,
    issued_at: int,
    expires_at: int = 0,
    audience: str = "",
) -> str:
    """Return a token; ``nats`` holds its ``type``. Times are whole seconds since the epoch; an expiry of 0 is none."""
    claims: dict[str, Any] = {
        "jti": "",
        "iat": issued_at,
        "iss": signer.public_key,
        "name": name,
        "sub": subject,
        "nats": {**nats, "version": VERSION},
    }
    if expires_at:
        claims["exp"] = expires_at
    if audience:
        claims["aud"] = audience
    claims["jti"] = base64.b32encode(hashlib.sha256(_json(claims)).digest()).decode().rstrip("=")
    signed = f"{_url(_json(HEADER))}.{_url(_json(claims))}"
    return f"{signed}.{_url(signer.sign(signed.encode()))}"


def verified(token: str, *, issuers: Collection[str], at_s: float) -> Token:
    """Return what a token says, once its signature, issuer and expiry hold; raises ``InvalidArgument``.

    ``at_s`` is the moment of the check, seconds since the epoch.
    """
    found = _read(token)
    signed, _, signature = token.rpartition(".")
    if found.issuer not in issuers:
        raise _refused("its issuer is not one of ours")
    if not verify(found.issuer, signed.encode(), _unurl(signature)):
        raise _refused("its signature does not hold")
    if found.expires_at and found.expires_at <= at_s:
        raise _refused("it has expired")
    return found


def read_unverified(token: str) -> Token:
    """Return what a token claims, for one that we made ourselves or whose signature is checked elsewhere."""
    return _read(token)


def _read(token: str) -> Token:
    parts = token.split(".")
    if len(parts) != PARTS or len(token) > TOKEN_BYTES_MAX:
        raise _refused("it does not have three parts")
    try:
        header, claims = json.loads(_unurl(parts[0])), json.loads(_unurl(parts[1]))
        if header != HEADER:
            raise _refused("its header is another one")
        return Token(
            subject=str(claims["sub"]),
            issuer=str(claims["iss"]),
            name=str(claims.get("name", "")),
            issued_at=int(claims["iat"]),
            expires_at=int(claims.get("exp", 0)),
            audience=str(claims.get("aud", "")),
            nats=dict(claims["nats"]),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _refused("it cannot be read") from error


def _refused(why: str) -> InvalidArgument:
    return InvalidArgument("CREDENTIALS_INVALID", f"the NATS token is refused: {why}")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _unurl(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise _refused("it is not base64url") from error
