"""Accepted commands go to their driver, directly after they are durable, and again until answered or expired.

Repetitions pause longer each time and come in bounded lots: devices that are late because they have much to do, as a
district at dusk has behind one cabinet, must not get more to do for being late.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Command, State, dispatched, settled
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.failing import failed
from maasloop.actuation.domain.setpoint import SignalSequence
from maasloop.actuation.ports import Downlink, Ledger
from maasloop.core.reasons import Reason

SEQUENCE_LATE_MAX_US = 1_000_000
"""A sequence is not begun later than this: the street it was made for is another one then."""
RESEND_FIRST_US = 2_000_000
"""Wall time after which a device that has not answered hears a command again; then the pause doubles."""
RESEND_PAUSE_MAX_US = 8_000_000
"""Longest pause: a device that comes back hears its command within this time."""
RESENT_AT_ONCE_MAX = 100
"""Repetitions of one district that leave together; those that are due longest go first."""


@dataclass(slots=True)
class _Repetition:
    """When a command is to be sent again, wall time, and the pause before that."""

    due_us: int
    pause_us: int


class DispatchCommands:
    """Sends commands and notes that they were sent."""

    def __init__(self, city: City, downlink: Downlink, ledger: Ledger) -> None:
        """Send over the downlink."""
        self._city = city
        self._downlink = downlink
        self._ledger = ledger
        self._repetitions: dict[str, dict[str, _Repetition]] = {}
        """Of commands without an answer, by district and id."""

    async def __call__(self, commands: Sequence[Command], moment: Moment, *, perhaps_again: bool = False) -> None:
        """Send durable commands; one that changed meanwhile, or whose expiry passed, stays here.

        ``perhaps_again`` = they may have been sent before a restart, so that observations from since then count.
        """
        for command in commands:
            district = self._city.district(command.district)
            current = district.commands.get(command.id)
            if current is None or current.state is not State.ACCEPTED or current.expire_us <= moment.street_us:
                continue
            if _too_late(current, moment):
                self._give_up(district, current, moment)
                continue
            sent = dispatched(current, street_us=moment.street_us, wall_us=moment.wall_us)
            if sent is None:
                continue
            if perhaps_again:
                sent = replace(sent, dispatch_street_us=min(sent.dispatch_street_us, sent.not_before_us))
            district.keep(sent)
            # Handed over before the device can answer, so that its answer is not written down first.
            self._ledger.defer(Batch(commands=[sent]))
            await self._downlink.send(sent)

    def _give_up(self, district: District, command: Command, moment: Moment) -> None:
        detail = "it became durable after its beginning and was not sent"
        ended = settled(command, State.EXPIRED, Reason.COMMAND_EXPIRED, detail, wall_us=moment.wall_us)
        if ended is not None:
            district.keep(ended)
            failed(district, ended, moment)
            self._ledger.defer(Batch(commands=[ended]))

    async def resend(self, district: District, moment: Moment) -> None:
        """Send again what no device has answered for a while; it carries the same id, which a device drops."""
        known, unanswered = self._repetitions.get(district.id, {}), {}
        for command in district.commands.values():
            if command.state is State.DISPATCHED and moment.street_us < command.expire_us:
                first = _Repetition(command.dispatch_time_us + RESEND_FIRST_US, RESEND_FIRST_US)
                unanswered[command.id] = known.get(command.id, first)
        self._repetitions[district.id] = unanswered
        due = [name for name, repetition in unanswered.items() if repetition.due_us <= moment.wall_us]
        for name in sorted(due, key=lambda name: unanswered[name].due_us)[:RESENT_AT_ONCE_MAX]:
            late = district.commands.get(name)
            if late is None or late.state is not State.DISPATCHED:
                # It was answered while others were sent.
                continue
            repetition = unanswered[name]
            repetition.pause_us = min(2 * repetition.pause_us, RESEND_PAUSE_MAX_US)
            repetition.due_us = moment.wall_us + repetition.pause_us
            await self._downlink.send(late)


def _too_late(command: Command, moment: Moment) -> bool:
    late_us = moment.street_us - command.not_before_us
    return isinstance(command.setpoint, SignalSequence) and late_us > SEQUENCE_LATE_MAX_US
