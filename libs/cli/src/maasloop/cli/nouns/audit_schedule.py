"""``maasloop audit archive-all``: archives every log by itself, an interval behind its witness."""

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.printing import Json, say
from maasloop.stack.audit_keys import AuditFiles
from maasloop.stack.state import StateDirectory

from .audit_archive import Dsn, Keys, Witness, moved, require_witnessed
from .audit_witness import SUFFIX as COSIGNED

if TYPE_CHECKING:
    from maasloop.postgres.auditor import Auditing

NEXT = ".next"
"""What a log is archived up to the next time."""
HOUR_S = 3_600
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
    """
    from maasloop.postgres import auditor

    addresses: Addresses = context.obj
    files = AuditFiles(StateDirectory(addresses.root).path)
    directory.mkdir(parents=True, exist_ok=True)
    while True:
        failed = False
        with auditor.auditing(dsn or addresses.stack().postgres_dsn, administering=True) as connection:
            for seen in sorted(files.witness.glob(f"*{COSIGNED}")):
                try:
                    _require_room(directory, free_min_mib)
                    _archive(connection, seen, files, directory, keys=key, witness=witness, as_json=as_json)
                except typer.BadParameter as error:
                    failed = True
                    typer.echo(f"{seen.name}: {error.message}", err=True)
        if not every_hours:
            raise typer.Exit(FAILED if failed else 0)
        time.sleep(every_hours * HOUR_S)


def _archive(
    connection: "Auditing",
    seen: Path,
    files: AuditFiles,
    directory: Path,
    *,
    keys: list[str] | None,
    witness: str,
    as_json: bool,
) -> None:
    from maasloop.core.errors import FailedPrecondition
    from maasloop.postgres import auditor

    newest = seen.read_text(encoding="utf-8")
    service = require_witnessed(newest, files, keys, witness).name.rpartition("/")[2]
    due = directory / f"{service}{NEXT}"
    if due.exists():
        note = due.read_text(encoding="utf-8")
        log_key = require_witnessed(note, files, keys, witness)
        if auditor.archived_size(connection, service) < _size(note):
            try:
                moved(connection, service, note, log_key, directory).tell(as_json=as_json)
            except FailedPrecondition as error:
                # What the keeper still needs is archived the next time.
                say(f"{service}: {error.message}")
                return
    draft = due.with_suffix(".draft")
    draft.write_text(newest, encoding="utf-8")
    draft.replace(due)


def _size(note: str) -> int:
    from maasloop.audit.checkpoints import Checkpoint
    from maasloop.audit.notes import Note

    return Checkpoint.read(Note.parse(note)).size


def _require_room(directory: Path, free_min_mib: int) -> None:
    if (free := shutil.disk_usage(directory).free // MIB) < free_min_mib:
        message = f"{directory} has {free} MiB left, fewer than {free_min_mib}"
        raise typer.BadParameter(message)
