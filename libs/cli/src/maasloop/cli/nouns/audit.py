"""``maasloop audit``: is the log what it promised, who touched a resource, and a witness that remembers."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.audit_keys import verifying_keys
from maasloop.cli.files import text_of
from maasloop.cli.printing import Column, Json, Limit, print_json, say, show_rows
from maasloop.stack.audit_keys import AuditFiles
from maasloop.stack.state import StateDirectory

from . import audit_archive, audit_schedule, audit_setup, audit_witness

if TYPE_CHECKING:
    from maasloop.audit.exports import Export
    from maasloop.audit.notes import VerifyingKey
    from maasloop.postgres.auditor import Touched

BROKEN = 1

app = typer.Typer(help="The log of who did what on whose authority.", no_args_is_help=True)
app.command()(audit_witness.witness)
app.command()(audit_archive.archive)
app.command()(audit_schedule.archive_all)
app.command()(audit_setup.keys)
app.command()(audit_setup.schema)

Dsn = Annotated[
    str,
    typer.Option(
        envvar="MAASLOOP_CLI__AUDIT_DSN",
        help="Connection string of the auditor's role; that of the running stack by default.",
    ),
]
TOUCHES = (
    Column("time", "time"),
    Column("who", "actor"),
    Column("did", "verb"),
    Column("to", "resource"),
    Column("by", "method"),
    Column("authority", "authority"),
    Column("outcome", "outcome"),
    Column("reason", "reason"),
    Column("entry", "entry"),
)


@app.command()
def verify(
    context: typer.Context,
    *,
    export_file: Annotated[
        Path | None, typer.Option("--export", help="Check this file, without a database; otherwise the stored logs.")
    ] = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint that was kept earlier; may be given several times.")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="Public key of a log, or its file; those of this checkout by default.")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(file_okay=False, help="Directory with archives, checked before what followed.")
    ] = None,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """Check that logs hold what was signed; exit status 1 when one does not."""
    from maasloop.postgres import auditor

    keys = verifying_keys(key or [], _files(context))
    kept = [text_of(path) for path in checkpoint or []]
    with ExitStack() as stack:
        archives = [stack.enter_context(_opened(path)) for path in sorted(archive.glob("*.jsonl"))] if archive else []
        if export_file is not None:
            exports = [stack.enter_context(_opened(export_file))]
        else:
            connection = stack.enter_context(auditor.auditing(_dsn(context, dsn)))
            exports = [auditor.stored(connection, name) for name in auditor.log_names(connection)]
        results = [_verified(_behind(archives, found), keys, kept) for found in exports]
    if as_json:
        print_json(results)
    else:
        for result in results:
            say(_sentence(result))
    if not results:
        sys.stderr.write("maasloop: no log has an entry\n")
    if not all(result["holds"] for result in results):
        raise typer.Exit(BROKEN)


@app.command()
def export(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="Whose log.")],
    file: Annotated[Path, typer.Argument(help="Where to; an existing file is replaced.")],
    *,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """Write a log up to its newest checkpoint into a file that can be checked anywhere."""
    from maasloop.postgres import auditor

    with auditor.auditing(_dsn(context, dsn)) as connection:
        found = auditor.stored(connection, service)
        draft = file.with_name(f".{file.name}.draft")
        with draft.open("w", encoding="utf-8") as opened:
            entries = found.write(opened)
        draft.replace(file)
    if as_json:
        print_json({"origin": found.origin, "entries": entries, "file": str(file)})
    else:
        say(f"{found.origin}: {entries} entries in {file}")


@app.command("who-touched")
def who_touched(
    context: typer.Context,
    resource: Annotated[str, typer.Argument(help="Name of a resource; what lies below it is found too.")],
    *,
    limit: Limit = 50,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """Show who asked, read, changed or commanded a resource, or was refused, the newest first."""
    from maasloop.postgres import auditor

    with auditor.auditing(_dsn(context, dsn)) as connection:
        found = auditor.touched(connection, _hidden(resource, _files(context)), limit)
    rows = [_row(each) for each in found]
    show_rows(rows, TOUCHES, as_json=as_json)


def _behind(archives: "list[Export]", found: "Export") -> "Export":
    """Return a log with its archives before it."""
    before = [each for each in archives if each.origin == found.origin]
    return type(found).joined([*before, found])


@contextmanager
def _opened(path: Path) -> Iterator["Export"]:
    from maasloop.audit.exports import Damaged, Export

    with path.open(encoding="utf-8", errors="replace") as file:
        try:
            found = Export.read(file)
        except Damaged as error:
            raise typer.BadParameter(str(error)) from None
        yield found


def _verified(found: "Export", keys: "dict[str, VerifyingKey]", kept: list[str]) -> dict[str, Any]:
    from maasloop.audit.checkpoints import Checkpoint
    from maasloop.audit.exports import Damaged
    from maasloop.audit.notes import Note, NoteRefused
    from maasloop.audit.verifying import verify as checked
    from maasloop.core.clock import from_us

    result: dict[str, Any] = {"origin": found.origin, "holds": False}
    if found.origin not in keys:
        return {**result, "reason": "no public key of this log is known; name it by --key"}
    try:
        own = [text for text in kept if Checkpoint.read(Note.parse(text)).origin == found.origin]
        proven = checked(found, keys[found.origin], own)
    except (Damaged, NoteRefused) as error:
        return {**result, "reason": str(error)}
    return {
        **result,
        "holds": True,
        "entries": proven.size,
        "signed": from_us(proven.time_s * 1_000_000).isoformat(),
        "kept": list(proven.kept_sizes),
        "beginsAfter": proven.begins_after,
    }


def _sentence(result: dict[str, Any]) -> str:
    if not result["holds"]:
        return f"{result['origin']}: DOES NOT HOLD: {result['reason']}"
    kept = (
        f", begins with the {' and the '.join(map(str, result['kept']))} entries signed earlier"
        if result["kept"]
        else ""
    )
    archived = f", the first {result['beginsAfter']} of them in archives" if result["beginsAfter"] else ""
    return f"{result['origin']}: holds: {result['entries']} entries, signed {result['signed']}{kept}{archived}"


def _row(found: "Touched") -> dict[str, Any]:
    import json

    from maasloop.core.clock import from_us

    said: dict[str, Any] = json.loads(found.body)
    return {"time": from_us(said["time_us"]).isoformat(), **said, "entry": f"{found.log}/{found.position}"}


def _hidden(resource: str, files: AuditFiles) -> str:
    """Return the name as it stands in the log: a data subject is a pseudonym there."""
    from maasloop.audit.pseudonyms import Pseudonyms

    if "dataSubjects/" not in resource or not files.pseudonyms_key.is_file():
        return resource
    return Pseudonyms(bytes.fromhex(files.pseudonyms_key.read_text(encoding="utf-8").strip())).resource(resource)


def _files(context: typer.Context) -> AuditFiles:
    addresses: Addresses = context.obj
    return AuditFiles(StateDirectory(addresses.root).path)


def _dsn(context: typer.Context, given: str) -> str:
    from maasloop.audit.schema import AUDITOR
    from maasloop.stack.servers.passwords import dsn_of

    addresses: Addresses = context.obj
    return given or dsn_of(addresses.stack().postgres_dsn, AUDITOR)
