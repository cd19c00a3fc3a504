"""What one person alone may not order: it waits for a second one, who is another and a person, and not for long."""

from dataclasses import dataclass, replace

from maasloop.core.errors import FailedPrecondition, PermissionDenied
from maasloop.core.reasons import Reason

from .plans.setpoints import ClockSetting, Mode, OperatingMode, SecurityCodeChange
from .setpoint import Setpoint

_APPROVED = (OperatingMode, ClockSetting, SecurityCodeChange)

PATIENCE_US = 15 * 60 * 1_000_000
"""Wall time in which the second person must agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A request of one person, and who else agreed."""

    id: str
    district: str
    device: str
    setpoint: Setpoint
    justification: str
    requester: str
    create_time_us: int
    """Wall time."""
    approver: str = ""
    """Empty while it is pending."""

    @property
    def expire_us(self) -> int:
        """Return until when it can be granted, in wall time."""
        return self.create_time_us + PATIENCE_US

    @property
    def agreed(self) -> Setpoint:
        """Return the setpoint with the second person in it."""
        if isinstance(self.setpoint, _APPROVED):
            return replace(self.setpoint, approver=self.approver)
        return self.setpoint


def needs_approval(setpoint: Setpoint) -> bool:
    """Tell whether one person alone may not order this."""
    if isinstance(setpoint, OperatingMode):
        return setpoint.mode is Mode.DARK
    return isinstance(setpoint, _APPROVED)


def alone(setpoint: Setpoint) -> Setpoint:
    """Return the setpoint as one person may ask for it: who says that somebody else agreed proves nothing."""
    return replace(setpoint, approver="") if isinstance(setpoint, _APPROVED) else setpoint


def granted(approval: Approval, approver: str, *, by_person: bool, wall_us: int) -> Approval:
    """Return the approval as granted, or refuse; the same person may agree again."""
    if not by_person or approver == approval.requester:
        message = f"a person other than {approval.requester} must agree"
        raise PermissionDenied(Reason.APPROVAL_MISSING, message, {"principal": approver})
    if approval.approver not in {"", approver}:
        raise FailedPrecondition(Reason.STATE_FORBIDS, "it is granted already", {"state": "GRANTED"})
    if wall_us >= approval.expire_us:
        message = "it was not granted within 15 minutes; ask again"
        raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": "EXPIRED"})
    return replace(approval, approver=approver)
