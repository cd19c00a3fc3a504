"""A traffic signal controller on the network: it speaks for its loops, and obeys sequences as the street's part says."""

from collections.abc import Mapping

from maasloop.api.command.v1.command_pb2 import DeviceCommand
from maasloop.twin.devices.commands import Answer, signal_sequence
from maasloop.twin.devices.readings import MICROSECONDS, Reading
from maasloop.twin.street.signals import Answer as StreetAnswer
from maasloop.twin.street.signals import SignalDevice
from maasloop.twin.street.simulation import LoopReading
from maasloop.twin.street.site import Junction

OCCUPANCY_DIGITS = 4
"""Decimal places of what a loop reports."""


class SignalController:
    """One controller and the loops of its junction."""

    def __init__(self, junction: Junction) -> None:
        """Begin in the local programme."""
        self.id = junction.id
        self.heard_devices: tuple[str, ...] = (junction.id,)
        self.device = SignalDevice(junction)
        self._junction = junction
        self._groups = tuple(group.id for group in junction.network.groups)
        self._second = 0
        self._refused_at_start = 0

    def hear(self, command: DeviceCommand) -> Answer:
        """Take or refuse a command."""
        if command.setpoint.WhichOneof("setpoint") == "local_control":
            self.device.release(self._second + 1)
            return Answer(command.command_id, self.id)
        said = self.device.accept(signal_sequence(command, self._groups))
        return Answer(command.command_id, self.id, "" if said is StreetAnswer.ACCEPTED else str(said))

    def show(self, second: int) -> str:
        """Return the state that the signals show in this second."""
        self._second = second
        return self.device.tick(second)

    def late_answers(self) -> list[Answer]:
        """Return refusals of sequences that were accepted and found another state when they were to begin."""
        found = self.device.refused_at_start[self._refused_at_start :]
        self._refused_at_start += len(found)
        return [Answer(command_id, self.id, str(StreetAnswer.START_STATE_DIFFERS)) for command_id in found]

    def readings(self, second: int, state: str, loops: Mapping[str, LoopReading]) -> list[Reading]:
        """Return what loops and signals showed in this second."""
        return [
            *loop_readings(self._junction, second, loops),
            Reading(self.id, "signal-state", second * MICROSECONDS, state),
        ]


def loop_readings(junction: Junction, second: int, loops: Mapping[str, LoopReading]) -> list[Reading]:
    """Return what the loops of a junction saw in a second."""
    time_us = second * MICROSECONDS
    said: list[Reading] = []
    for loop in junction.loops:
        seen = loops[loop.id]
        said.append(Reading(loop.id, "vehicle-count", time_us, float(seen.count)))
        said.append(Reading(loop.id, "occupancy", time_us, round(seen.occupancy, OCCUPANCY_DIGITS)))
    return said
