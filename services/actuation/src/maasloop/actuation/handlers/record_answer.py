"""A device answered to a command, or its driver knows what became of it.

A device's answer, that it will carry a command out or refuses, proves no effect. A driver that reads the status of its
device back may say that the effect was shown.
"""

from dataclasses import dataclass
from enum import StrEnum

from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.command import State, acknowledged, settled
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.failing import failed
from maasloop.core.reasons import Reason

DETAIL_LENGTH_MAX = 256


class AnswerKind(StrEnum):
    """What a device did with a command."""

    ACKNOWLEDGED = "ACKNOWLEDGED"
    REFUSED = "REFUSED"
    COMPLETED = "COMPLETED"
    SHOWN = "SHOWN"
    """Of a driver only: a status of the device shows the effect."""
    NOT_SHOWN = "NOT_SHOWN"
    """Of a driver only: the status of the device was read, and does not show the effect."""
    UNREACHABLE = "UNREACHABLE"
    """Of a driver only: the device could not be told, or what became of it cannot be known."""


_ENDINGS = {
    AnswerKind.REFUSED: (State.FAILED, Reason.DEVICE_REFUSED),
    AnswerKind.SHOWN: (State.VERIFIED, Reason.EFFECT_OBSERVED),
    AnswerKind.NOT_SHOWN: (State.FAILED, Reason.EFFECT_NOT_OBSERVED),
    AnswerKind.UNREACHABLE: (State.FAILED, Reason.DEVICE_SILENT),
}


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """What a device said, or its driver knows."""

    device: str
    command: str
    kind: AnswerKind
    reason: str = ""


class RecordAnswer:
    """Takes answers; one to a command that is settled, not known, or another device's, changes nothing."""

    def __call__(self, district: District, answer: DeviceAnswer, moment: Moment) -> Batch:
        """Return what the answer changes."""
        command = district.commands.get(answer.command)
        if command is None or command.device != answer.device:
            return Batch()
        if answer.kind in _ENDINGS:
            state, reason = _ENDINGS[answer.kind]
            detail = answer.reason[:DETAIL_LENGTH_MAX]
            if answer.kind is AnswerKind.REFUSED:
                detail = f"the device refused: {detail or 'no reason given'}"
            changed = settled(command, state, reason, detail, wall_us=moment.wall_us)
            if changed is not None and state is State.FAILED:
                failed(district, changed, moment)
        else:
            changed = acknowledged(command)
        if changed is None:
            return Batch()
        district.keep(changed)
        return Batch(commands=[changed])
