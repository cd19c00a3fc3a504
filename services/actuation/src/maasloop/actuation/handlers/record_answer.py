"""A device answered to a command: it will carry it out, or it refuses. No answer is a proof of an effect."""

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


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """What a device said."""

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
        if answer.kind is AnswerKind.REFUSED:
            detail = f"the device refused: {answer.reason[:DETAIL_LENGTH_MAX] or 'no reason given'}"
            changed = settled(command, State.FAILED, Reason.DEVICE_REFUSED, detail, wall_us=moment.wall_us)
            if changed is not None:
                failed(district, changed, moment)
        else:
            changed = acknowledged(command)
        if changed is None:
            return Batch()
        district.keep(changed)
        return Batch(commands=[changed])
