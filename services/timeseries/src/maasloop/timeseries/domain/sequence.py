"""Order in a stream: which messages are to be handled next, and which were handled before.

Skipping by position is safe only if nothing below the position is missing. So messages are taken in order of their
sequence without a hole; a hole is looked up in the stream, and passed only where the stream says that nothing is there.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a stream: a stream that is made again, or set back, begins another."""

    stream: str
    created: str
    epoch: int

    @property
    def live(self) -> bool:
        """Tell whether this is what a live lane stored: its name has the stream's name before a stroke."""
        return "/" in self.stream


@dataclass(slots=True)
class Cursor:
    """How far a writer is in one life of a stream."""

    life: Life
    taken: int
    """Everything up to here is stored or on its way into a transaction."""

    def holes_before(self, sequence: int) -> range:
        """Return the sequences between what was taken and this message."""
        return range(self.taken + 1, sequence)

    def take(self, sequence: int) -> bool:
        """Take a message; false where it was taken before."""
        if sequence <= self.taken:
            return False
        self.taken = sequence
        return True


@dataclass(frozen=True, slots=True)
class Seam:
    """What a live lane stored while another lane reads a backlog: the messages of (after, upto]."""

    after: int
    upto: int

    def holds(self, sequence: int) -> bool:
        """Tell whether the live lane stored a message."""
        return self.after < sequence <= self.upto


def begins_new_epoch(last_sequence: int, committed: int) -> bool:
    """Tell whether a stream was set back: it no longer reaches what was stored from it."""
    return last_sequence < committed
