"""Where a stack keeps its state, and how others find it.

Everything lies under ``.maasloop/`` of the checkout. A lock on one file, held as long as the stack runs, keeps a second
stack away; ``stack.json`` lists every address and process for the CLI, the demo and whoever wants to connect.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from maasloop.stack.account import Account, can_enter
from maasloop.stack.doors import MqttListener, NatsUser
from maasloop.stack.errors import StackError, StackRunningError
from maasloop.stack.recorder import read_header
from maasloop.stack.secrets import verification_keys_file

if TYPE_CHECKING:
    from maasloop.identity.certificates import TlsFiles

ELSEWHERE = Path("/var/lib/maasloop")
MARKER = "uv.lock"


@dataclass(frozen=True, slots=True)
class ServiceAddresses:
    """Where one service answers: host:port, without a scheme for gRPC."""

    grpc: str
    health: str
    http: str = ""
    """Only ingest has an HTTP door."""
    public: str = ""
    """gRPC for callers with a token instead of a certificate."""


@dataclass(frozen=True, slots=True)
class OperatorFiles:
    """Where the certificate lies by which whoever works on this machine is known to the services."""

    certificate: str
    key: str
    authority: str

    def files(self) -> "TlsFiles":
        """Return them as clients take them."""
        # A command that calls nobody need not wait for cryptography.
        from maasloop.identity.certificates import TlsFiles

        return TlsFiles(Path(self.certificate), Path(self.key), Path(self.authority))


@dataclass(frozen=True, slots=True)
class StackState:
    """What ``stack.json`` says of a running stack."""

    pid: int
    ready: bool
    nats_url: str
    mqtt_host: str
    mqtt_port: int
    nats_monitor_url: str
    postgres_dsn: str
    """The superuser's; each service has a role of its own."""

    service_dsns: Mapping[str, str]
    services: Mapping[str, ServiceAddresses]
    pids: Mapping[str, int]
    command_keys: str = ""
    """File of the keys whose commands devices obey (a JWK Set)."""
    nats_users: str = ""
    """Directory with the credentials of NATS users, ``{user}.creds``; empty = anybody may enter."""
    ca_file: str = ""
    """Who vouches for the certificates of this machine (PEM); empty = no TLS."""
    http_header_file: str = ""
    """File of the header that a request of ingest's HTTP door needs; empty = anybody may record."""

    def nats_user(self, user: str) -> NatsUser:
        """Return how a user of NATS connects."""
        if not self.nats_users:
            return NatsUser(self.nats_url)
        return NatsUser(self.nats_url, Path(self.nats_users) / f"{user}.creds", Path(self.ca_file))

    def http_headers(self) -> Mapping[str, str]:
        """Return what a request of ingest's HTTP door needs, as it is at this moment."""
        return read_header(Path(self.http_header_file)) if self.http_header_file else {}

    def mqtt_listener(self) -> MqttListener:
        """Return where devices connect over MQTT; each has a user name and a password of its own."""
        return MqttListener(self.mqtt_host, self.mqtt_port, authority_file=self.ca_file)

    operator: OperatorFiles | None = None
    """None where nobody is identified and nothing is encrypted."""

    @property
    def tls(self) -> "TlsFiles | None":
        """The operator's certificate; none where nobody is identified."""
        return self.operator.files() if self.operator else None

    def to_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of the file."""
        data: dict[str, Any] = json.loads(text)
        services = {name: ServiceAddresses(**addresses) for name, addresses in data.pop("services").items()}
        operator = data.pop("operator", None)
        return cls(services=services, operator=OperatorFiles(**operator) if operator else None, **data)


class StateDirectory:
    """The paths of one checkout's state."""

    def __init__(self, root: Path) -> None:
        """Take the checkout (or any directory) that holds ``.maasloop``."""
        self.root = root.resolve()
        self.path = self.root / ".maasloop"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.path / "log"

    @property
    def nats(self) -> Path:
        """Store of the NATS server."""
        return self.path / "nats"

    @property
    def secrets(self) -> Path:
        """Keys and certificates of this machine, made at the first start."""
        return self.path / "secrets"

    @property
    def command_keys(self) -> Path:
        """The keys whose commands devices obey."""
        return verification_keys_file(self.secrets)

    @property
    def stack_file(self) -> Path:
        """The addresses of a running stack."""
        return self.path / "stack.json"

    @property
    def lock_file(self) -> Path:
        """Held by the process that runs the stack; its text is that process's id."""
        return self.path / "stack.lock"

    def postgres(self, account: Account | None) -> Path:
        """Return the directory for PostgreSQL, linked to a place elsewhere when its account can't enter here."""
        self.path.mkdir(parents=True, exist_ok=True)
        here = self.path / "postgres"
        if can_enter(account, self.path) and not here.is_symlink():
            here.mkdir(exist_ok=True)
            return here
        elsewhere = ELSEWHERE / hashlib.sha256(str(self.root).encode()).hexdigest()[:12] / "postgres"
        elsewhere.mkdir(parents=True, exist_ok=True)
        if here.is_symlink():
            here.unlink()
        here.symlink_to(elsewhere)
        return elsewhere

    def write(self, state: StackState) -> None:
        """Replace ``stack.json`` in one step."""
        draft = self.stack_file.with_suffix(".draft")
        draft.write_text(state.to_json())
        draft.replace(self.stack_file)

    def read(self) -> StackState:
        """Return the state of the running stack; raise when none runs."""
        if self.holder() is None or not self.stack_file.exists():
            raise StackError("stack", f"no stack runs in {self.root}", next_step="make up (or make demo)")
        return StackState.from_json(self.stack_file.read_text())

    def holder(self) -> int | None:
        """Return the id of the process that runs a stack here, or None."""
        try:
            with self.lock_file.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read() or 0)
        except FileNotFoundError:
            return None
        return None

    def require_free(self) -> None:
        """Raise ``StackRunningError`` where a stack runs here."""
        holder = self.holder()
        if holder is not None:
            raise self._taken(str(holder))

    def _taken(self, holder: str) -> StackRunningError:
        return StackRunningError(
            "stack",
            f"already runs in {self.root} (process {holder or 'unknown'})",
            next_step="make status to see it, make down to stop it (or Ctrl-C where it runs)",
        )

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep every other stack out; raise ``StackRunningError`` when one is in."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.lock_file.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise self._taken(lock.read()) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            try:
                yield
            finally:
                self.stack_file.unlink(missing_ok=True)
                lock.truncate(0)


def find_root(start: Path) -> Path:
    """Return the nearest directory upward that has state or is a checkout; the start itself when there is none."""
    for directory in (start, *start.parents):
        if (directory / ".maasloop").is_dir() or (directory / MARKER).exists():
            return directory
    return start
