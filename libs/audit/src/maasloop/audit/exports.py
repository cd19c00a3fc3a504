"""A log as a file: a line that says which log it is and its newest checkpoint, then a line an entry, JSON each."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self, TextIO

LINE_CHARACTERS_MAX = 65_536
FORMAT = "maasloop-audit-1"


class Damaged(ValueError):
    """What was read is not what a log has written."""


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as it is stored."""

    position: int
    """From 1, without a gap."""
    body: str
    chain: bytes
    """Link of this entry."""

    def line(self) -> str:
        """Return the entry's line of an export."""
        return json.dumps([self.position, self.chain.hex(), self.body], ensure_ascii=False) + "\n"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line, or raise ``Damaged``."""
        position, chain, body = _list(line)
        row = cls(position, body, _bytes(chain))
        if row.line() != line:
            message = f"the line of entry {position} is not as an export writes it"
            raise Damaged(message)
        return row


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a part of a log begins: behind a checkpoint, from whose peaks the tree goes on."""

    note: str
    peaks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """A log, or a part of one, up to a checkpoint."""

    origin: str
    note: str
    """The last checkpoint, signed; empty before the first one."""
    rows: Iterable[Row]
    begin: Begin | None = None
    """Behind which checkpoint it begins; none for a log from its first entry on."""

    def write(self, file: TextIO) -> int:
        """Write the file and return the number of entries."""
        file.write(_header(self.origin, self.note, self.begin))
        written = 0
        for row in self.rows:
            file.write(row.line())
            written += 1
        return written

    @classmethod
    def read(cls, file: TextIO) -> Self:
        """Read the head of a file, and its entries as they are asked for; raises ``Damaged``."""
        line = file.readline(LINE_CHARACTERS_MAX)
        try:
            header: Any = json.loads(line)
            origin, note, said = str(header["origin"]), str(header["checkpoint"]), header.get("begin")
            begin = Begin(str(said["checkpoint"]), tuple(map(bytes.fromhex, said["peaks"]))) if said else None
        except (ValueError, TypeError, KeyError, AttributeError):
            origin, note, begin = "", "", None
        if _header(origin, note, begin) != line:
            message = "the file is no export of an audit log"
            raise Damaged(message)
        return cls(origin, note, _rows(file), begin)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return parts of one log as one, in the order in which they are given; whether they fit, ``verify`` finds."""
        if not parts or len({part.origin for part in parts}) > 1:
            message = "parts of one log are needed"
            raise Damaged(message)
        rows = chain.from_iterable(part.rows for part in parts)
        return cls(parts[0].origin, parts[-1].note, rows, parts[0].begin)


def _header(origin: str, note: str, begin: Begin | None) -> str:
    header: dict[str, Any] = {"format": FORMAT, "origin": origin, "checkpoint": note}
    if begin is not None:
        header["begin"] = {"checkpoint": begin.note, "peaks": [peak.hex() for peak in begin.peaks]}
    return json.dumps(header, ensure_ascii=False) + "\n"


def _rows(file: TextIO) -> Iterator[Row]:
    while line := file.readline(LINE_CHARACTERS_MAX):
        yield Row.parse(line)


def _list(line: str) -> tuple[int, str, str]:
    try:
        position, chain, body = json.loads(line)
    except (ValueError, TypeError):
        position, chain, body = None, None, None
    # A line that was cut may still be JSON.
    if not (isinstance(position, int) and isinstance(chain, str) and isinstance(body, str) and line.endswith("\n")):
        message = f"a line is no entry: {line[:80]!r}"
        raise Damaged(message)
    return position, chain, body


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        message = f"a link is no hexadecimal number: {text[:80]!r}"
        raise Damaged(message) from None
