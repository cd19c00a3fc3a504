"""Overrides at work: their setpoint is asked for at once, and again before a command that carries it expires."""

from .arbitration import Holder
from .batch import Batch
from .city import City
from .district import District, Moment
from .issuing import EXPIRY_LAMPS_S, Request, issue
from .lighting import REFRESH_BEFORE_US
from .override import Override
from .reading import SECOND_US
from .setpoint import LightLevel

RETRY_AFTER_US = 30 * SECOND_US
"""A target that refused an override is asked again no sooner."""


def targets(district: District, override: Override) -> list[str]:
    """Return the devices an override is about: itself, or the actuators of its group, in order."""
    if override.device:
        return [override.device]
    lamps = district.facts.lamps_of_group.get(override.group, set())
    junctions = [name for name in district.facts.junctions if override.group in district.facts.groups_of(name)]
    return sorted({*lamps, *junctions})


def begin(city: City, district: District, override: Override, moment: Moment) -> Batch:
    """Ask for the setpoint of a new override on all its targets."""
    batch = Batch()
    for device in targets(district, override):
        batch.merge(_ask(city, district, override, device, moment))
    return batch


def refresh(city: City, district: District, moment: Moment) -> Batch:
    """Ask again where an override is in force and its command is gone or ends before it."""
    batch = Batch()
    if district.released:
        return batch
    for override in list(district.overrides.values()):
        if not override.in_force(moment.street_us) or not isinstance(override.setpoint, LightLevel):
            continue
        for device in targets(district, override):
            if _lacks(district, override, device, moment):
                batch.merge(_ask(city, district, override, device, moment))
    return batch


def _lacks(district: District, override: Override, device: str, moment: Moment) -> bool:
    strongest = next(iter(district.overrides_on(device, moment.street_us)), None)
    if strongest is None or strongest.id != override.id:
        return False
    open_command = district.open_command(device)
    if open_command is not None and open_command.issuer == override.issuer:
        return False
    holder = district.holders.get(device)
    if holder is not None and _gives_way(override, holder, moment):
        return False
    if holder is None or holder.issuer != override.issuer:
        # It failed, or another one's lease is over: not every second again.
        return (moment.street_us // SECOND_US) % (RETRY_AFTER_US // SECOND_US) == 0
    return holder.until_us < override.end_us and holder.until_us - moment.street_us < REFRESH_BEFORE_US


def _gives_way(override: Override, holder: Holder, moment: Moment) -> bool:
    """Tell whether somebody of the same rank asked for something else since, as long as that lasts."""
    newer = holder.authority == override.authority and holder.since_us > override.create_time_us
    return newer and holder.issuer != override.issuer and holder.until_us > moment.street_us


def _ask(city: City, district: District, override: Override, device: str, moment: Moment) -> Batch:
    expire_us = 0
    if isinstance(override.setpoint, LightLevel):
        expire_us = min(override.end_us, moment.street_us + EXPIRY_LAMPS_S * SECOND_US)
    request = Request(
        device=device,
        setpoint=override.setpoint,
        authority=override.authority,
        issuer=override.issuer,
        cause=override.issuer,
        seed=f"{moment.street_us}",
        expire_us=expire_us,
    )
    return issue(district, city.capabilities_of(district.device(device)), request, moment)


def let_go(district: District, override: Override, moment: Moment) -> None:
    """Forget the leases of an override that ended: whoever comes next may take its targets."""
    for device in [name for name, one in district.holders.items() if one.issuer == override.issuer]:
        del district.holders[device]
    for wanted in district.wanted.values():
        wanted.retry_us = min(wanted.retry_us, moment.street_us)
