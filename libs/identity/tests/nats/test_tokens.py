"""Tokens of NATS and credentials files."""

from pathlib import Path

import pytest

from maasloop.core.errors import InvalidArgument
from maasloop.identity.nats.claims import Account, Rights, User, UserLimits
from maasloop.identity.nats.credentials import credentials_text, read_credentials
from maasloop.identity.nats.keys import KeyPair, Role
from maasloop.identity.nats.tokens import read_unverified, sign, verified
from maasloop.identity.secret_files import write_secret

ACCOUNT, USER = KeyPair.generate(Role.ACCOUNT), KeyPair.generate(Role.USER)


def _token(expires_at: int = 0) -> str:
    claims = User(Rights(publish=("a.>",), subscribe=("b",))).claims()
    return sign(
        claims, subject=USER.public_key, name="lamp", signer=ACCOUNT, issued_at=1_800_000_000, expires_at=expires_at
    )


def test_a_token_says_what_was_signed() -> None:
    """Subject, issuer, name, times and claims come back."""
    found = verified(_token(1_800_000_100), issuers={ACCOUNT.public_key}, at_s=1_800_000_099)

    assert (found.subject, found.issuer, found.name) == (USER.public_key, ACCOUNT.public_key, "lamp")
    assert (found.issued_at, found.expires_at) == (1_800_000_000, 1_800_000_100)
    assert found.nats["type"] == "user"
    assert found.nats["pub"] == {"allow": ["a.>"]}


def test_a_token_that_does_not_hold_is_refused() -> None:
    """Another issuer, the moment of its expiry, and every changed character are refused."""
    token = _token(1_800_000_100)
    with pytest.raises(InvalidArgument, match="issuer"):
        verified(token, issuers={KeyPair.generate(Role.ACCOUNT).public_key}, at_s=1_800_000_000)
    with pytest.raises(InvalidArgument, match="expired"):
        verified(token, issuers={ACCOUNT.public_key}, at_s=1_800_000_100)
    # The last character of a part may hold spare bits; it is left out.
    spare = {token.index("."), token.rindex("."), token.index(".") - 1, token.rindex(".") - 1, len(token) - 1}
    for place in set(range(0, len(token), 7)) - spare:
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(InvalidArgument):
            verified(changed, issuers={ACCOUNT.public_key}, at_s=1_800_000_000)


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "e30.e30.e30", "....", "x" * 100])
def test_what_is_no_token_is_refused(token: str) -> None:
    """Text of any other kind raises the same error."""
    with pytest.raises(InvalidArgument):
        read_unverified(token)


def test_nothing_allowed_is_everything_refused() -> None:
    """An empty list of rights becomes a refusal of all, because NATS takes an empty one for everything."""
    assert User(Rights()).claims()["pub"] == {"deny": [">"]}
    assert User(Rights(), UserLimits(10, 256)).claims()["subs"] == 10
    assert Account().claims()["limits"]["disk_storage"] == 0


def test_a_credentials_file_comes_back(tmp_path: Path) -> None:
    """Token and seed are found again in the file, which only its owner may read."""
    token = _token()
    path = tmp_path / "lamp.creds"
    write_secret(path, credentials_text(token, USER.seed).encode())

    assert read_credentials(path.read_text()) == (token, USER.seed)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidArgument):
        read_credentials("nothing in it")
