"""The steps of the selftest; each ends when the city has shown that it can, or with a sentence."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.api.device.v1.credential_pb2 import IssuedCredential
from maasloop.core.clock import Clock
from maasloop.stack.doors import MqttListener
from maasloop.stack.errors import StackError

from .city import AIR, BIKE, LAMP, METER, OPEN, POWER, City, until
from .lamp import Lamp

LEVEL_PERCENT = 100.0
WITHDRAWAL_S = 5.0
"""Longest way of a withdrawal to the door and to queries."""
COMMAND_PERIOD_S = 10.0
"""Time from one command to the next under load."""
ENDED = {*Command.State.values()} - {Command.STATE_UNSPECIFIED, *OPEN}


@dataclass(frozen=True, slots=True)
class Step:
    """What was shown, and how long it took."""

    step: str
    seconds: float


class Selftest:
    """An observation there and back, a lamp command verified by the lamp's meter, and a consent withdrawn."""

    def __init__(self, city: City, lamp: Lamp, listener: MqttListener, clock: Clock, wait_s: float) -> None:
        """Wait at most ``wait_s`` for each answer of the city."""
        self._city, self._lamp, self._listener = city, lamp, listener
        self._clock, self._wait_s = clock, wait_s
        self._commands = f"maasloop commands list {city.district}"

    async def run(self, *, load_s: float = 0.0, readings_per_s: int = 0) -> list[Step]:
        """Send readings and commands for ``load_s``, and then try all; raises ``StackError`` with the step that failed."""
        await self._city.describe()
        await self._city.add_devices(self._lamp.installed)
        credential = await self._city.enrol()

        async def load() -> None:
            await self._load(credential, load_s, readings_per_s)

        async def command() -> None:
            await self._command(credential)

        under_load = "what was acknowledged is stored, once, and each command has an outcome"
        loaded = [await self._tried(under_load, load)] if load_s else []
        return [
            *loaded,
            await self._tried("an observation is stored and read", self._observation),
            await self._tried("a lamp obeys, and its meter proves it", command),
            await self._tried("a withdrawn consent silences a series", self._withdrawal),
        ]

    async def _tried(self, name: str, step: Callable[[], Awaitable[None]]) -> Step:
        began_s = self._clock.monotonic_s()
        try:
            await step()
        except TimeoutError:
            message = f"not shown within {self._clock.monotonic_s() - began_s:.0f} s: {name}"
            raise StackError("selftest", message, next_step="read the logs of the services") from None
        return Step(name, round(self._clock.monotonic_s() - began_s, 1))

    async def _observation(self) -> None:
        time_us, power_w = self._clock.now_us(), self._lamp.installed.power_w(80.0)

        async def accepted() -> bool:
            return bool((await self._city.record(LAMP, POWER, [(time_us, power_w)])).accepted_count)

        async def shown() -> bool:
            return (await self._city.latest()).get(LAMP) == power_w

        await until(accepted, self._wait_s)
        await until(shown, self._wait_s)

    async def _load(self, credential: IssuedCredential, load_s: float, readings_per_s: int) -> None:
        async with self._lamp.living(self._listener, credential):
            commanded = asyncio.create_task(self._commanded(load_s))
            try:
                await self._recorded(load_s, readings_per_s)
                await commanded
            finally:
                commanded.cancel()

    async def _commanded(self, load_s: float) -> None:
        """Ask for a level again and again, whoever restarts meanwhile, until every command has an outcome."""
        ends_s = self._clock.monotonic_s() + load_s

        async def issued() -> Command:
            return await self._city.issue(LEVEL_PERCENT)

        left: int | None = None

        async def settled() -> bool:
            nonlocal left
            left = await self._city.open_commands()
            return not left

        while (left_s := ends_s - self._clock.monotonic_s()) > 0.0:
            await until(issued, self._wait_s)
            await self._clock.sleep(min(left_s, COMMAND_PERIOD_S))
        try:
            await until(settled, self._wait_s)
        except TimeoutError:
            counted = "actuation does not say which" if left is None else f"{left} of them"
            message = f"commands have no outcome: {counted}"
            raise StackError("selftest", message, next_step=self._commands) from None

    async def _recorded(self, load_s: float, readings_per_s: int) -> None:
        """Send a batch a second until each is acknowledged, whoever restarts meanwhile, and count what is stored."""
        sent, first_us, last_us = 0, self._clock.now_us(), 0
        ends_s = self._clock.monotonic_s() + load_s
        while self._clock.monotonic_s() < ends_s:
            began_s, last_us = self._clock.monotonic_s(), self._clock.now_us()
            batch = [(last_us - number, float(number)) for number in range(readings_per_s)]

            async def acknowledged(batch: list[tuple[int, float]] = batch) -> bool:
                return (await self._city.record(METER, POWER, batch)).accepted_count == len(batch)

            await until(acknowledged, self._wait_s)
            sent += len(batch)
            await self._clock.sleep(max(0.0, began_s + 1.0 - self._clock.monotonic_s()))

        found: int | None = None

        async def all_stored() -> bool:
            nonlocal found
            found = await self._city.count(METER, first_us - readings_per_s, last_us)
            return found >= sent

        with contextlib.suppress(TimeoutError):
            await until(all_stored, self._wait_s)
        if found != sent:
            counted = "timeseries does not count them" if found is None else f"{found} are stored"
            raise StackError("selftest", f"{sent} readings were acknowledged: {counted}")

    async def _command(self, credential: IssuedCredential) -> None:
        async with self._lamp.living(self._listener, credential):

            async def issued() -> Command:
                return await self._city.issue(LEVEL_PERCENT)

            command = await until(issued, self._wait_s)

            async def ended() -> Command | None:
                found = await self._city.command(command.name)
                return found if found.state in ENDED else None

            found = await until(ended, self._wait_s) or command
        if found.state != Command.STATE_VERIFIED:
            message = f"the lamp's command ended as {Command.State.Name(found.state)} ({found.reason})"
            raise StackError("selftest", message, next_step=self._commands)

    async def _withdrawal(self) -> None:
        value = 12.0

        async def accepted() -> bool:
            return bool((await self._city.record(BIKE, AIR, [(self._clock.now_us(), value)])).accepted_count)

        async def shown() -> bool:
            return BIKE in await self._city.latest()

        async def silent() -> bool:
            refusals = (await self._city.record(BIKE, AIR, [(self._clock.now_us(), value)])).refusals
            return [each.reason for each in refusals] == ["CONSENT_MISSING"] and not await shown()

        record = await self._city.grant()
        await until(accepted, self._wait_s)
        await until(shown, self._wait_s)
        await self._city.withdraw(record)
        await until(silent, WITHDRAWAL_S)
