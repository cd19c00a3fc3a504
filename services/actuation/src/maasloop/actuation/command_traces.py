"""Which trace each command belongs to, in one place: from the reading that led to it to the reading that proved it.

Kept in memory only: a command that outlives a restart goes on without its trace.
"""

from collections import OrderedDict
from collections.abc import Sequence

from maasloop.actuation.domain.command import Command, State
from maasloop.telemetry import tracing

TRACES_MAX = 20_000
"""Commands whose trace is known; the oldest is forgotten first."""

_BEGINNINGS = frozenset({State.ACCEPTED, State.REFUSED})
_parents: OrderedDict[tuple[str, str], str] = OrderedDict()


def parent(district: str, command: str) -> str:
    """Return the ``traceparent`` of the step that made a command, or an empty text."""
    return _parents.get((district, command), "")


def begin(commands: Sequence[Command]) -> None:
    """Take the present span as the one that these commands come from, where no other is known."""
    traceparent = tracing.inject() if commands else ""
    if not traceparent:
        return
    for command in commands:
        if command.state in _BEGINNINGS:
            _parents.setdefault((command.district, command.id), traceparent)
    while len(_parents) > TRACES_MAX:
        _parents.popitem(last=False)


def heard(commands: Sequence[Command]) -> None:
    """Take what a message changed: commands begin in its span, and one that it proves is verified in its own trace."""
    begin(commands)
    for command in commands:
        if command.state is State.VERIFIED:
            with tracing.follow(
                "verify_command",
                parent(command.district, command.id),
                cause=tracing.inject(),
                district=command.district,
                command=command.id,
                reason=command.reason,
            ):
                pass


def passed(commands: Sequence[Command]) -> None:
    """Take what time alone changed: commands that nothing heard led to begin a trace."""
    begun = [one for one in commands if one.state in _BEGINNINGS and not parent(one.district, one.id)]
    if begun:
        with tracing.span("pass_second", district=begun[0].district):
            begin(begun)
