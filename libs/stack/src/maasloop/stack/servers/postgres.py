"""A PostgreSQL 17 server with TimescaleDB that keeps what it has committed.

Nothing that belongs to durability is switched off: fsync, full page writes, synchronous commit and checksums are on.
It listens on loopback only. With passwords every role has one of its own (SCRAM, RFC 7677); without, it trusts who connects,
as a server of tests does.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from maasloop.core.clock import SystemClock
from maasloop.postgres.once import connect_once
from maasloop.stack.account import Account, as_account, database_account
from maasloop.stack.errors import StackError
from maasloop.stack.ports import LOOPBACK, free_ports
from maasloop.stack.process import ManagedProcess
from maasloop.stack.servers.passwords import RolePasswords, set_password
from maasloop.stack.waiting import POLL_S, wait_until_ready

BINARY_DIRECTORY = Path("/usr/lib/postgresql/17/bin")
SUPERUSER = "postgres"
READY_TIMEOUT_S = 60.0
"""Longest start, with crash recovery in it."""
INITDB_TIMEOUT_S = 60.0
"""Longest making of an empty data directory."""
STOP_TIMEOUT_S = 20.0
"""What the fast shutdown gets, and a predecessor on the same data."""
CLIENT = "maasloop-stack"
"""Longest attempt to connect while the server starts."""

PASSWORDS_ONLY = "host all all all scram-sha-256\n"
"""Who is let in, in the form of pg_hba.conf; from where is for ``listen_addresses``."""

SETTINGS: dict[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    # Durable.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Two cores and a laptop's memory; long checkpoints keep COPY fast and lose nothing.
    "shared_buffers": "512MB",
    "effective_cache_size": "2GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "wal_buffers": "64MB",
    "min_wal_size": "1GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "max_wal_senders": "0",
    "max_worker_processes": "16",
    "max_locks_per_transaction": "256",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_lock_waits": "on",
    # The Apache edition has no jobs to run; the launcher alone would hold a connection to every database.
    "timescaledb.max_background_workers": "0",
}


class PostgresServer:
    """One PostgreSQL server whose data and port stay the same across restarts."""

    def __init__(
        self,
        data_directory: Path,
        *,
        port: int | None = None,
        log_path: Path,
        settings: Mapping[str, str] | None = None,
        durable_initdb: bool = True,
        passwords: RolePasswords | None = None,
    ) -> None:
        """Keep data under ``data_directory``, which the server's account must be able to reach."""
        self.passwords = passwords
        self.data_directory = data_directory
        self.port = port if port is not None else free_ports(1)[0]
        self.account: Account | None = database_account()
        self._durable_initdb = durable_initdb
        self._clock = SystemClock()
        command = [
            str(binary("postgres")), "-D", str(data_directory), "-p", str(self.port),
            *server_options(SETTINGS | dict(settings or {})),
        ]  # fmt: skip
        self.process = ManagedProcess(
            "postgres",
            command,
            log_path=log_path,
            account=self.account,
            # The fast shutdown: end the sessions, write a checkpoint.
            stop_signal=signal.SIGINT,
            death_signal="INT",
        )

    def dsn(self, database: str = "postgres", role: str = SUPERUSER) -> str:
        """Return the connection string of a role and a database."""
        secret = self.passwords.option(role) if self.passwords else ""
        return f"postgresql://{role}@{LOOPBACK}:{self.port}/{database}{secret}"

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Make the data directory if there is none, start, and return when a connection succeeds."""
        if not (self.data_directory / "PG_VERSION").exists():
            self._make_data_directory()
        self._wait_for_predecessor()
        self.process.start()
        wait_until_ready(self.process, self.ready, timeout_s)
        if self.passwords is not None:
            self._require_passwords(self.passwords)

    def stop(self) -> None:
        """End the server with a fast shutdown."""
        self.process.stop(STOP_TIMEOUT_S)

    def kill9(self) -> None:
        """End the server and all its backends as a crash does."""
        self.process.kill9()

    def restart(self) -> None:
        """Stop (if it runs) and start again on the same port and data."""
        self.stop()
        self.start()

    def ready(self) -> bool:
        """Say whether the server lets a client in."""
        try:
            with connect_once(self.dsn(), name=CLIENT):
                return True
        except psycopg.OperationalError:
            return False

    def _require_passwords(self, passwords: RolePasswords) -> None:
        """Let nobody in without a password; a data directory that was just made has not been told yet."""
        rules = self.data_directory / "pg_hba.conf"
        if rules.read_text(encoding="utf-8") == PASSWORDS_ONLY:
            return
        with connect_once(self.dsn(), name=CLIENT, autocommit=True) as connection:
            set_password(connection, SUPERUSER, passwords.of(SUPERUSER))
            rules.write_text(PASSWORDS_ONLY, encoding="utf-8")
            connection.execute("SELECT pg_reload_conf()")

    def _wait_for_predecessor(self) -> None:
        """Wait for a server on this data whose parent died and which is still writing its last checkpoint."""
        deadline_s = self._clock.monotonic_s() + STOP_TIMEOUT_S
        while (pid := self._predecessor()) is not None:
            if self._clock.monotonic_s() > deadline_s:
                raise StackError(
                    "postgres",
                    f"process {pid} still serves {self.data_directory}",
                    log_path=self.process.log_path,
                    next_step="stop whatever started it (make down)",
                )
            time.sleep(POLL_S)

    def _predecessor(self) -> int | None:
        try:
            pid = int((self.data_directory / "postmaster.pid").read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            return None
        return pid if str(self.data_directory).encode() in command else None

    def _make_data_directory(self) -> None:
        """Run initdb beside the final place and move the result there, so that half a directory is never taken."""
        draft = self.data_directory.with_name(f"{self.data_directory.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        if self.account is not None:
            os.chown(draft, self.account.uid, self.account.gid)
        command = [
            str(binary("initdb")), "-D", str(draft), "--username", SUPERUSER, "--auth", "trust", "--data-checksums",
            "--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C.UTF-8",
        ]  # fmt: skip
        if not self._durable_initdb:
            command.append("--no-sync")
        log_path = self.process.log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            done = subprocess.run(
                as_account(self.account, command),
                check=False,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=INITDB_TIMEOUT_S,
            )
        if done.returncode != 0:
            raise StackError(
                "postgres",
                f"initdb ended with status {done.returncode}\n{self.process.log_tail()}",
                log_path=log_path,
                next_step="make reset, then once more",
            )
        draft.rename(self.data_directory)


def server_options(settings: Mapping[str, str]) -> list[str]:
    """Return the settings as arguments of the server."""
    return [argument for key, value in settings.items() for argument in ("-c", f"{key}={value}")]


def binary(name: str) -> Path:
    """Return the path of a PostgreSQL 17 program; another version on the machine is never taken."""
    path = BINARY_DIRECTORY / name
    if not path.exists():
        raise StackError("postgres", f"{path} is missing", next_step="make setup")
    return path
