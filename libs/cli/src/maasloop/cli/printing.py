"""What commands print: a table for a terminal, cells between tabs for a pipe, protobuf-JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from google.protobuf.message import Message

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="Print at most this many.")]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, where its value lies in the JSON form, and the enum prefix it is told without."""

    title: str
    path: str
    prefix: str = ""

    def cell(self, item: Mapping[str, Any]) -> str:
        """Return the text of an item's cell; empty where the value is absent."""
        value: Any = item
        for part in self.path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None:
            return ""
        if isinstance(value, list):
            return " ".join(str(entry).removeprefix(self.prefix) for entry in value)
        if isinstance(value, Mapping):
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        text = str(value)
        return text.removeprefix(self.prefix).lower() if self.prefix and text.startswith(self.prefix) else text


def plain(message: "Message", *, whole: bool = True) -> dict[str, Any]:
    """Return the JSON form of a message; ``whole`` includes fields that have no value."""
    from google.protobuf import json_format

    return json_format.MessageToDict(message, always_print_fields_with_no_presence=whole)


def show(messages: "Sequence[Message]", columns: Sequence[Column], *, as_json: bool) -> None:
    """Print messages as a table, or as a JSON list."""
    show_rows([plain(message) for message in messages], columns, as_json=as_json)


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, as_json: bool) -> None:
    """Print mappings as a table (with tabs where nobody looks), or as a JSON list."""
    if as_json:
        print_json(list(rows))
        return
    cells = [[column.cell(row) for column in columns] for row in rows]
    titles = [column.title for column in columns]
    if sys.stdout.isatty():
        _print_table(titles, cells)
    else:
        for line in (titles, *cells):
            say("\t".join(line))


def show_one(message: "Message", *, as_json: bool) -> None:
    """Print a message, field by field, or as JSON."""
    if as_json:
        print_json(plain(message))
        return
    fields = plain(message, whole=False)
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        say(f"{name:<{width}}  {text}")


def print_json(value: object, *, line: bool = False) -> None:
    """Print a value as JSON, ``line`` on one line."""
    say(json.dumps(value, ensure_ascii=False, indent=None if line else 2))


def say(text: str) -> None:
    """Print a line at once, whatever reads it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _print_table(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for line in cells:
        table.add_row(*map(escape, line))
    Console().print(table)
    if not cells:
        say("nothing")
