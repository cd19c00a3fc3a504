"""Who signed in at a checkout, as one file keeps it."""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from maasloop.core.errors import Unauthenticated
from maasloop.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from maasloop.core.clock import Clock
    from maasloop.identity.provider import Tokens

LOGIN_FILE = "login.json"
LEFT_MIN_S = 30
"""A token with less time left is replaced before it is shown."""
AGAIN = "sign in again: maasloop login"


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


def forget(root: Path) -> bool:
    """Sign out: delete what is kept, and tell whether somebody was signed in."""
    known = _file(root).exists()
    _file(root).unlink(missing_ok=True)
    return known


def _file(root: Path) -> Path:
    return root / ".maasloop" / "secrets" / LOGIN_FILE


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Let no other command of this checkout in meanwhile."""
    folder = _file(root).parent
    if not folder.exists():
        yield
        return
    with (folder / "login.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
