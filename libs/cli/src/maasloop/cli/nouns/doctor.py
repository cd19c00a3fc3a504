"""``maasloop doctor``: what is missing on this machine, and the command that mends it."""

from dataclasses import asdict

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.printing import Column, Json, show_rows

COLUMNS = (Column("", "verdict"), Column("what", "subject"), Column("found", "detail"), Column("mend with", "mend"))


def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Look at everything a stack needs here; nothing is changed."""
    from maasloop.stack.doctor import examine

    addresses: Addresses = context.obj
    findings = examine(addresses.root)
    rows = [asdict(finding) | {"verdict": "ok" if finding.good else "missing"} for finding in findings]
    show_rows(rows, COLUMNS, as_json=as_json)
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)
