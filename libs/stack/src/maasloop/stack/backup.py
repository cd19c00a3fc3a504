"""A backup of a running stack and its restoration into an empty one: every table and every stream, counted.

The database comes first and the streams after it. What is acknowledged meanwhile is then in the streams, and after a
restoration their owners pass over what the tables have and write the rest. Keys and certificates are not in a backup.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from maasloop.bus.accounts import CORE
from maasloop.bus.city import City, CityUser
from maasloop.bus.connection import Bus, connect
from maasloop.bus.rights import KEEPER, keeper_rights
from maasloop.bus.streams import STREAMS
from maasloop.core.clock import Clock
from maasloop.identity.nats.claims import User
from maasloop.stack import dumps, snapshots
from maasloop.stack.doors import NatsUser
from maasloop.stack.errors import StackError
from maasloop.stack.state import StackState

MANIFEST = "manifest.json"
DUMP = "database.dump"
SUFFIX = ".snapshot"
FORMAT = 1
NAMES_OF_LOGS = "audit.logs"
"""The table that has a row for each audit log before anything is written."""

type Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds, by count."""

    time: str
    """When it was begun, UTC."""

    tables: Mapping[str, int]
    """Rows by table."""

    streams: Mapping[str, Mapping[str, Any]]
    """``config`` and ``state`` by stream, as the server told them."""

    format: int = FORMAT

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """Read the manifest of a backup; ``StackError`` where there is none, or one of another format."""
        path = directory / MANIFEST
        if not path.exists():
            raise StackError("backup", f"{path} is missing", next_step="name a directory that maasloop backup wrote")
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("format") != FORMAT:
            raise StackError("backup", f"{path} has format {found.get('format')}, this version reads {FORMAT}")
        return cls(**found)


@dataclass(frozen=True, slots=True)
class Compared:
    """A table or stream on both sides."""

    name: str
    backed_up: int
    restored: int

    @property
    def equal(self) -> bool:
        """Tell whether nothing is missing and nothing is too much."""
        return self.backed_up == self.restored


async def back_up(state: StackState, directory: Path, clock: Clock, progress: Progress) -> Manifest:
    """Write a backup of a running stack into an empty directory."""
    _require_room(directory)
    began = clock.now().isoformat(timespec="seconds")
    progress("database")
    tables = dumps.dump(state.postgres_dsn, directory / DUMP)
    streams: dict[str, Mapping[str, Any]] = {}
    async with connect(**_keeper(state, clock).options(), name=KEEPER) as bus:
        for stream in (stream.name for stream in STREAMS):
            progress(f"stream {stream}")
            streams[stream] = await snapshots.save(bus, stream, directory / f"{stream}{SUFFIX}")
    manifest = Manifest(began, tables, streams)
    # Last of all: a directory without it is no backup.
    (directory / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")
    return manifest


async def restore(state: StackState, directory: Path, clock: Clock, progress: Progress) -> list[Compared]:
    """Restore a backup into the servers of an empty stack without services; return every count on both sides."""
    manifest = Manifest.read(directory)
    if state.services:
        next_step = "maasloop down, then maasloop up --servers-only"
        raise StackError("restore", "services run on these servers", next_step=next_step)
    async with connect(**_keeper(state, clock).options(), name=KEEPER) as bus:
        await _require_empty(state, bus)
        progress("database")
        tables = dumps.restore(state.postgres_dsn, directory / DUMP)
        compared = [Compared(name, rows, tables.get(name, 0)) for name, rows in manifest.tables.items()]
        for stream, described in manifest.streams.items():
            progress(f"stream {stream}")
            found = await snapshots.load(bus, stream, directory / f"{stream}{SUFFIX}", described)
            compared.append(Compared(f"stream {stream}", described["state"]["messages"], found.messages))
    return compared


def _require_room(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise StackError("backup", f"{directory} is not empty", next_step="name another directory")


async def _require_empty(state: StackState, bus: Bus) -> None:
    filled = [name for name, rows in dumps.rows(state.postgres_dsn).items() if rows and name != NAMES_OF_LOGS]
    for stream in (stream.name for stream in STREAMS):
        found = await snapshots.state_of(bus, stream)
        if found is not None and found.messages:
            filled.append(f"stream {stream}")
    if filled:
        problem = f"the stack is not empty: {', '.join(filled[:5])}"
        raise StackError("restore", problem, next_step="maasloop reset, then maasloop up --servers-only")


def _keeper(state: StackState, clock: Clock) -> NatsUser:
    """Return the user who may copy streams, made when it is needed by whoever has the seeds of the accounts."""
    if state.nats_users:
        city = City(Path(state.nats_users).parent, clock)
        city.write_user(CityUser(KEEPER, CORE, User(keeper_rights())))
    return state.nats_user(KEEPER)
