"""The client's side of an OpenID provider: its documents, and signing in from a terminal.

A person signs in by the authorization code flow with PKCE (RFC 7636) through a redirect to the terminal's own machine
(RFC 8252): the terminal never sees a password, and a code that somebody else caught is worth nothing.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from maasloop.core.errors import Unauthenticated, Unavailable
from maasloop.core.reasons import Reason

from .token_keys import DOCUMENT_BYTES_MAX, Fetch, require_private

FETCH_TIMEOUT_S = 5.0
DISCOVERY = "/.well-known/openid-configuration"
SCOPE = "openid offline_access"
"""``offline_access`` asks for a refresh token (OpenID Connect Core 1.0, 11)."""


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_arguments: object) -> None:
        """Follow nobody."""


def fetching(authority_file: Path | None = None) -> Fetch:
    """Return what gets a document over HTTP(S): no redirects, no proxies, bounded in bytes and time."""
    opener = _opener(authority_file)

    async def fetch(url: str) -> bytes:
        async with asyncio.timeout(2 * FETCH_TIMEOUT_S):
            return await asyncio.to_thread(_read, opener, url, None)

    return fetch


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider signs people in, from its own document (OpenID Connect Discovery 1.0)."""

    issuer: str
    authorization: str
    token: str

    @classmethod
    async def of(cls, issuer: str, fetch: Fetch) -> Self:
        """Read the document of an issuer, or raise ``Unavailable``."""
        require_private(issuer)
        try:
            found = json.loads(await fetch(issuer.rstrip("/") + DISCOVERY))
            endpoints = cls(found["issuer"], found["authorization_endpoint"], found["token_endpoint"])
            require_private(endpoints.authorization)
            require_private(endpoints.token)
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{issuer} shows no document of an OpenID provider"
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, message, {"neighbour": "provider"}) from error
        if endpoints.issuer != issuer:
            message = f"the document of {issuer} is another issuer's"
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, message, {"neighbour": "provider"})
        return endpoints


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider gave."""

    access: str = field(repr=False)
    lifetime_s: int
    refresh: str = field(default="", repr=False)
    """Empty where the provider gives none."""


@dataclass(frozen=True, slots=True)
class StepUp:
    """A fresh proof of who the person is, as a challenge asks for it (RFC 9470 4)."""

    acr_values: str = ""
    """What the proof must be, in the provider's words; empty leaves it to the provider."""


@dataclass(frozen=True, slots=True)
class SigningIn:
    """One attempt, with its secrets."""

    endpoints: Endpoints
    client_id: str
    redirect_uri: str
    scope: str = SCOPE
    step_up: StepUp | None = None
    """None lets the provider remember who the person is."""
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def url(self) -> str:
        """What the person opens in a browser."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.scope,
            "state": self.state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        prompts = []
        if self.step_up is not None:
            prompts.append("login")
            asked["max_age"] = "0"
            if self.step_up.acr_values:
                asked["acr_values"] = self.step_up.acr_values
        if "offline_access" in self.scope.split():
            prompts.append("consent")
        if prompts:
            asked["prompt"] = " ".join(prompts)
        joint = "&" if urlsplit(self.endpoints.authorization).query else "?"
        return f"{self.endpoints.authorization}{joint}{urlencode(asked)}"

    def code(self, answered: Mapping[str, str]) -> str:
        """Return the code of an answer that belongs to this attempt (RFC 6749 4.1.2, RFC 9207), or refuse it."""
        if not hmac.compare_digest(answered.get("state", "").encode(), self.state.encode()):
            raise Unauthenticated(Reason.CREDENTIALS_INVALID, "the answer belongs to another attempt to sign in")
        if answered.get("iss", self.endpoints.issuer) != self.endpoints.issuer:
            raise Unauthenticated(Reason.CREDENTIALS_INVALID, "the answer is another provider's")
        if "code" not in answered:
            said = answered.get("error", "no code")
            raise Unauthenticated(Reason.CREDENTIALS_INVALID, f"the provider refused: {said[:100]}")
        return answered["code"]

    async def redeem(self, code: str, authority_file: Path | None = None) -> Tokens:
        """Exchange the code for tokens."""
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": self.client_id,
            "code_verifier": self.verifier,
        }
        refused = Unauthenticated(Reason.CREDENTIALS_INVALID, "the provider gave no token for the code")
        return await _tokens(self.endpoints, asked, authority_file, refused)


async def refreshed(
    endpoints: Endpoints, client_id: str, refresh_token: str, authority_file: Path | None = None
) -> Tokens:
    """Exchange a refresh token for other tokens (RFC 6749 6), or raise ``Unauthenticated``: sign in again."""
    asked = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client_id}
    message = "the provider remembers this sign-in no more; sign in again: maasloop login"
    return await _tokens(endpoints, asked, authority_file, Unauthenticated(Reason.CREDENTIALS_EXPIRED, message))


async def _tokens(
    endpoints: Endpoints, asked: Mapping[str, str], authority_file: Path | None, refused: Unauthenticated
) -> Tokens:
    opener, body = _opener(authority_file), urlencode(asked).encode()
    try:
        async with asyncio.timeout(2 * FETCH_TIMEOUT_S):
            found: dict[str, Any] = json.loads(await asyncio.to_thread(_read, opener, endpoints.token, body))
        return Tokens(str(found["access_token"]), int(found["expires_in"]), str(found.get("refresh_token", "")))
    except HTTPError as error:
        error.close()
        if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise refused from error
        raise _away(endpoints) from error
    except OSError as error:
        raise _away(endpoints) from error
    except (ValueError, KeyError, TypeError) as error:
        raise refused from error


def _away(endpoints: Endpoints) -> Unavailable:
    message = f"{endpoints.token} does not answer"
    return Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, message, {"neighbour": "provider"})


def _opener(authority_file: Path | None) -> OpenerDirector:
    trusted = ssl.create_default_context(cafile=authority_file)
    return build_opener(_NoRedirects, HTTPSHandler(context=trusted), ProxyHandler({}))


def _read(opener: OpenerDirector, url: str, body: bytes | None) -> bytes:
    # Every URL was held against `require_private`: https, or loopback.
    request = Request(url, body, {"Accept": "application/json"})  # noqa: S310 - https or loopback, as said above
    with opener.open(request, timeout=FETCH_TIMEOUT_S) as answer:
        content: bytes = answer.read(DOCUMENT_BYTES_MAX + 1)
    if len(content) > DOCUMENT_BYTES_MAX:
        message = f"{url} is longer than {DOCUMENT_BYTES_MAX} bytes"
        raise ValueError(message)
    return content
