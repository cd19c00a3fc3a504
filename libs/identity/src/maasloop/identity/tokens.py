"""Bearer tokens of people and programs: JSON Web Tokens (RFC 7519) of the city's identity provider, and of our own.

People come with an access token of the provider (OpenID Connect); programs with a token that the registry gave for an
API key. Both are checked here: signature by a key of the issuer, algorithm from a list without ``none`` and without
shared secrets, issuer, audience, times with a bounded skew. What groups of the provider may is a table of the city's.
"""

import base64
import binascii
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import ClaimsOption

from maasloop.core.clock import Clock
from maasloop.core.errors import Unauthenticated
from maasloop.core.reasons import Reason

from .principals import Grant, Kind, Principal

SKEW_MAX_S = 30
"""Difference of clocks that is put up with, in both directions."""
LIFETIME_MAX_S = 24 * 3600
"""A token that lives longer is refused: revocations are kept as long as tokens live."""
TOKEN_CHARACTERS_MAX = 8 * 1024
NAME_CHARACTERS_MAX = 200

PROVIDER_ALGORITHMS = ("RS256", "PS256", "ES256", "Ed25519")
"""RFC 7518 and RFC 9864: signatures of key pairs only."""
OWN_ALGORITHM = "Ed25519"
OWN_ISSUER = "maasloop"
AUDIENCE = "maasloop"

KEY_CLAIM = "api_key"
GRANTS_CLAIM = "grants"


class Keys(Protocol):
    """Where the keys of an issuer come from."""

    async def find(self, key_id: str) -> KeySet:
        """Return the keys, looked up again if this one is not among them and that was not tried just before."""
        ...


@dataclass(frozen=True, slots=True)
class GroupGrant:
    """What a group of the identity provider may."""

    group: str
    grant: Grant


