"""Somebody asks for what needs a second person."""

from maasloop.actuation.domain.approval import Approval, needs_approval
from maasloop.actuation.domain.district import District
from maasloop.actuation.ports import Approvals
from maasloop.core.errors import FailedPrecondition, InvalidArgument, NotFound
from maasloop.core.reasons import Reason


class RequestApproval:
    """Stores the request; nothing happens until somebody else agrees."""

    def __init__(self, approvals: Approvals) -> None:
        """Keep requests here."""
        self._approvals = approvals

    async def __call__(self, district: District, approval: Approval) -> Approval:
        """Return the durable request; the same one again gives the stored one."""
        if not approval.requester:
            message = "callers are not identified here, so that nobody could be the second person"
            raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": "CALLERS_UNKNOWN"})
        if not needs_approval(approval.setpoint):
            message = "no second person is needed for this; issue it as a command"
            raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "approval.setpoint", "rule": "in"})
        if district.device(approval.device) is None:
            name = f"districts/{district.id}/devices/{approval.device}"
            raise NotFound(Reason.DEVICE_UNKNOWN, f"no device {approval.device} in {district.id}", {"name": name})
        stored = await self._approvals.add(approval)
        if (stored.device, stored.setpoint, stored.requester) != (
            approval.device,
            approval.setpoint,
            approval.requester,
        ):
            raise FailedPrecondition(Reason.REQUEST_ID_REUSED, "this request_id came with another request before")
        return stored
