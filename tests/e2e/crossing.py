"""A junction in the street: it plays what it is told, vehicles wait at it, and its loops tell of them."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from maasloop.api.command.v1.command_pb2 import DeviceCommand
from maasloop.api.device.v1.device_pb2 import Device
from maasloop.twin.devices.commands import Answer, signal_sequence
from maasloop.twin.devices.readings import MICROSECONDS, Reading
from maasloop.twin.street.network import GREEN
from maasloop.twin.street.signals import Answer as StreetAnswer
from maasloop.twin.street.signals import SignalDevice
from maasloop.twin.street.site import Junction

if TYPE_CHECKING:
    from tests.e2e.conftest import Link, Town

VEHICLES = 6
HEADWAY_S = 2


class Field:
    """The junction in the street: it plays what it is told, and vehicles wait on one approach."""

    def __init__(self, link: "Link", junction: Junction, *, again: bool = False) -> None:
        """Begin with empty roads; ``again`` lets the next vehicles come as soon as a queue is gone."""
        self.link = link
        self.junction = junction
        self.again = again
        self.device = SignalDevice(junction)
        self.shown: list[tuple[int, str]] = []
        self.queues: dict[str, int] = {}
        self.group = -1
        self.since_s = 0
        self.moving_from_s = 0
        self.left_alone: list[int] = []
        """Seconds in which the local programme ruled."""
        self.ends: dict[str, str] = {}
        """By id of a command: the state in which its sequence ends."""

    def stop(self, second: int) -> None:
        """Let vehicles stop on the lanes of one of the groups that are red."""
        state = self.shown[-1][1]
        groups = self.junction.network.groups
        red = [i for i, group in enumerate(groups) if state[i] == "r" and group.links]
        self.group = next((i for i in red if groups[i].links[0].direction == "s"), red[0])
        lanes = {link.lane for link in groups[self.group].links}
        standing = [loop for loop in self.junction.loops if loop.kind == "stop-line" and loop.serves[0][0] in lanes]
        self.queues = {loop.id: VEHICLES for loop in standing}
        self.since_s, self.moving_from_s = second, 0

    @property
    def emptied(self) -> bool:
        """Tell whether nobody waits any more."""
        return bool(self.queues) and not any(self.queues.values())

    async def empty(self, town: "Town") -> None:
        """Live until the queue is gone and what emptied it is told."""
        await self.live(town, lambda second: self.emptied and second >= self.moving_from_s + VEHICLES * HEADWAY_S + 2)

    async def live(self, town: "Town", ended: Callable[[int], bool]) -> None:
        """Show, tell and obey, second by second."""
        second = town.now_us() // MICROSECONDS
        while not ended(second):
            state = self.device.tick(second)
            self.shown.append((second, state))
            if not self.device.remote:
                self.left_alone.append(second)
            empty = not self.queues or (self.again and self.emptied)
            if empty and self.device.remote and len(self.shown) > 2 and "r" in state:
                self.stop(second)
            signals = Reading(self.junction.id, "signal-state", second * MICROSECONDS, state)
            await self.link.report([*self._loops(second, state), signals])
            second += 1
            await self._obey_until(town, second)

    async def _obey_until(self, town: "Town", second: int) -> None:
        while (left_us := second * MICROSECONDS - town.now_us()) > 0:
            try:
                command = await asyncio.wait_for(self.link.heard.get(), left_us / MICROSECONDS)
            except TimeoutError:
                return
            await self.link.answer(self._obey(command))

    def _obey(self, command: DeviceCommand) -> Answer:
        if command.setpoint.WhichOneof("setpoint") != "signal_sequence":
            self.device.release(self.shown[-1][0] + 1)
            return Answer(command.command_id, command.device)
        groups = tuple(group.id for group in self.junction.network.groups)
        sequence = signal_sequence(command, groups)
        said = self.device.accept(sequence)
        if said is not StreetAnswer.ACCEPTED:
            return Answer(command.command_id, command.device, str(said))
        self.ends[command.command_id] = sequence.steps[-1][1]
        return Answer(command.command_id, command.device)

    def _loops(self, second: int, state: str) -> list[Reading]:
        """Return what the loops see: a vehicle stands on a stop line, or leaves it every ``HEADWAY_S``."""
        green = bool(self.queues) and state[self.group] in GREEN
        if green and not self.moving_from_s:
            self.moving_from_s = second
        moves = green and (second - self.moving_from_s) % HEADWAY_S == HEADWAY_S - 1
        said: list[Reading] = []
        for loop in self.junction.loops:
            waiting = self.queues.get(loop.id, 0)
            leaves = moves and waiting > 0
            if loop.id in self.queues:
                self.queues[loop.id] = waiting - leaves
            covered = 0.5 if leaves else float(waiting > 0)
            said.append(Reading(loop.id, "vehicle-count", second * MICROSECONDS, float(leaves)))
            said.append(Reading(loop.id, "occupancy", second * MICROSECONDS, covered))
        return said


async def register(town: "Town", junction: Junction) -> None:
    """Register its controller and its loops; return when ingest and actuation know them."""
    controller = Device(name=junction.id, device_type="deviceTypes/signal-controller")
    controller.config.update(junction.sheet)
    loops = [
        Device(name=loop.id, device_type="deviceTypes/induction-loop", gateway=junction.id) for loop in junction.loops
    ]
    probe = Reading(junction.loops[-1].id, "occupancy", town.now_us() - MICROSECONDS, 0.0)
    await town.add_devices([controller, *loops], probe)