class Verifier:
    """Checks tokens of one issuer."""

    def __init__(
        self, issuer: str, keys: Keys, clock: Clock, *, audience: str = AUDIENCE, algorithms: Collection[str]
    ) -> None:
        """Take tokens of ``issuer`` for ``audience`` that are signed by one of ``keys``."""
        self.issuer = issuer
        self._keys = keys
        self._clock = clock
        self._algorithms = list(algorithms)
        required = ClaimsOption(essential=True)
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(clock.now().timestamp()),
            leeway=SKEW_MAX_S,
            iss=ClaimsOption(essential=True, value=issuer),
            aud=ClaimsOption(essential=True, value=audience),
            exp=required,
            iat=required,
            sub=required,
        )

    async def claims(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token that holds now; refuse any other with ``Unauthenticated``."""
        keys = await self._keys.find(_part(token, 0).get("kid", ""))
        try:
            claims = jwt.decode(token, keys, algorithms=self._algorithms).claims
            self._claims.validate(claims)
        except ExpiredTokenError:
            raise Unauthenticated(Reason.CREDENTIALS_EXPIRED, "the token is past its end") from None
        except (JoseError, ValueError) as error:
            raise _invalid(f"the token does not hold: {getattr(error, 'error', 'malformed')}") from None
        if claims["exp"] - claims["iat"] > LIFETIME_MAX_S:
            raise _invalid(f"a token lives for {LIFETIME_MAX_S // 3600} h at most")
        if not 0 < len(claims["sub"]) <= NAME_CHARACTERS_MAX:
            raise _invalid("the subject of the token is empty or too long")
        return claims


class People:
    """Reads principals out of access tokens of the identity provider."""

    kind = Kind.PERSON

    def __init__(
        self, verifier: Verifier, grants: Iterable[GroupGrant], *, groups_claim: str, data_subject_claim: str
    ) -> None:
        """``grants`` say what members of the groups in ``groups_claim`` may."""
        self.verifier = verifier
        self._grants = tuple(grants)
        self._groups_claim = groups_claim
        self._data_subject_claim = data_subject_claim

    async def principal(self, token: str) -> Principal:
        """Return who a token stands for; a person without a group is known, and may nothing."""
        claims = await self.verifier.claims(token)
        groups = claims.get(self._groups_claim, [])
        member = {str(group) for group in groups} if isinstance(groups, list) else {str(groups)}
        data_subject = claims.get(self._data_subject_claim, "")
        proven, acr = claims.get("auth_time"), claims.get("acr", "")
        # A proof later than its token is none.
        if not isinstance(proven, int | float) or not 0 < proven <= claims["iat"] + SKEW_MAX_S:
            proven = None
        return Principal(
            self.kind,
            claims["sub"],
            grants=tuple(each.grant for each in self._grants if each.group in member),
            data_subject=data_subject if isinstance(data_subject, str) else "",
            credential=str(claims.get("jti", "")),
            expire_time=_time(claims["exp"]),
            authenticated_time=None if proven is None else _time(proven),
            acr=acr if isinstance(acr, str) else "",
        )


class Programs:
    """Reads principals out of our own tokens."""

    kind = Kind.PROGRAM

    def __init__(self, verifier: Verifier) -> None:
        """Take what the verifier lets through."""
        self.verifier = verifier

    async def principal(self, token: str) -> Principal:
        """Return which program a token stands for, with the grants of its key."""
        claims = await self.verifier.claims(token)
        return Principal(
            self.kind,
            claims["sub"],
            grants=tuple(grant_of(each) for each in claims.get(GRANTS_CLAIM, [])),
            credential=str(claims.get(KEY_CLAIM, "")),
            expire_time=_time(claims["exp"]),
        )


class Issuers:
    """Finds who checks a token by the issuer that it names."""

    def __init__(self, *readers: People | Programs) -> None:
        """Know these issuers and no others."""
        self._readers = {reader.verifier.issuer: reader for reader in readers}

    async def principal(self, bearer: str) -> Principal:
        """Return who a token stands for, or refuse it with ``Unauthenticated``."""
        if len(bearer) > TOKEN_CHARACTERS_MAX:
            raise _invalid("the token is too long")
        # What is read before the signature is checked only chooses the key.
        reader = self._readers.get(str(_part(bearer, 1).get("iss", "")))
        if reader is None:
            raise _invalid("the token is of no issuer that is known here")
        return await reader.principal(bearer)


def grant_of(written: Mapping[str, Any]) -> Grant:
    """Return a grant as it is written in tokens and files: a list left out means all."""
    unknown = written.keys() - {"role", "districts", "domains"}
    if unknown or not isinstance(written.get("role"), str):
        message = (
            f"a grant has a role, and optionally districts and domains, not {', '.join(sorted(unknown)) or 'this'}"
        )
        raise ValueError(message)
    return Grant(written["role"], _some(written.get("districts")), _some(written.get("domains")))


def written_grant(grant: Grant) -> dict[str, Any]:
    """Return a grant as ``grant_of`` reads it."""
    lists = {"districts": grant.districts, "domains": grant.domains}
    return {"role": grant.role, **{name: sorted(ids) for name, ids in lists.items() if ids is not None}}


def _some(ids: object) -> frozenset[str] | None:
    match ids:
        case None:
            return None
        case list():
            return frozenset(str(each) for each in ids)
        case _:
            message = "districts and domains are lists"
            raise ValueError(message)


def _part(token: str, index: int) -> dict[str, Any]:
    """Return the header (0) or the claims (1) of a token that nobody has checked."""
    try:
        # RFC 7515 3.1: three parts, of which the last is the signature.
        header, claims, _ = token.split(".")
    except ValueError:
        raise _invalid("the token is no signed JSON Web Token") from None
    part = (header, claims)[index]
    padded = part + "=" * (-len(part) % 4)
    try:
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid("the token is no signed JSON Web Token") from None
    if not isinstance(found, dict):
        raise _invalid("the token is no signed JSON Web Token")
    return found


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _invalid(message: str) -> Unauthenticated:
    return Unauthenticated(Reason.CREDENTIALS_INVALID, message)
