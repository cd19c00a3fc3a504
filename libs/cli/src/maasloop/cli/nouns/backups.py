"""``maasloop backup | restore``: tables and streams of the stack of this checkout, counted on both sides."""

from pathlib import Path
from typing import Annotated, Any

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.calling import running
from maasloop.cli.printing import Column, Json, print_json, say, show_rows

COLUMNS = (Column("table or stream", "name"), Column("backed up", "backed_up"), Column("restored", "restored"))


def backup(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="An empty directory, which is made if it is missing.")],
    as_json: Json = False,
) -> None:
    """Write tables and streams of the running stack into a directory; keys and certificates are not in it."""
    from maasloop.core.clock import SystemClock
    from maasloop.stack.backup import back_up

    manifest = running(back_up(_addresses(context).stack(), directory, SystemClock(), _progress))
    messages = sum(described["state"]["messages"] for described in manifest.streams.values())
    if as_json:
        print_json({"time": manifest.time, "tables": dict(manifest.tables), "messages": messages})
        return
    say(f"{sum(manifest.tables.values()):,} rows of {len(manifest.tables)} tables")
    say(f"{messages:,} messages of {len(manifest.streams)} streams")
    say(f"in {directory}; keep the state's secrets/ apart: without them nobody is known again")


def restore(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="What `maasloop backup` wrote.")],
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty stack whose servers alone run; exit status 1 where a count differs."""
    from maasloop.core.clock import SystemClock
    from maasloop.stack.backup import restore as apply

    compared = running(apply(_addresses(context).stack(), directory, SystemClock(), _progress))
    rows: list[dict[str, Any]] = [
        {"name": one.name, "backed_up": one.backed_up, "restored": one.restored} for one in compared
    ]
    differing = [one for one in compared if not one.equal]
    if as_json:
        print_json({"compared": rows, "equal": not differing})
    else:
        show_rows([row for row in rows if row["backed_up"] or row["restored"]], COLUMNS, as_json=False)
        say(f"{len(compared) - len(differing)} of {len(compared)} counts are equal")
    if differing:
        raise typer.Exit(1)


def _progress(step: str) -> None:
    typer.echo(step, err=True)


def _addresses(context: typer.Context) -> Addresses:
    found: Addresses = context.obj
    return found
