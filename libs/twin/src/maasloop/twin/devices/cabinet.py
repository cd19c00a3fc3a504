"""A street cabinet: it speaks for its lamps, their presence detectors and their power meters.

A lamp tells of presence when it changes, of level and power after a command and when they settle, and of all of them
once in a while.
Some lamps misbehave on purpose: one kind refuses what it is told, the other falls silent when it is spoken to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from maasloop.api.command.v1.command_pb2 import DeviceCommand
from maasloop.twin.devices.commands import Answer, light_command
from maasloop.twin.devices.lamp import Lamp
from maasloop.twin.devices.lighting import LampPlace
from maasloop.twin.devices.readings import MICROSECONDS, Reading

HEARTBEAT_S = 60
RAMP_REPORT_S = 5
SILENCE_S = 60
ANSWERS_REMEMBERED_MAX = 64
CHANGE_MIN_PERCENT = 1.0
TROUBLE_AFTER_S = 45
"""A troubled lamp behaves for this long, so that it is known before it fails."""


class Trouble(Enum):
    """What is wrong with a lamp."""

    NONE = auto()
    REFUSING = auto()
    SILENT = auto()


@dataclass
class MountedLamp:
    """A lamp on its pole with what it said last."""

    place: LampPlace
    lamp: Lamp
    trouble: Trouble = Trouble.NONE
    present: bool | None = None
    said_percent: float | None = None
    silent_until: int = 0
    refused: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    ignored: set[str] = field(default_factory=set)
    answers: dict[str, Answer] = field(default_factory=dict)


class Cabinet:
    """One cabinet and its lamps."""

    def __init__(self, cabinet_id: str, lamps: Sequence[MountedLamp], *, begin_s: int) -> None:
        """Stand there before second ``begin_s``."""
        self.id = cabinet_id
        self.lamps = {mounted.place.id: mounted for mounted in lamps}
        self.heard_devices: tuple[str, ...] = (cabinet_id, *self.lamps)
        self._begin_s = begin_s
        self._second = begin_s
        self._awaited: list[str] = []

    def hear(self, command: DeviceCommand) -> Answer | None:
        """Hand a command to its lamp; ``None`` where the lamp says nothing, or where nothing is known of it."""
        mounted = self.lamps.get(command.device)
        if mounted is None:
            return None
        if command.setpoint.WhichOneof("setpoint") == "local_control":
            mounted.lamp.release(self._second + 1)
            # The end of remote control is the end of the trouble with it.
            mounted.said_percent, mounted.silent_until = None, 0
            return Answer(command.command_id, command.device)
        known = mounted.answers.get(command.command_id)
        if known is not None:
            return known
        if self._drops(mounted, command):
            return None
        answer = self._answer(mounted, command)
        mounted.answers[command.command_id] = answer
        while len(mounted.answers) > ANSWERS_REMEMBERED_MAX:
            del mounted.answers[next(iter(mounted.answers))]
        return answer

    def tick(self, second: int, present: Mapping[str, bool]) -> list[Reading]:
        """Let a second pass and return what the lamps tell about it."""
        self._second = second
        said: list[Reading] = []
        for number, (lamp_id, mounted) in enumerate(self.lamps.items()):
            mounted.lamp.tick(second)
            if second >= mounted.silent_until:
                said += self._tell(mounted, second, number, present=present[lamp_id])
        return said

    def take_awaited(self) -> list[str]:
        """Return the lamps that just told of something that must make them brighter."""
        awaited, self._awaited = self._awaited, []
        return awaited

    def _drops(self, mounted: MountedLamp, command: DeviceCommand) -> bool:
        if mounted.trouble is not Trouble.SILENT or self._second < self._begin_s + TROUBLE_AFTER_S:
            return False
        if command.command_id not in mounted.ignored:
            mounted.ignored.add(command.command_id)
            mounted.silent_until = max(mounted.silent_until, self._second + SILENCE_S)
            if _asks_for_change(mounted.lamp, command):
                mounted.dropped.append(command.command_id)
        return True

    def _answer(self, mounted: MountedLamp, command: DeviceCommand) -> Answer:
        if mounted.trouble is Trouble.REFUSING and self._second >= self._begin_s + TROUBLE_AFTER_S:
            if _asks_for_change(mounted.lamp, command):
                mounted.refused.append(command.command_id)
            return Answer(command.command_id, command.device, "DRIVER_FAULT")
        mounted.lamp.take(light_command(command))
        mounted.said_percent = None
        return Answer(command.command_id, command.device)

    def _tell(self, mounted: MountedLamp, second: int, number: int, *, present: bool) -> list[Reading]:
        lamp_id, time_us, lamp = mounted.place.id, second * MICROSECONDS, mounted.lamp
        heartbeat = (second + number) % HEARTBEAT_S == 0
        said: list[Reading] = []
        if present != mounted.present or heartbeat:
            if present and mounted.present is False and lamp.commanded and self._dimmed(lamp):
                self._awaited.append(lamp_id)
            mounted.present = present
            said.append(Reading(lamp_id, "presence", time_us, 1.0 if present else 0.0))
        if self._level_due(mounted, second, heartbeat=heartbeat):
            mounted.said_percent = lamp.level_percent
            said.append(Reading(lamp_id, "light-level", time_us, round(lamp.level_percent, 2)))
            said.append(Reading(lamp_id, "power", time_us, round(lamp.power_w, 2)))
        return said

    @staticmethod
    def _dimmed(lamp: Lamp) -> bool:
        return lamp.target_percent < lamp.facts.class_level_percent

    @staticmethod
    def _level_due(mounted: MountedLamp, second: int, *, heartbeat: bool) -> bool:
        lamp = mounted.lamp
        if heartbeat or mounted.said_percent is None:
            return True
        if lamp.level_percent == mounted.said_percent:
            return False
        return lamp.level_percent == lamp.target_percent or second % RAMP_REPORT_S == 0


def _asks_for_change(lamp: Lamp, command: DeviceCommand) -> bool:
    """Tell whether disobedience can be seen: a lamp that does so anyway is proven by its meter."""
    return abs(command.setpoint.light_level.level_percent - lamp.target_percent) > CHANGE_MIN_PERCENT
