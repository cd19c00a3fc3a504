"""What a checkout needs to run here, whether it is there, and the command that mends it."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from maasloop.stack.account import ACCOUNT_NAME, can_enter, database_account
from maasloop.stack.errors import StackError
from maasloop.stack.servers.nats import nats_server_binary
from maasloop.stack.servers.postgres import BINARY_DIRECTORY
from maasloop.stack.setup import environment, packages
from maasloop.stack.setup.plan import look
from maasloop.stack.state import StateDirectory

DISK_FREE_MIN_BYTES = 5 * 1024**3
"""Less is reported: streams and tables need room."""
TIMESCALE_CONTROL = Path("/usr/share/postgresql/17/extension/timescaledb.control")
VERSION_TIMEOUT_S = 5.0
"""Longest wait for `nats-server --version`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    good: bool
    detail: str
    mend: str = ""
    """The command that mends it; empty when there is nothing to mend."""


def examine(root: Path) -> list[Finding]:
    """Look at everything; nothing is changed."""
    machine = look(available=frozenset())
    container = packages.decide(machine).container
    return [
        _libraries(machine),
        _postgres(container),
        _account(),
        _nats(),
        _environments(root, container),
        _disk(root),
        _stack(root),
    ]


def _libraries(machine: packages.Machine) -> Finding:
    absent = [name for name in packages.absent_packages(machine) if name != packages.TIMESCALE_PACKAGE]
    install = f"apt-get install --no-install-recommends {' '.join(absent)}"
    return _finding("system packages", "missing: " + ", ".join(absent) if absent else "", "all installed", install)


def _postgres(container: str | None) -> Finding:
    server, extension = BINARY_DIRECTORY / "postgres", TIMESCALE_CONTROL
    if container is not None:
        return Finding("PostgreSQL", good=True, detail=f"from the official container by {container} (untried)")
    absent = [str(path) for path in (server, extension) if not path.exists()]
    problem = f"missing: {', '.join(absent)}" if absent else ""
    return _finding("PostgreSQL", problem, f"17 with TimescaleDB, {BINARY_DIRECTORY}", "make setup")


def _account() -> Finding:
    try:
        account = database_account()
    except StackError as error:
        return Finding("account", good=False, detail=str(error), mend="make setup")
    if account is not None and not can_enter(account, Path("/var/lib")):
        return Finding("account", good=False, detail=f"{ACCOUNT_NAME} cannot enter /var/lib", mend="chmod a+x /var/lib")
    return Finding(
        "account", good=True, detail=account.name if account is not None else f"your own (uid {os.getuid()})"
    )


def _nats() -> Finding:
    try:
        binary = nats_server_binary()
        answer = subprocess.run(
            [binary, "--version"], check=True, capture_output=True, text=True, timeout=VERSION_TIMEOUT_S
        )
    except (StackError, OSError, subprocess.SubprocessError) as error:
        return Finding("nats-server", good=False, detail=str(error), mend="make setup")
    return Finding("nats-server", good=True, detail=f"{answer.stdout.strip()}, {binary}")


def _environments(root: Path, container: str | None) -> Finding:
    if not (root / "uv.lock").exists():
        return Finding("Python packages", good=True, detail="not a checkout: installed by other means")
    fresh = environment.up_to_date(root, environment.fingerprint(root, container))
    return _finding("Python packages", "" if fresh else "not those of uv.lock", "as in uv.lock", "make setup")


def _disk(root: Path) -> Finding:
    free_bytes = shutil.disk_usage(root).free
    problem = f"{free_bytes / 1024**3:.1f} GiB free" if free_bytes < DISK_FREE_MIN_BYTES else ""
    return _finding("disk", problem, f"{free_bytes / 1024**3:.0f} GiB free", "make reset, or free some space")


def _stack(root: Path) -> Finding:
    holder = StateDirectory(root).holder()
    return Finding("stack", good=True, detail="not running" if holder is None else f"runs as process {holder}")


def _finding(subject: str, problem: str, detail: str, mend: str) -> Finding:
    return Finding(subject, good=not problem, detail=problem or detail, mend=mend if problem else "")
