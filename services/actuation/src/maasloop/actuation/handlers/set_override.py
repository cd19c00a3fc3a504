"""A person holds a setpoint on a device or a group until an end time."""

from maasloop.actuation.domain import holding
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.journal import Entry, JournalEntry
from maasloop.actuation.domain.override import LENGTH_MAX_S, Override
from maasloop.actuation.domain.reading import SECOND_US
from maasloop.actuation.domain.setpoint import LightLevel, LocalControl
from maasloop.actuation.ports import Ledger, Records
from maasloop.core.errors import FailedPrecondition, InvalidArgument, NotFound
from maasloop.core.reasons import Reason

LENGTH_MAX_US = LENGTH_MAX_S * SECOND_US


class SetOverride:
    """Sets an override; what the kernel refuses of it shows in the commands that carry it."""

    def __init__(self, city: City, ledger: Ledger, records: Records) -> None:
        """Work on the city's state."""
        self._city = city
        self._ledger = ledger
        self._records = records

    async def __call__(self, district: District, override: Override, moment: Moment) -> tuple[Override, Batch]:
        """Return the durable override and what it leads to; the same request again gives the same one."""
        known = await self._records.override(district.id, override.id)
        if known is not None:
            if known.request_digest != override.request_digest:
                raise FailedPrecondition(Reason.REQUEST_ID_REUSED, "this request_id came with another override before")
            return known, Batch()
        _require_sound(district, override, moment)
        district.overrides[override.id] = override
        batch = Batch(overrides=[override])
        target = override.device or override.group
        batch.journal.append(
            JournalEntry(
                moment.wall_us, district.id, Entry.OVERRIDE_SET, target, override.issuer, "", override.justification
            )
        )
        batch.merge(holding.begin(self._city, district, override, moment))
        await self._ledger.commit(batch)
        return override, batch


def _require_sound(district: District, override: Override, moment: Moment) -> None:
    if not moment.street_us < override.end_us <= moment.street_us + LENGTH_MAX_US:
        message = "end_time must lie ahead on the district's clock, at most 24 hours"
        raise InvalidArgument(Reason.EXPIRY_INVALID, message)
    if override.authority not in {Authority.OPERATOR, Authority.EMERGENCY}:
        message = "an override has the authority of an operator or of an emergency service"
        raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "override.authority", "rule": "in"})
    if not isinstance(override.setpoint, LightLevel | LocalControl):
        message = "only a light level and local control can be held; issue anything else as a command"
        raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "override.setpoint", "rule": "in"})
    if override.device and district.device(override.device) is None:
        message = f"no device {override.device} in district {district.id}"
        raise NotFound(Reason.DEVICE_UNKNOWN, message, {"name": f"districts/{district.id}/devices/{override.device}"})
    if override.group and not holding.targets(district, override):
        message = f"no actuator in group {override.group} of district {district.id}"
        raise NotFound(Reason.RESOURCE_NOT_FOUND, message, {"name": override.group})
    if district.released:
        message = f"district {district.id} is under local control; resume it first"
        raise FailedPrecondition(Reason.LOCAL_CONTROL, message)
