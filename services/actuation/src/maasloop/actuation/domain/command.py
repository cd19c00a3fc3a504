"""Commands and the states they go through: forward only, every terminal state with a reason."""

from dataclasses import dataclass, replace
from enum import StrEnum

from maasloop.core.reasons import Reason

from .authority import Authority
from .setpoint import Setpoint


class State(StrEnum):
    """Where a command stands."""

    ACCEPTED = "ACCEPTED"
    DISPATCHED = "DISPATCHED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    VERIFIED = "VERIFIED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    SUPERSEDED = "SUPERSEDED"
    REFUSED = "REFUSED"


TERMINAL = frozenset({State.VERIFIED, State.FAILED, State.EXPIRED, State.SUPERSEDED, State.REFUSED})
OPEN = frozenset({State.ACCEPTED, State.DISPATCHED, State.ACKNOWLEDGED})

RANK = {State.ACCEPTED: 1, State.DISPATCHED: 2, State.ACKNOWLEDGED: 3, **dict.fromkeys(TERMINAL, 4)}
"""Order of the states; the store moves a row to a higher rank only."""

_ENDINGS = frozenset({State.FAILED, State.EXPIRED, State.SUPERSEDED})
# An answer may be heard of a command whose dispatch was not written down before the process died.
_NEXT: dict[State, frozenset[State]] = {
    State.ACCEPTED: _ENDINGS | {State.DISPATCHED, State.ACKNOWLEDGED},
    State.DISPATCHED: _ENDINGS | {State.ACKNOWLEDGED, State.VERIFIED},
    State.ACKNOWLEDGED: _ENDINGS | {State.VERIFIED},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request to an actuator and what became of it."""

    id: str
    district: str
    device: str
    setpoint: Setpoint
    authority: Authority
    issuer: str
    """``policies/{policy}``, ``controllers/{device}``, ``overrides/{override}`` or the caller's name."""
    cause: str
    """``{device}/{observed_property}@{event_time_us}``, or what else led to it."""
    state: State
    reason: str = ""
    detail: str = ""
    create_time_us: int
    """Wall time."""
    not_before_us: int
    """District's clock, as the two that follow."""
    expire_us: int
    verify_by_us: int
    """Event time of the last observation that may verify it."""
    dispatch_street_us: int = 0
    """District's clock at its dispatch: no observation from before can verify it."""
    dispatch_time_us: int = 0
    """Wall time."""
    settle_time_us: int = 0
    """Wall time."""
    request_digest: str = ""
    """Of the caller's request, to notice an idempotency key used twice for different things."""

    @property
    def terminal(self) -> bool:
        """Tell whether nothing can change any more."""
        return self.state in TERMINAL


def may_become(present: State, wanted: State) -> bool:
    """Tell whether a command may go from one state to another; never backward, never out of a terminal one."""
    return wanted in _NEXT.get(present, frozenset())


def settled(command: Command, state: State, reason: Reason, detail: str, *, wall_us: int) -> Command | None:
    """Return the command in a terminal state, or nothing where it may not go there."""
    if state not in TERMINAL or not may_become(command.state, state):
        return None
    return replace(command, state=state, reason=str(reason), detail=detail, settle_time_us=wall_us)


def dispatched(command: Command, *, street_us: int, wall_us: int) -> Command | None:
    """Return the command as handed to its driver, or nothing where it went on already.

    One that is sent after it should have begun may be verified that much later.
    """
    if not may_become(command.state, State.DISPATCHED):
        return None
    return replace(
        command,
        state=State.DISPATCHED,
        dispatch_street_us=street_us,
        dispatch_time_us=wall_us,
        verify_by_us=command.verify_by_us + max(0, street_us - command.not_before_us),
    )


def acknowledged(command: Command) -> Command | None:
    """Return the command as one that its device will carry out, or nothing where it went on already."""
    if not may_become(command.state, State.ACKNOWLEDGED):
        return None
    return replace(command, state=State.ACKNOWLEDGED)
