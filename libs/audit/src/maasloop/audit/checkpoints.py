"""Checkpoints: what a log is at a moment, signed, as C2SP tlog-checkpoint.

The body says origin, size and root, and in extension lines the last link of the chain and the time.
"""

import base64
from dataclasses import dataclass
from typing import Self

from .notes import Note, NoteRefused, SigningKey, VerifyingKey
from .tree import HASH_BYTES

_CHAIN, _TIME = "chain ", "time "


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's promise: these were my entries."""

    origin: str
    """Name of the log, which is the name of its key: ``{city}/audit/{service}``."""
    size: int
    root: bytes
    chain: bytes
    """Link of the last entry."""
    time_s: int
    """Seconds since 1970."""

    def body(self) -> str:
        """Return the text that is signed."""
        root, chain = (base64.b64encode(each).decode() for each in (self.root, self.chain))
        return f"{self.origin}\n{self.size}\n{root}\n{_CHAIN}{chain}\n{_TIME}{self.time_s}\n"

    def signed(self, key: SigningKey) -> Note:
        """Return the checkpoint as a note of its log."""
        if key.name != self.origin:
            message = f"the key of {key.name!r} does not sign for {self.origin!r}"
            raise NoteRefused(message)
        return Note(self.body(), (key.sign(self.body()),))

    @classmethod
    def opened(cls, note: Note, key: VerifyingKey) -> Self:
        """Read the checkpoint of a note that ``key`` signed, or raise ``NoteRefused``."""
        if note.signed_by(key) is None:
            message = f"the checkpoint has no valid signature of {key.name}"
            raise NoteRefused(message)
        found = cls.read(note)
        if found.origin != key.name:
            message = f"the checkpoint is of {found.origin!r}, not of {key.name!r}"
            raise NoteRefused(message)
        return found

    @classmethod
    def read(cls, note: Note) -> Self:
        """Read the checkpoint of a note whoever signed it, or raise ``NoteRefused``."""
        lines = note.body.split("\n")[:-1]
        try:
            origin, size, root, chain, time_s = lines
            found = cls(
                origin,
                int(size),
                base64.b64decode(root, validate=True),
                base64.b64decode(chain.removeprefix(_CHAIN), validate=True),
                int(time_s.removeprefix(_TIME)),
            )
        except ValueError:
            message = "not a checkpoint of an audit log"
            raise NoteRefused(message) from None
        if found.body() != note.body or len(found.root) != HASH_BYTES or len(found.chain) != HASH_BYTES:
            message = "the checkpoint is not in its canonical form"
            raise NoteRefused(message)
        return found
