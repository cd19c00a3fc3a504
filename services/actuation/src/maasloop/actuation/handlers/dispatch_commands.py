"""Accepted commands go to their driver, directly after they are durable, and again until answered or expired."""

from collections.abc import Sequence
from dataclasses import replace

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
RESEND_EVERY_US = 2_000_000
"""Wall time between two attempts to reach a device that does not answer."""


class DispatchCommands:
    """Sends commands and notes that they were sent."""

    def __init__(self, city: City, downlink: Downlink, ledger: Ledger) -> None:
        """Send over the downlink."""
        self._city = city
        self._downlink = downlink
        self._ledger = ledger

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
        for command in list(district.commands.values()):
            unanswered = command.state is State.DISPATCHED and moment.street_us < command.expire_us
            if unanswered and moment.wall_us - command.dispatch_time_us >= RESEND_EVERY_US:
                await self._downlink.send(command)


def _too_late(command: Command, moment: Moment) -> bool:
    late_us = moment.street_us - command.not_before_us
    return isinstance(command.setpoint, SignalSequence) and late_us > SEQUENCE_LATE_MAX_US
