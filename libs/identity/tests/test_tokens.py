"""Tokens that hold, and every way in which one does not."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from maasloop.core.clock import FakeClock
from maasloop.core.errors import Unauthenticated, Unavailable
from maasloop.identity.principals import Grant, Kind
from maasloop.identity.token_keys import (
    KEYS_USABLE_S,
    LOOKUP_PAUSE_S,
    FileKeys,
    ProviderKeys,
    TokenSigner,
    make_signing_key,
)
from maasloop.identity.tokens import (
    OWN_ALGORITHM,
    OWN_ISSUER,
    PROVIDER_ALGORITHMS,
    GroupGrant,
    Issuers,
    People,
    Programs,
    Verifier,
)

ISSUER = "https://login.city.example"
FIRST = ECKey.generate_key("P-256", {"kid": "one"})
SECOND = ECKey.generate_key("P-256", {"kid": "two"})
LIGHT = Grant("lighting-engineer", frozenset({"centre"}))


class Provider:
    """An identity provider's published documents."""

    def __init__(self, *keys: ECKey) -> None:
        self.keys = keys
        self.asked = 0
        self.away = False

    async def fetch(self, url: str) -> bytes:
        """Return the document of a URL."""
        self.asked += 1
        if self.away:
            raise ConnectionRefusedError
        if url.endswith("/.well-known/openid-configuration"):
            return json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}).encode()
        return json.dumps({"keys": [key.as_dict(private=False) for key in self.keys]}).encode()


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="provider")
def _provider() -> Provider:
    return Provider(FIRST)


@pytest.fixture(name="issuers")
def _issuers(clock: FakeClock, provider: Provider) -> Issuers:
    keys = ProviderKeys(ISSUER, provider.fetch, clock)
    verifier = Verifier(ISSUER, keys, clock, algorithms=PROVIDER_ALGORITHMS)
    grants = [GroupGrant("lighting", LIGHT)]
    return Issuers(People(verifier, grants, groups_claim="groups", data_subject_claim="data_subject"))


def _token(
    clock: FakeClock,
    key: ECKey | OctKey | RSAKey = FIRST,
    header: dict[str, object] | None = None,
    **changes: object,
) -> str:
    now = int(clock.now().timestamp())
    claims: dict[str, object] = {
        "iss": ISSUER,
        "aud": "maasloop",
        "sub": "ada",
        "iat": now,
        "exp": now + 600,
        "groups": ["lighting"],
    }
    claims |= changes
    whole = {"alg": "ES256", "kid": key.kid, **(header or {})}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(whole, claims, key, algorithms=[str(whole["alg"])])


async def _reason(issuers: Issuers, token: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await issuers.principal(token)
    return refused.value.reason


async def test_a_token_of_the_provider_holds(issuers: Issuers, clock: FakeClock) -> None:
    """A member of a group has the grants of the group."""
    ada = await issuers.principal(_token(clock, data_subject="p-1"))

    assert (ada.kind, ada.name, ada.grants, ada.data_subject) == (Kind.PERSON, "ada", (LIGHT,), "p-1")
    assert ada.expire_time == clock.now() + timedelta(seconds=600)


@pytest.mark.parametrize(("told_s", "known"), [(-100, True), (0, True), (10_000, False), (None, False), ("x", False)])
async def test_a_token_tells_when_its_person_proved_who_they_are(
    issuers: Issuers, clock: FakeClock, told_s: object, known: bool
) -> None:
    """``auth_time`` and ``acr`` are read; what is no time, or lies ahead, is not known."""
    now = int(clock.now().timestamp())
    said = now + told_s if isinstance(told_s, int) else told_s
    ada = await issuers.principal(_token(clock, auth_time=said, acr="gold"))

    expected = clock.now() + timedelta(seconds=told_s) if known and isinstance(told_s, int) else None
    assert (ada.authenticated_time, ada.acr) == (expected, "gold")


async def test_a_person_without_a_group_may_nothing(issuers: Issuers, clock: FakeClock) -> None:
    """Who is in no group that the city knows is somebody, without a grant."""
    assert (await issuers.principal(_token(clock, groups=["gardening"]))).grants == ()
    assert (await issuers.principal(_token(clock, groups=None))).grants == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 300},
        {"exp": 4_000_000_000},
        {"iat": 1_800_000_000, "exp": 1_800_000_600},
        {"nbf": 1_800_000_000},
    ],
)
async def test_claims_that_do_not_hold(issuers: Issuers, clock: FakeClock, changes: dict[str, Any]) -> None:
    """Another audience or issuer, a missing claim, a life too long or in the future: refused."""
    assert await _reason(issuers, _token(clock, **changes)) == "CREDENTIALS_INVALID"


async def test_an_end_is_put_up_with_for_the_skew_only(issuers: Issuers, clock: FakeClock) -> None:
    """A token is believed for half a minute beyond its end, as clocks differ, and no longer."""
    token = _token(clock)
    await clock.advance(620)
    await issuers.principal(token)
    await clock.advance(20)

    assert await _reason(issuers, token) == "CREDENTIALS_EXPIRED"


