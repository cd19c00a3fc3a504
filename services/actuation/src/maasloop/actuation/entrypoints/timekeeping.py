"""Time that passes sets steps going too.

Patience with a second ends, commands expire, devices that are silent are asked again, controllers of wall-clock
districts look at their junctions.

Task: ``run``; a step that fails is logged and the next one comes.
"""

import structlog

from maasloop.actuation import command_traces
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.entrypoints.in_hand import acknowledging
from maasloop.actuation.entrypoints.steps import Steps
from maasloop.core.clock import Clock

TICK_S = 0.1
RESEND_EVERY_TICKS = 5
LEFT_AFTER_US = 2_000_000

_log = structlog.get_logger()


class Timekeeping:
    """Beats."""

    def __init__(self, steps: Steps, clock: Clock) -> None:
        """Set these steps going."""
        self._steps = steps
        self._clock = clock
        self._second = 0
        self._ticks = 0

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            await self._clock.sleep(TICK_S)
            try:
                await self._tick()
            except Exception:
                _log.exception("tick_failed")

    async def _tick(self) -> None:
        self._ticks += 1
        second = self._clock.now_us() // 1_000_000
        new_second, self._second = second != self._second, second
        await self._steps.room()
        batch, done = Batch(), []
        for district in list(self._steps.city.districts.values()):
            decided, messages = self._steps.decide_ready(district)
            batch.merge(decided)
            done += messages
            if new_second:
                batch.merge(self._steps.pass_second(district))
        if batch:
            command_traces.passed(batch.commands)
            self._steps.start(batch, acknowledging(done))
        await acknowledging(self._steps.in_hand.overdue(self._clock.monotonic_s()))()
        if self._ticks % RESEND_EVERY_TICKS == 0:
            for district in list(self._steps.city.districts.values()):
                left = [one for one in district.commands.values() if self._left(one)]
                await self._steps.send(left, perhaps_again=True)
                await self._steps.dispatch.resend(district, self._steps.moment(district))

    def _left(self, command: Command) -> bool:
        """Tell whether a command was accepted a while ago, before a restart, and not sent since."""
        age_us = self._clock.now_us() - command.create_time_us
        return command.state is State.ACCEPTED and age_us > LEFT_AFTER_US and self._steps.idle
