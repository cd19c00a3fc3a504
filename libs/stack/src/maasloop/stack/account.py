"""The account that PostgreSQL runs as: initdb and the server refuse root.

As root the distribution's ``postgres`` account is taken; anyone else runs the server as themselves. ``setpriv`` (part
of util-linux, on every Debian and Ubuntu) changes the account and asks the kernel for a signal when the parent dies,
in this order, because a change of account clears that request.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from maasloop.stack.errors import StackError

ACCOUNT_NAME = "postgres"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine, other than the one who runs us."""

    name: str
    uid: int
    gid: int


def database_account() -> Account | None:
    """Return the account PostgreSQL must run as, or None for the caller's own."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        raise StackError("postgres", f"no account '{ACCOUNT_NAME}' on this machine", next_step="make setup") from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def as_account(account: Account | None, command: list[str], *, death_signal: str | None = None) -> list[str]:
    """Return the command run as the account, with the signal it gets when its parent dies."""
    options: list[str] = []
    if account is not None:
        options += [f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups"]
    if death_signal is not None:
        options += ["--pdeathsig", death_signal]
    return ["setpriv", *options, "--", *command] if options else command


def can_enter(account: Account | None, directory: Path) -> bool:
    """Say whether the account may pass through this directory (and all above it)."""
    if account is None:
        return True
    probe = as_account(account, ["test", "-x", str(directory)])
    return subprocess.run(probe, check=False, cwd="/").returncode == 0
