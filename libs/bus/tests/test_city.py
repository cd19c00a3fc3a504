"""The identities of a city as files: made once, changed only when what they say changes."""

from pathlib import Path

from maasloop.bus.accounts import integrator_account
from maasloop.bus.city import City
from maasloop.core.clock import SystemClock
from maasloop.identity.nats.credentials import read_credentials
from maasloop.identity.nats.tokens import Token, read_unverified

LINE_MAX_BYTES = 16 * 1024
"""What nats-server is told to take as the first line of a client."""


def _texts(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    """Every key and token stays as it is, and only their owner may read them."""
    City(tmp_path, SystemClock()).ensure()
    before = _texts(tmp_path)
    City(tmp_path, SystemClock()).ensure()

    assert _texts(tmp_path) == before
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()} == {0o700}


def test_every_token_fits_the_first_line_of_a_client(tmp_path: Path) -> None:
    """No user has so many rights that the server would refuse its token for its length."""
    city = City(tmp_path, SystemClock())
    city.ensure()

    longest = max(len(path.read_text()) for path in (tmp_path / "users").iterdir())
    assert longest < LINE_MAX_BYTES / 1.5


def test_no_seed_of_an_account_is_told_to_the_server(tmp_path: Path) -> None:
    """The configuration holds tokens and public keys only."""
    city = City(tmp_path, SystemClock())
    city.ensure()
    text = city.server_configuration(Path("/data/accounts"))

    for path in (tmp_path / "seeds").iterdir():
        assert path.read_text().strip() not in text


def test_who_was_revoked_and_comes_again_has_a_new_key(tmp_path: Path) -> None:
    """The old token stays void, also over a start; the new one is younger than the revocation."""
    city = City(tmp_path, SystemClock())
    city.ensure()
    account = integrator_account("weather")
    old = _token(city.add_integrator("weather"))
    assert _token(city.add_integrator("weather")) == old
    city.revoke(account)
    city.ensure()
    new = _token(city.add_integrator("weather"))

    revoked = read_unverified(city.token(account)).nats["revocations"]["*"]
    assert old.issued_at <= revoked < new.issued_at
    assert new.subject != old.subject


def _token(credentials: Path) -> Token:
    return read_unverified(read_credentials(credentials.read_text())[0])
