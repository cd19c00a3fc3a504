"""Answers of devices: each speaks about its own commands only."""

from maasloop.actuation.domain.command import Authority, Command, State
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.setpoint import LightLevel
from maasloop.actuation.handlers.record_answer import AnswerKind, DeviceAnswer, RecordAnswer

COMMAND = Command(
    id="c1",
    district="noord",
    device="lamp-1",
    setpoint=LightLevel(50.0, 0.0),
    authority=Authority.OPERATOR,
    issuer="callers/unidentified",
    cause="requests/1",
    state=State.DISPATCHED,
    create_time_us=1,
    not_before_us=1,
    expire_us=900_000_001,
    verify_by_us=10_000_001,
)


def test_a_device_cannot_answer_for_another_one() -> None:
    """Ingest lets a device answer for itself and its charges; a command of somebody else is not theirs to refuse."""
    district = District("noord")
    district.keep(COMMAND)
    record, moment = RecordAnswer(), Moment(2, 2)

    foreign = record(district, DeviceAnswer("bay-1", "c1", AnswerKind.REFUSED, "no"), moment)
    own = record(district, DeviceAnswer("lamp-1", "c1", AnswerKind.REFUSED, "no"), moment)

    assert not foreign
    assert [(command.state, command.reason) for command in own.commands] == [(State.FAILED, "DEVICE_REFUSED")]
