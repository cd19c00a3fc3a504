"""At start: what is in force comes back from the database, so that nothing is forgotten and nothing begins anew."""

from collections.abc import Iterable

from maasloop.actuation.domain.arbitration import Holder
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import OPEN, Command, State, settled
from maasloop.actuation.domain.district import District, Wanted
from maasloop.actuation.domain.lamps.lamp import LampState
from maasloop.actuation.domain.override import Override
from maasloop.actuation.domain.plans.setpoints import ControllerOrder
from maasloop.actuation.domain.policy import Policy
from maasloop.actuation.domain.setpoint import LightLevel, SignalSequence, holds
from maasloop.core.reasons import Reason

_POLICIES = "policies/"


def restore(
    city: City,
    *,
    policies: Iterable[Policy],
    open_commands: Iterable[Command],
    leases: Iterable[Command],
    overrides: Iterable[Override],
    released: Iterable[str],
    monotonic_s: float,
) -> None:
    """Fill an empty city. Leases are the newest commands of their devices."""
    for policy in policies:
        city.put_policy(policy)
    for command in leases:
        if command.state in OPEN or command.state is State.VERIFIED:
            _restore_lease(city.district(command.district), command)
    for command in open_commands:
        district = city.district(command.district)
        district.keep(command)
        district.clock.resume(command.dispatch_street_us, monotonic_s)
    for override in overrides:
        city.district(override.district).overrides[override.id] = override
    for name in released:
        city.district(name).released = True


def unsent(city: City, wall_us: int) -> Batch:
    """Settle the sequences that were accepted and, as far as is known, never sent: their beginning has passed.

    Levels of lamps and local control are sent now; a device drops an id that it knows.
    """
    batch = Batch()
    for district in city.districts.values():
        for command in list(district.commands.values()):
            if command.state is State.ACCEPTED and isinstance(command.setpoint, SignalSequence):
                detail = "the service restarted before it was sent"
                ended = settled(command, State.EXPIRED, Reason.COMMAND_EXPIRED, detail, wall_us=wall_us)
                if ended is not None:
                    district.keep(ended)
                    batch.commands.append(ended)
    return batch


def _restore_lease(district: District, command: Command) -> None:
    holder = Holder(command.authority, command.issuer, command.expire_us, command.id, command.create_time_us)
    if isinstance(command.setpoint, LightLevel):
        level = command.setpoint.level_percent
        district.lamp_states[command.device] = LampState(
            level, level, command.not_before_us, 0.0, command.expire_us, command.not_before_us
        )
        if command.issuer.startswith(_POLICIES):
            name = command.issuer.removeprefix(_POLICIES)
            district.wanted[command.device] = Wanted({name: level}, command.cause)
        district.holders[command.device] = holder
    elif isinstance(command.setpoint, SignalSequence):
        district.holders[command.device] = holder
        district.restored_sequences[command.device] = command
    elif isinstance(command.setpoint, ControllerOrder) and holds(command.setpoint):
        district.holders[command.device] = holder
