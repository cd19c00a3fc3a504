"""Answers of devices: each speaks about its own commands only, and one that stays away ends a command with where to look."""

from dataclasses import replace

import pytest

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.setpoint import LightLevel
from maasloop.actuation.domain.verification import DELIVERY_PATIENCE_US
from maasloop.actuation.handlers.record_answer import AnswerKind, DeviceAnswer, RecordAnswer
from maasloop.actuation.handlers.verify_commands import VerifyCommands

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


@pytest.mark.parametrize(
    ("state", "reason"), [(State.DISPATCHED, "DEVICE_SILENT"), (State.ACKNOWLEDGED, "EFFECT_NOT_OBSERVED")]
)
def test_a_command_without_a_proof_fails(state: State, reason: str) -> None:
    """One that was never answered blames the device's link, one that was answered its lamp or meter; not before time."""
    command = replace(COMMAND, state=state, dispatch_time_us=2)
    district = District("noord")
    district.keep(command)
    verify, last_us = VerifyCommands(), command.verify_by_us + DELIVERY_PATIENCE_US

    assert not verify.fail_overdue(district, Moment(last_us, last_us))
    ended = verify.fail_overdue(district, Moment(last_us + 1, last_us + 1))

    assert [(each.state, each.reason) for each in ended.commands] == [(State.FAILED, reason)]
    assert district.open_command("lamp-1") is None
