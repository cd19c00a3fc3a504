"""A witness remembers the newest checkpoint it has seen of each log, and signs only what continues it.

A log that shows different entries to different people needs two checkpoints that do not follow from each other (a
fork); a witness sees both or none. What it remembers is a text, for whoever stores it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .checkpoints import Checkpoint
from .notes import Note, NoteRefused, SigningKey, VerifyingKey
from .tree import verify_consistency


class Forked(Exception):
    """Two checkpoints of one log contradict each other; both notes are the evidence."""

    def __init__(self, message: str, seen: str, shown: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.seen = seen
        self.shown = shown


class ProofMissing(ValueError):
    """A checkpoint may be right, but nothing proves that it continues the one seen before."""


@dataclass(slots=True)
class Witness:
    """Cosigns checkpoints of known logs."""

    key: SigningKey
    logs: dict[str, VerifyingKey]
    """By origin, who signs its checkpoints."""
    seen: dict[str, str] = field(default_factory=dict)
    """By origin, the newest checkpoint that was cosigned, as a note."""

    def cosign(self, text: str, previous_size: int, proof: Sequence[bytes], *, time_s: int) -> Note:
        """Return the note with a cosignature, and remember it.

        ``proof`` shows that the checkpoint continues the log at ``previous_size``. Raises ``Forked``, ``ProofMissing``
        where it begins elsewhere than at what was seen, and ``NoteRefused``.
        """
        note = Note.parse(text)
        origin = note.body.partition("\n")[0]
        if origin not in self.logs:
            message = f"no key of the log {origin[:80]!r} is known"
            raise NoteRefused(message)
        shown = Checkpoint.opened(note, self.logs[origin])
        known = self.seen.get(origin)
        if known is not None:
            self._require_continued(Checkpoint.read(Note.parse(known)), shown, previous_size, proof, (known, text))
        cosigned = Note(note.body, note.signatures[:1]).signed(self.key, time_s=time_s)
        if known is None or shown.size >= Checkpoint.read(Note.parse(known)).size:
            self.seen[origin] = str(cosigned)
        return cosigned

    def _require_continued(
        self, seen: Checkpoint, shown: Checkpoint, previous_size: int, proof: Sequence[bytes], notes: tuple[str, str]
    ) -> None:
        if shown.size == seen.size:
            if (shown.root, shown.chain) == (seen.root, seen.chain):
                return
            message = f"{shown.origin} signed two different logs of {shown.size} entries"
            raise Forked(message, *notes)
        if shown.size < seen.size:
            message = f"a log of {seen.size} entries was seen, one of {shown.size} proves nothing"
            raise ProofMissing(message)
        if previous_size != seen.size:
            message = f"a log of {seen.size} entries was seen, the proof begins at {previous_size}"
            raise ProofMissing(message)
        if not verify_consistency(seen.size, seen.root, shown.size, shown.root, proof):
            message = f"the {shown.size} entries of {shown.origin} do not begin with the {seen.size} that were seen"
            raise Forked(message, *notes)
