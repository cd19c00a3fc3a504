"""A person, or another service, asks for a setpoint of one device."""

import dataclasses
import hashlib

from maasloop.actuation.domain.approval import alone
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Command
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.issuing import Request, command_id, issue
from maasloop.actuation.ports import Ledger, Records
from maasloop.core.errors import FailedPrecondition, NotFound, Unavailable
from maasloop.core.reasons import Reason


class IssueCommand:
    """Issues a command; a refusal by arbitration or by the kernel is a result."""

    def __init__(self, city: City, ledger: Ledger, records: Records) -> None:
        """Work on the city's state."""
        self._city = city
        self._ledger = ledger
        self._records = records

    async def __call__(self, district: District, request: Request, moment: Moment) -> Command:
        """Return the durable command; the same request again gives the same one."""
        request = dataclasses.replace(request, setpoint=alone(request.setpoint), digest=digest_of(request))
        known = await self._known(district, request)
        if known is not None:
            return known
        device = district.device(request.device)
        if device is None:
            message = f"no device {request.device} in district {district.id}"
            raise NotFound(
                Reason.DEVICE_UNKNOWN, message, {"name": f"districts/{district.id}/devices/{request.device}"}
            )
        batch = issue(district, self._city.capabilities_of(device), request, moment)
        await self._ledger.commit(batch)
        own = _own(batch, command_id(district.id, request)) or await self._known(district, request)
        if own is None:
            message = "the same request is under way in another call"
            raise Unavailable(Reason.OVERLOADED, message)
        return own

    async def _known(self, district: District, request: Request) -> Command | None:
        name = command_id(district.id, request)
        known = district.commands.get(name) or await self._records.command(district.id, name)
        if known is not None and known.request_digest != request.digest:
            message = "this request_id came with another command before"
            raise FailedPrecondition(Reason.REQUEST_ID_REUSED, message)
        return known


def digest_of(request: Request) -> str:
    """Return what must be the same when an idempotency key comes again."""
    text = repr((request.device, request.setpoint, request.authority, request.not_before_us, request.expire_us))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _own(batch: Batch, name: str) -> Command | None:
    """Return the command that a batch is about; nothing where the same request came in another call at the same time."""
    return next((command for command in reversed(batch.commands) if command.id == name), None)
