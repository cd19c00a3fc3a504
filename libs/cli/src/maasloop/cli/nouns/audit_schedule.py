"""``maasloop audit archive-all``: archives every log by itself, an interval behind its witness."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.files import text_of
from maasloop.cli.printing import Json, say
from maasloop.core.clock import SystemClock
from maasloop.stack.audit_keys import AuditFiles
from maasloop.stack.state import StateDirectory

from .audit_archive import Dsn, Keys, Witness, moved, require_witnessed
from .audit_witness import SUFFIX as COSIGNED

if TYPE_CHECKING:
    from maasloop.audit.checkpoints import Checkpoint
    from maasloop.postgres.auditor import Auditing

NEXT = ".next"
"""What a log is archived up to the next time."""
HOUR_S = 3_600
MICROSECONDS = 1_000_000
MIB = 1024**2
FAILED = 1


def archive_all(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Argument(help="Where archives of the logs lie; kept for ever, and elsewhere too.")
    ],
    *,
    every_hours: Annotated[
        int, typer.Option(min=0, max=8_784, help="Do it again at this interval, for ever; 0 does it once.")
    ] = 0,
    free_min_mib: Annotated[
        int, typer.Option(min=0, help="Write nothing where less would be free, and end with status 1.")
    ] = 1_024,
    witness: Witness = "",
    key: Keys = None,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """Archive each log up to what a witness had cosigned the last time, and note for the next time what it has now.

    So entries stay in the database for one to two intervals. A log that does not hold keeps no other from being archived.
    With an interval it looks once an hour which log is due: a restart, or a database that is away, moves no day.
    """
    from maasloop.core.errors import Retryable
    from maasloop.postgres import auditor

    addresses: Addresses = context.obj
    files = AuditFiles(StateDirectory(addresses.root).path)
    directory.mkdir(parents=True, exist_ok=True)
    each = _Each(files, directory, every_hours * HOUR_S, free_min_mib, key, witness, as_json)
    while True:
        failed = False
        try:
            with auditor.auditing(dsn or addresses.stack().postgres_dsn, administering=True) as connection:
                for seen in sorted(files.witness.glob(f"*{COSIGNED}")):
                    failed |= not each.archived(connection, seen)
        except Retryable as error:
            if not every_hours:
                raise
            typer.echo(error.message, err=True)
        if not every_hours:
            raise typer.Exit(FAILED if failed else 0)
        time.sleep(HOUR_S)


@dataclass(frozen=True, slots=True)
class _Each:
    """What is done with each log that a witness has seen."""

    files: AuditFiles
    directory: Path
    interval_s: int
    """Age of what was noted from which on it is archived."""
    free_min_mib: int
    keys: list[str] | None
    witness: str
    as_json: bool

    def archived(self, connection: "Auditing", seen: Path) -> bool:
        """Archive a log if it is due; say why where that fails."""
        try:
            _require_room(self.directory, self.free_min_mib)
            self._archive(connection, seen)
        except typer.BadParameter as error:
            typer.echo(f"{seen.name}: {error.message}", err=True)
            return False
        return True

    def _archive(self, connection: "Auditing", seen: Path) -> None:
        from maasloop.core.errors import FailedPrecondition
        from maasloop.postgres import auditor

        newest = text_of(seen)
        service = require_witnessed(newest, self.files, self.keys, self.witness).name.rpartition("/")[2]
        due = self.directory / f"{service}{NEXT}"
        if due.exists():
            note = text_of(due)
            log_key = require_witnessed(note, self.files, self.keys, self.witness)
            noted = _checkpoint(note)
            if SystemClock().now_us() < (noted.time_s + self.interval_s) * MICROSECONDS:
                return
            if auditor.archived_size(connection, service) < noted.size:
                try:
                    moved(connection, service, note, log_key, self.directory).tell(as_json=self.as_json)
                except FailedPrecondition as error:
                    # What the keeper still needs is archived the next time.
                    if not self.interval_s:
                        say(f"{service}: {error.message}")
                    return
        draft = due.with_suffix(".draft")
        draft.write_text(newest, encoding="utf-8")
        draft.replace(due)


def _checkpoint(note: str) -> "Checkpoint":
    from maasloop.audit.checkpoints import Checkpoint
    from maasloop.audit.notes import Note

    return Checkpoint.read(Note.parse(note))


def _require_room(directory: Path, free_min_mib: int) -> None:
    if (free := shutil.disk_usage(directory).free // MIB) < free_min_mib:
        message = f"{directory} has {free} MiB left, fewer than {free_min_mib}"
        raise typer.BadParameter(message)
