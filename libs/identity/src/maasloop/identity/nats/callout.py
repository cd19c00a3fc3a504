"""The auth callout of nats-server: what it asks when a client connects, and what it is answered.

The server sends a JWT that it signed itself, sealed for the callout's X25519 key, to ``SUBJECT`` in the account that
the callout answers for. The answer is a JWT of that account which holds a user's JWT, signed by the account in which
the client is placed, or an error; sealed for the server's key, which is another one at each start of the server.
"""

import binascii
import hashlib
import ssl
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maasloop.core.errors import InvalidArgument

from .claims import User
from .keys import CurveKey, KeyPair, verify
from .tokens import read_unverified, sign, verified

SUBJECT = "$SYS.REQ.USER.AUTH"
SERVER_KEY_HEADER = "Nats-Server-Xkey"
AUDIENCE = "nats-authorization-request"


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """A client at the door of a server. Everything the client said is a claim, until a credential proves it."""

    server: str
    """Public key of the server: its id."""
    connection: int
    """Number of the connection on that server."""
    user_key: str
    """Public key that the answer is about, made by the server for this connection."""
    protocol: str
    """``mqtt``, ``nats``, ``websocket`` or ``leafnode``."""
    host: str = ""
    client_id: str = ""
    """MQTT client id."""
    user: str = ""
    password: str = field(default="", repr=False)
    signed_by: str = ""
    """Public nkey whose signature over the server's nonce was checked here; empty if there was none or a wrong one."""
    certificate: bytes = b""
    """SHA-256 of the client's certificate (DER), which the listener verified; empty if it showed none."""


class CalloutCodec:
    """Opens requests and seals answers for the account that the callout answers for."""

    def __init__(self, account: KeyPair, curve: CurveKey) -> None:
        """Take the account's key, which signs answers, and the key that requests are sealed for."""
        self._account = account
        self._curve = curve

    def read(self, sealed: bytes, server_key: str, *, at_s: float) -> ConnectRequest:
        """Return what a server asks at a moment (epoch seconds); refuses what no server made for us with ``InvalidArgument``."""
        text = self._curve.open(sealed, server_key).decode(errors="replace")
        server = read_unverified(text).issuer
        token = verified(text, issuers=(server,), at_s=at_s)
        if token.audience != AUDIENCE or token.nats.get("server_id", {}).get("xkey") != server_key:
            message = "this is not a server's request for a client's rights"
            raise InvalidArgument("CREDENTIALS_INVALID", message)
        try:
            return _request(server, token.nats)
        except (KeyError, TypeError, ValueError) as error:
            message = "the server's request cannot be read"
            raise InvalidArgument("CREDENTIALS_INVALID", message) from error

    def accept(
        self,
        request: ConnectRequest,
        server_key: str,
        *,
        user: User,
        name: str,
        account: KeyPair,
        issued_at: int,
        expires_at: int,
    ) -> bytes:
        """Return the answer that lets the client in as a user of ``account`` until ``expires_at`` (epoch seconds)."""
        token = sign(
            user.claims(),
            subject=request.user_key,
            name=name,
            signer=account,
            issued_at=issued_at,
            expires_at=expires_at,
        )
        return self._answer(request, server_key, {"jwt": token}, issued_at)

    def refuse(self, request: ConnectRequest, server_key: str, reason: str, *, issued_at: int) -> bytes:
        """Return the answer that refuses; the reason goes to the server's log, not to the client."""
        return self._answer(request, server_key, {"error": reason}, issued_at)

    def _answer(self, request: ConnectRequest, server_key: str, said: Mapping[str, str], issued_at: int) -> bytes:
        token = sign(
            {"type": "authorization_response", **said},
            subject=request.user_key,
            name="",
            signer=self._account,
            issued_at=issued_at,
            audience=request.server,
        )
        return self._curve.seal(token.encode(), server_key)


def _request(server: str, nats: Mapping[str, Any]) -> ConnectRequest:
    client, options = nats["client_info"], nats["connect_opts"]
    chains = (nats.get("client_tls") or {}).get("verified_chains") or [[]]
    return ConnectRequest(
        server=server,
        connection=int(client["id"]),
        user_key=str(nats["user_nkey"]),
        protocol=str(client.get("type", "")),
        host=str(client.get("host", "")),
        client_id=str(client.get("mqtt_id", "")),
        user=str(options.get("user", "")),
        password=str(options.get("pass", "")),
        signed_by=_signer(str(options.get("nkey", "")), str(options.get("sig", "")), str(client.get("nonce", ""))),
        certificate=hashlib.sha256(ssl.PEM_cert_to_DER_cert(chains[0][0])).digest() if chains[0] else b"",
    )


def _signer(nkey: str, signature: str, nonce: str) -> str:
    """Return the nkey if it signed the nonce. nats-server leaves this check to us for clients of the default sentinel."""
    if not (nkey and signature and nonce):
        return ""
    try:
        # Clients write it in either alphabet of base64, with or without padding.
        plain = signature.replace("-", "+").replace("_", "/").rstrip("=")
        return nkey if verify(nkey, nonce.encode(), b64decode(plain + "=" * (-len(plain) % 4))) else ""
    except (binascii.Error, ValueError, InvalidArgument):
        return ""
