"""Keys that sign and check tokens: a file of our own, and the published keys of an identity provider.

The provider says where its keys are (OpenID Connect Discovery 1.0; RFC 8414 has the same members). Keys are kept for a
while and looked up again when a token names one that is not among them, as a rotation does, but never more often than
once in a few seconds: an unknown key id costs its sender nothing. When the provider is away, the keys last seen hold on.
"""

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from maasloop.core.clock import Clock
from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason

from .principals import Grant
from .secret_files import write_secret
from .tokens import AUDIENCE, GRANTS_CLAIM, KEY_CLAIM, OWN_ALGORITHM, OWN_ISSUER, written_grant

KEYS_FRESH_S = 600.0
KEYS_USABLE_S = 3_600.0
"""Keys that were not confirmed for so long are believed no more."""
LOOKUP_PAUSE_S = 10.0
DOCUMENT_BYTES_MAX = 256 * 1024
TOKEN_LIFETIME_S = 600
KEY_FILE_BYTES_MAX = 64 * 1024

type Fetch = Callable[[str], Awaitable[bytes]]
"""Gets a document of at most ``DOCUMENT_BYTES_MAX`` by URL; any error means that it could not be had."""


class FileKeys:
    """The public keys of a JWK set file (RFC 7517), read again when the file changes."""

    def __init__(self, path: Path) -> None:
        """Read the file, so that a wrong one shows at start."""
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._keys = KeySet([])
        self._read()

    async def find(self, key_id: str) -> KeySet:
        """Return the keys as the file has them."""
        self._read()
        return self._keys

    def _read(self) -> None:
        state = self._path.stat()
        stamp = (state.st_mtime_ns, state.st_ino)
        if stamp != self._stamp:
            self._keys = _key_set(_limited(self._path))
            self._stamp = stamp


class ProviderKeys:
    """The keys that an identity provider publishes."""

    def __init__(self, issuer: str, fetch: Fetch, clock: Clock) -> None:
        """Look at ``issuer`` when the first token comes."""
        require_private(issuer)
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._keys = KeySet([])
        self._confirmed_s = float("-inf")
        self._tried_s = float("-inf")

    async def find(self, key_id: str) -> KeySet:
        """Return the keys; UNAVAILABLE where none could be had for a while."""
        now_s = self._clock.monotonic_s()
        known = any(key.kid == key_id for key in self._keys.keys)
        stale = now_s - self._confirmed_s > KEYS_FRESH_S
        if (stale or not known) and now_s - self._tried_s > LOOKUP_PAUSE_S:
            self._tried_s = now_s
            await self._look_up()
        if self._clock.monotonic_s() - self._confirmed_s > KEYS_USABLE_S:
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, "the keys of the identity provider cannot be had")
        return self._keys

    async def _look_up(self) -> None:
        try:
            found = json.loads(await self._fetch(self._issuer.rstrip("/") + "/.well-known/openid-configuration"))
            if found["issuer"] != self._issuer:
                return
            require_private(found["jwks_uri"])
            self._keys = _key_set(await self._fetch(found["jwks_uri"]))
        except (OSError, ValueError, KeyError, TypeError):
            return
        self._confirmed_s = self._clock.monotonic_s()


class TokenSigner:
    """Gives programs their tokens."""

    def __init__(self, path: Path, clock: Clock, *, lifetime_s: int = TOKEN_LIFETIME_S) -> None:
        """Read the private key of a file that ``make_signing_key`` wrote; the first of several signs.

        Tokens live ``lifetime_s`` at most; no service believes one that lives longer than a day.
        """
        found = KeySet.import_key_set(json.loads(_limited(path)))
        self._key = found.keys[0]
        self._clock = clock
        self._lifetime_s = lifetime_s

    def token(
        self, program: str, key_id: str, grants: tuple[Grant, ...], *, most_s: int | None = None
    ) -> tuple[str, int]:
        """Return a token for the holder of an API key and the seconds that it lives, ``most_s`` at most."""
        now = int(self._clock.now().timestamp())
        lifetime_s = self._lifetime_s if most_s is None else min(self._lifetime_s, max(most_s, 1))
        claims = {
            "iss": OWN_ISSUER,
            "aud": AUDIENCE,
            "sub": program,
            "iat": now,
            "exp": now + lifetime_s,
            "jti": secrets.token_hex(8),
            KEY_CLAIM: key_id,
            GRANTS_CLAIM: [written_grant(grant) for grant in grants],
        }
        header = {"alg": OWN_ALGORITHM, "typ": "at+jwt", "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=[OWN_ALGORITHM]), lifetime_s


def make_signing_key(private: Path, public: Path) -> None:
    """Write a new key pair: the private half for the signer (0600), the public half for those who check."""
    key = OKPKey.generate_key("Ed25519", {"kid": secrets.token_hex(8), "use": "sig", "alg": OWN_ALGORITHM})
    # The public half comes first: what exists is never a signer whom nobody can check.
    write_secret(public, json.dumps({"keys": [key.as_dict(private=False)]}).encode())
    write_secret(private, json.dumps({"keys": [key.as_dict(private=True)]}).encode())


def _key_set(text: bytes) -> KeySet:
    try:
        found = json.loads(text)
        public = [_public(key) for key in found["keys"]]
        return KeySet.import_key_set({"keys": public})
    except (JoseError, KeyError, TypeError, AttributeError) as error:
        message = "this is no set of keys (RFC 7517)"
        raise ValueError(message) from error


def _public(key: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse a shared secret: whoever checks with one can sign with it."""
    if key.get("kty") == "oct":
        message = "a set of public keys holds a shared secret"
        raise ValueError(message)
    return {name: value for name, value in key.items() if name not in {"d", "p", "q", "dp", "dq", "qi", "oth"}}


def require_private(url: str) -> None:
    """Refuse a URL that somebody on the line could read or change."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1"}):
        message = f"{url} must begin with https:// (or be on loopback)"
        raise ValueError(message)


def _limited(path: Path) -> bytes:
    text = path.read_bytes()
    if len(text) > KEY_FILE_BYTES_MAX:
        message = f"{path} is too long for a file of keys"
        raise ValueError(message)
    return text
