"""``maasloop audit archive``: moves what a witness has cosigned out of the database into a file that can be checked."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.audit_keys import verifying_keys
from maasloop.cli.files import text_of
from maasloop.cli.printing import Json, print_json, say
from maasloop.stack.audit_keys import AuditFiles
from maasloop.stack.state import StateDirectory

if TYPE_CHECKING:
    from maasloop.audit.notes import VerifyingKey
    from maasloop.postgres.auditor import Auditing

SUFFIX = ".jsonl"
Witness = Annotated[str, typer.Option(help="Public key of the witness, or its file; that of this checkout by default.")]
Keys = Annotated[
    list[str] | None, typer.Option(help="Public key of a log, or its file; those of this checkout by default.")
]
Dsn = Annotated[str, typer.Option(help="Connection string of the database's administrator.")]


@dataclass(frozen=True, slots=True)
class Moved:
    """What left the database."""

    origin: str
    entries: int
    deleted: int
    file: Path

    def tell(self, *, as_json: bool) -> None:
        """Print it."""
        if as_json:
            told = {"origin": self.origin, "archived": self.entries, "deleted": self.deleted, "file": str(self.file)}
            print_json(told)
        else:
            say(f"{self.origin}: {self.entries} entries in {self.file}, {self.deleted} deleted from the database")


def archive(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="Whose log.")],
    directory: Annotated[Path, typer.Argument(help="Where archives of the log lie; kept for ever, and elsewhere too.")],
    *,
    checkpoint: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Checkpoint that a witness cosigned: up to there.")
    ],
    witness: Witness = "",
    key: Keys = None,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """Write the entries up to a witnessed checkpoint into a file, check the file, then delete them from the database."""
    from maasloop.postgres import auditor

    addresses: Addresses = context.obj
    files = AuditFiles(StateDirectory(addresses.root).path)
    note = text_of(checkpoint)
    log_key = require_witnessed(note, files, key, witness)
    with auditor.auditing(dsn or addresses.stack().postgres_dsn, administering=True) as connection:
        moved(connection, service, note, log_key, directory).tell(as_json=as_json)


def moved(connection: "Auditing", service: str, note: str, log_key: "VerifyingKey", directory: Path) -> Moved:
    """Move the entries of a log up to a witnessed checkpoint into a file of a directory, and return what became of it.

    Where they may not leave the database yet (``FailedPrecondition``) there is no file either.
    """
    from maasloop.core.errors import FailedPrecondition
    from maasloop.postgres import auditor

    part = auditor.archivable(connection, service, note)
    if part.origin != log_key.name or not part.origin.endswith(f"/{service}"):
        message = f"the checkpoint is of {part.origin}, not of {service}"
        raise typer.BadParameter(message)
    directory.mkdir(parents=True, exist_ok=True)
    draft = directory / f".{service}.draft"
    with draft.open("w", encoding="utf-8") as opened:
        entries = part.write(opened)
        opened.flush()
        os.fsync(opened.fileno())
    file = directory / f"{service}-{_checked(draft, log_key, note):020}{SUFFIX}"
    # On disk under its name before anything is deleted: what a crash leaves is written again by the next attempt.
    draft.replace(file)
    try:
        gone = auditor.archived(connection, service, note)
    except FailedPrecondition:
        file.unlink()
        raise
    return Moved(part.origin, entries, gone, file)


def require_witnessed(note: str, files: AuditFiles, keys: list[str] | None, witness: str) -> "VerifyingKey":
    """Return the key of the log whose checkpoint this is, signed by it and by a witness; keys as options name them."""
    own = files.witness / "witness.vkey"
    if not witness and not own.is_file():
        message = f"{own} is not there: name the witness by --witness"
        raise typer.BadParameter(message)
    known = verifying_keys([witness or str(own)], files)
    return _require_witnessed(note, verifying_keys(keys or [], files), known)


def _require_witnessed(
    note: str, logs: "dict[str, VerifyingKey]", witnesses: "dict[str, VerifyingKey]"
) -> "VerifyingKey":
    """Return the key of the log whose checkpoint this is, signed by it and by a witness."""
    from maasloop.audit.checkpoints import Checkpoint
    from maasloop.audit.notes import Note, NoteRefused

    try:
        parsed = Note.parse(note)
        origin = Checkpoint.read(parsed).origin
        if origin not in logs:
            message = f"no public key of {origin} is known; name it by --key"
            raise NoteRefused(message)
        Checkpoint.opened(parsed, logs[origin])
        if not any(parsed.signed_by(key) for key in witnesses.values()):
            message = "no known witness cosigned the checkpoint"
            raise NoteRefused(message)
    except NoteRefused as error:
        raise typer.BadParameter(str(error)) from None
    return logs[origin]


def _checked(file: Path, key: "VerifyingKey", note: str) -> int:
    """Return how many entries the log has at the end of a file that holds, and end the command where it does not."""
    from maasloop.audit.exports import Damaged, Export
    from maasloop.audit.verifying import verify

    try:
        with file.open(encoding="utf-8") as opened:
            return verify(Export.read(opened), key, [note]).size
    except Damaged as error:
        file.unlink()
        message = f"the log does not hold, and nothing was deleted: {error}"
        raise typer.BadParameter(message) from None
