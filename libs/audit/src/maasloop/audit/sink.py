"""Where entries go: the one thing that doors and handlers know of a log."""

from typing import Protocol

from .entries import Entry


class AuditSink(Protocol):
    """Takes entries of one log."""

    async def record(self, entry: Entry) -> None:
        """Return when the entry is durable, or raise ``Unavailable`` (AUDIT_UNAVAILABLE): what it tells must not happen."""
        ...

    def note(self, entry: Entry) -> None:
        """Let the entry become durable soon; for what has happened already. Never waits."""
        ...

    def note_refusal(self, entry: Entry) -> None:
        """Do the same at a limited rate, so that a flood of refusals fills no disk; what is beyond is counted."""
        ...
