"""Commands as entries of the audit log: whose they are, by what authority, and which were refused."""

from collections.abc import Sequence

from maasloop.actuation.domain.command import Command, State
from maasloop.audit.entries import Entry, Verb

_VERBS = {State.ACCEPTED: Verb.COMMANDED, State.REFUSED: Verb.REFUSED}


def audit_entries(commands: Sequence[Command]) -> list[str]:
    """Return the entries of commands that were accepted or refused; what becomes of them later is in their table."""
    return [
        Entry(
            time_us=command.create_time_us,
            verb=_VERBS[command.state],
            actor=command.issuer,
            authority=command.authority.name,
            approver=str(getattr(command.setpoint, "approver", "")),
            resource=f"districts/{command.district}/devices/{command.device}",
            outcome=str(command.state),
            reason=command.reason,
            call=command.id,
        ).encode()
        for command in commands
        if command.state in _VERBS
    ]
