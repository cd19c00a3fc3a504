"""What a log says: who did what to which resource, on whose authority, and how it ended.

An entry is stored as canonical JSON (RFC 8785): anybody can read it, and its hash is the same in every language. Fields
without a value are left out. Times are microseconds since 1970-01-01T00:00:00Z.
"""

import json
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

TEXT_CHARACTERS_MAX = 512
"""A field keeps this many characters: an entry is a row, not a payload."""


class Verb(StrEnum):
    """What somebody did."""

    ASKED = "asked"
    """A call was let in; written before it does anything."""
    READ = "read"
    """A call gave personal data."""
    CHANGED = "changed"
    """A call succeeded that changes something."""
    COMMANDED = "commanded"
    """A command to a device was accepted."""
    REFUSED = "refused"
    """A call or a command had no right, or a rule forbade it."""
    FAILED = "failed"
    """A call that was let in did not succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a log. Personal data has no place here: see ``pseudonyms``."""

    time_us: int
    verb: Verb
    actor: str
    """``{kind}/{name}`` of who did it; ``nobody`` where nobody was identified."""
    authority: str = ""
    """The role, the grant, or the rank of a command that allowed it."""
    credential: str = ""
    """Identifier of the credential that was shown; never the credential."""
    approver: str = ""
    """The second person, where two are needed."""
    method: str = ""
    """``package.Service/Method`` of the call."""
    resource: str = ""
    """Resource name of what it was done to."""
    outcome: str = ""
    """Canonical code of the call, or state of the command."""
    reason: str = ""
    """Why it was refused or failed: a name of ``maasloop.api.common.v1.ErrorReason``."""
    call: str = ""
    """Joins the entries of one call."""
    trace: str = ""
    """Trace id, 32 hexadecimal digits."""

    def encode(self) -> str:
        """Return the canonical text."""
        said = {name: _clean(value) for name in _NAMES if (value := getattr(self, name)) != ""}
        return canonical(said)


_NAMES = tuple(each.name for each in fields(Entry))


def canonical(value: dict[str, str | int]) -> str:
    """Return the RFC 8785 form of an object with ASCII keys, texts and integers below 2^53."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def decode(text: str) -> Entry:
    """Read an entry, or raise ``ValueError``; only the canonical text of an entry is one."""
    said: Any = json.loads(text)
    if not isinstance(said, dict) or not said.keys() <= set(_NAMES) or not isinstance(said.get("time_us"), int):
        message = "not an entry of an audit log"
        raise ValueError(message)
    try:
        entry = Entry(**{**said, "verb": Verb(said.get("verb", ""))})
    except TypeError:
        message = "an entry of an audit log lacks a field"
        raise ValueError(message) from None
    if entry.encode() != text:
        message = "an entry of an audit log is not in its canonical form"
        raise ValueError(message)
    return entry


def _clean(value: str | int) -> str | int:
    """Return a text that UTF-8 and a table can hold, cut to its limit."""
    if isinstance(value, int):
        return value
    text = str(value).replace("\x00", "")[:TEXT_CHARACTERS_MAX]
    return text.encode("utf-8", "replace").decode("utf-8")