async def test_forged_tokens(issuers: Issuers, clock: FakeClock) -> None:
    """No algorithm, a public key used as a shared secret, a foreign key under a known id, changed claims: refused."""
    none = f"{_b64({'alg': 'none', 'kid': 'one'})}.{_token(clock).split('.')[1]}."
    secret = OctKey.import_key(json.dumps(FIRST.as_dict(private=False)).encode())
    confused = jwt.encode({"alg": "HS256", "kid": "one"}, {"iss": ISSUER, "aud": "maasloop"}, secret)
    foreign = _token(clock, ECKey.generate_key("P-256", {"kid": "one"}))
    header, _, signature = _token(clock).split(".")
    changed = f"{header}.{_token(clock, sub='mallory').split('.')[1]}.{signature}"
    embedded = _token(clock, SECOND, {"jwk": SECOND.as_dict(private=False)})
    rsa = _token(clock, RSAKey.generate_key(2048, {"kid": "one"}), {"alg": "RS256"})

    for token in (none, confused, foreign, changed, embedded, rsa):
        assert await _reason(issuers, token) == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "..", "eyJ9.eyJ9.x", "W10.W10.x", "x" * 9000, "é.é.é"])
async def test_what_is_no_token(issuers: Issuers, token: str) -> None:
    """Bytes that are no token are refused as such."""
    assert await _reason(issuers, token) == "CREDENTIALS_INVALID"


async def test_keys_rotate(issuers: Issuers, clock: FakeClock, provider: Provider) -> None:
    """A token signed by a new key is believed after the keys were looked up again, not more than once in ten seconds."""
    await issuers.principal(_token(clock))
    provider.keys = (FIRST, SECOND)
    asked = provider.asked

    assert await _reason(issuers, _token(clock, SECOND)) == "CREDENTIALS_INVALID"
    assert await _reason(issuers, _token(clock, SECOND)) == "CREDENTIALS_INVALID"
    assert provider.asked == asked
    await clock.advance(LOOKUP_PAUSE_S + 1)
    assert (await issuers.principal(_token(clock, SECOND))).name == "ada"


async def test_a_key_that_was_taken_back_is_believed_no_more(
    issuers: Issuers, clock: FakeClock, provider: Provider
) -> None:
    """When the provider publishes a key no longer, its tokens are refused once the keys were looked up again."""
    await issuers.principal(_token(clock))
    provider.keys = (SECOND,)
    await clock.advance(601)

    assert await _reason(issuers, _token(clock)) == "CREDENTIALS_INVALID"


async def test_a_provider_that_is_away(issuers: Issuers, clock: FakeClock, provider: Provider) -> None:
    """Keys hold on for an hour without their provider, and then no token is believed."""
    await issuers.principal(_token(clock))
    provider.away = True
    await clock.advance(KEYS_USABLE_S - 60)
    await issuers.principal(_token(clock))
    await clock.advance(120)

    with pytest.raises(Unavailable):
        await issuers.principal(_token(clock))


async def test_a_provider_on_an_open_line_is_refused(clock: FakeClock, provider: Provider) -> None:
    """Keys are fetched over TLS, or from the machine itself."""
    with pytest.raises(ValueError, match="https"):
        ProviderKeys("http://login.city.example", provider.fetch, clock)


async def test_a_program_has_the_grants_of_its_key(tmp_path: Path, clock: FakeClock) -> None:
    """A token of our own says which program holds it, by which key, and what it may."""
    private, public = tmp_path / "private.json", tmp_path / "public.json"
    make_signing_key(private, public)
    token, lifetime_s = TokenSigner(private, clock).token("app", "k-1", (LIGHT, Grant("viewer", None, None)))
    issuers = Issuers(
        Programs(Verifier(OWN_ISSUER, FileKeys(public), clock, algorithms=[OWN_ALGORITHM])),
    )

    app = await issuers.principal(token)

    assert (app.kind, app.name, app.credential) == (Kind.PROGRAM, "app", "k-1")
    assert app.grants == (LIGHT, Grant("viewer", None, None))
    assert lifetime_s == 600
    assert '"d"' not in public.read_text()
    assert private.stat().st_mode & 0o077 == 0
    # Another city's key of the same form.
    make_signing_key(tmp_path / "other.json", public)
    assert await _reason(issuers, token) == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("text", ["[]", "{}", '{"keys": [1]}', '{"keys": [{"kty": "oct", "k": "AAAA"}]}', "x"])
def test_a_file_without_public_keys_is_refused(tmp_path: Path, text: str) -> None:
    """A file that holds no public keys, or a shared secret, stops the start."""
    path = tmp_path / "keys.json"
    path.write_text(text)

    with pytest.raises(ValueError, match=r"keys|secret|Expecting"):
        FileKeys(path)


def _b64(header: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
