"""Who signed in by ``maasloop login``, and the token that the calls of this machine show for them.

A token ends soon. Where the provider gave a refresh token (RFC 6749 6), another one is fetched before a call; of several
commands at once one does so, because a provider may take a refresh token once. A program has no provider: the registry gives
it another token for its API key.
"""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from maasloop.core.errors import Unauthenticated
from maasloop.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maasloop.cli.addresses import Addresses
    from maasloop.core.clock import Clock
    from maasloop.identity.provider import Tokens

LOGIN_FILE = "login.json"
LEFT_MIN_S = 30
"""A token with less time left is replaced before it is shown."""
AGAIN = "sign in again: maasloop login"
NEXT_STEPS: Mapping[str, str] = {
    Reason.CREDENTIALS_MISSING: "sign in: maasloop login",
    Reason.CREDENTIALS_EXPIRED: AGAIN,
    Reason.CREDENTIALS_REVOKED: "somebody took your access away (maasloop access revoke); only they can give it back",
    Reason.PERMISSION_MISSING: "the city's table of grants says what your groups may",
}
"""What a person does about a refusal, by its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What ``login.json`` holds: how another token is asked for, where the services are, and the token."""

    issuer: str = ""
    client_id: str = ""
    provider_ca_file: str = ""
    """Who vouches for the provider (PEM); empty = those whom the machine trusts."""
    scope: str = ""
    api_key_file: str = ""
    """File of a program's API key, read anew for each token; then there is no provider."""
    services: Mapping[str, str] = field(default_factory=dict)
    """``host:port`` by service; what is missing is looked up as for every command."""
    services_ca_file: str = ""
    """Who vouches for these (PEM); empty = those whom the machine trusts."""
    access_token: str = field(repr=False, default="")
    expire_time: str = ""
    refresh_token: str = field(repr=False, default="")

    @classmethod
    def read(cls, root: Path) -> Self | None:
        """Return who signed in at a checkout, if anybody did."""
        try:
            found = cls(**json.loads(_file(root).read_bytes()))
            datetime.fromisoformat(found.expire_time)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            message = f"{_file(root)} cannot be read; {AGAIN}"
            raise Unauthenticated(Reason.CREDENTIALS_INVALID, message) from None
        return found

    def write(self, root: Path) -> None:
        """Keep it, readable by nobody else."""
        from maasloop.identity.secret_files import secret_directory, write_secret

        write_secret(secret_directory(_file(root).parent) / LOGIN_FILE, json.dumps(asdict(self)).encode())

    def given(self, tokens: Tokens, clock: Clock) -> Login:
        """Return it with what the provider gave; a refresh token stays good where no other came."""
        return replace(
            self,
            access_token=tokens.access,
            expire_time=(clock.now() + timedelta(seconds=tokens.lifetime_s)).isoformat(timespec="seconds"),
            refresh_token=tokens.refresh or self.refresh_token,
        )

    @property
    def goes_on(self) -> bool:
        """Tell whether another token comes without anybody's doing when this one ends."""
        return bool(self.refresh_token or self.api_key_file)

    def lasts(self, clock: Clock) -> bool:
        """Tell whether the token can be shown."""
        ends = datetime.fromisoformat(self.expire_time).astimezone(UTC)
        return bool(self.access_token) and ends - clock.now() > timedelta(seconds=LEFT_MIN_S)


async def access_token(addresses: Addresses, clock: Clock) -> str:
    """Return the token of who signed in, another one where it ends; refuse with ``Unauthenticated``."""
    with _alone(addresses.root):
        login = Login.read(addresses.root)
        if login is None:
            raise Unauthenticated(Reason.CREDENTIALS_MISSING, "nobody is signed in here: maasloop login")
        if not login.lasts(clock):
            login = await (exchanged(addresses, login) if login.api_key_file else _refreshed(login, clock))
            login.write(addresses.root)
        return login.access_token


async def exchanged(addresses: Addresses, login: Login) -> Login:
    """Return it with the token that the registry gives for the API key, or refuse with ``Unauthenticated``."""
    from maasloop.api.device.v1.access_service_pb2 import ExchangeApiKeyRequest
    from maasloop.api.device.v1.access_service_pb2_grpc import AccessServiceStub
    from maasloop.rpc.client import Bearer, call, connected

    authority = addresses.authority(login)
    peer = Bearer(authority=authority.read_bytes() if authority else None)
    request = ExchangeApiKeyRequest(secret=token_of(Path(login.api_key_file)))
    async with connected(addresses.public("device-registry", login), peer=peer) as channel:
        answer = await call(AccessServiceStub(channel).ExchangeApiKey, request)
    expire_time = answer.expire_time.ToDatetime(UTC).isoformat(timespec="seconds")
    return replace(login, access_token=answer.access_token, expire_time=expire_time)


async def _refreshed(login: Login, clock: Clock) -> Login:
    from maasloop.identity.provider import Endpoints, fetching, refreshed

    if not login.refresh_token:
        raise Unauthenticated(Reason.CREDENTIALS_EXPIRED, f"you were signed in until {login.expire_time}; {AGAIN}")
    authority = Path(login.provider_ca_file) if login.provider_ca_file else None
    endpoints = await Endpoints.of(login.issuer, fetching(authority))
    return login.given(await refreshed(endpoints, login.client_id, login.refresh_token, authority), clock)


def token_of(path: Path) -> str:
    """Return the token or API key that a file holds."""
    from .files import text_of

    return text_of(path, "ascii").strip()


def forget(root: Path) -> bool:
    """Sign out: delete what is kept, and tell whether somebody was signed in."""
    known = _file(root).exists()
    _file(root).unlink(missing_ok=True)
    return known


def _file(root: Path) -> Path:
    return root / ".maasloop" / "secrets" / LOGIN_FILE


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let no other command of this checkout in meanwhile."""
    folder = _file(root).parent
    if not folder.exists():
        yield
        return
    with (folder / "login.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
