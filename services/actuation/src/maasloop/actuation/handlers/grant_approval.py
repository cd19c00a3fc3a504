"""A second person agrees to what one person asked for, and it becomes a command."""

from maasloop.actuation.domain.approval import granted
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Command
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.issuing import Request, command_id, issue
from maasloop.actuation.ports import Approvals, Ledger, Records
from maasloop.core.errors import FailedPrecondition, NotFound
from maasloop.core.reasons import Reason


class GrantApproval:
    """Grants a request once, and issues its command; where the process died in between, a second call issues it."""

    def __init__(self, city: City, ledger: Ledger, records: Records, approvals: Approvals) -> None:
        """Work on the city's state."""
        self._city = city
        self._ledger = ledger
        self._records = records
        self._approvals = approvals

    async def __call__(
        self, district: District, name: str, approver: str, moment: Moment, *, by_person: bool
    ) -> Command:
        """Return the command; a refusal by arbitration or by the kernel is one, too."""
        approval = await self._approvals.get(district.id, name)
        if approval is None:
            resource = f"districts/{district.id}/approvals/{name}"
            raise NotFound(Reason.RESOURCE_NOT_FOUND, f"no approval {resource}", {"name": resource})
        agreed = granted(approval, approver, by_person=by_person, wall_us=moment.wall_us)
        if not await self._approvals.grant(agreed):
            raise FailedPrecondition(Reason.STATE_FORBIDS, "somebody else granted it", {"state": "GRANTED"})
        request = Request(
            device=agreed.device,
            setpoint=agreed.agreed,
            authority=Authority.OPERATOR,
            issuer=agreed.requester,
            cause=f"approvals/{agreed.id}",
            seed=f"approvals/{agreed.id}",
        )
        device = district.device(agreed.device)
        if device is None:
            resource = f"districts/{district.id}/devices/{agreed.device}"
            raise NotFound(Reason.DEVICE_UNKNOWN, f"no device {agreed.device} in {district.id}", {"name": resource})
        batch = issue(district, self._city.capabilities_of(device), request, moment)
        await self._ledger.commit(batch)
        identity = command_id(district.id, request)
        own = next((command for command in reversed(batch.commands) if command.id == identity), None)
        own = own or district.commands.get(identity) or await self._records.command(district.id, identity)
        if own is None:
            raise FailedPrecondition(Reason.STATE_FORBIDS, "its command is not known any more", {"state": "GRANTED"})
        return own
