"""Setpoints as messages of the contract."""

from collections.abc import Mapping
from typing import assert_never

from google.protobuf.json_format import MessageToDict, ParseDict

from maasloop.actuation.domain.plans.plain import read_plain, to_plain
from maasloop.actuation.domain.plans.setpoints import ControllerOrder
from maasloop.actuation.domain.setpoint import LightLevel, LocalControl, Setpoint, SignalSequence
from maasloop.actuation.domain.setpoint_json import WORDS
from maasloop.actuation.domain.signals.aspects import Aspect, Aspects
from maasloop.actuation.domain.signals.kernel import SequenceStep
from maasloop.api.command.v1 import command_pb2 as pb
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

_NUMBERS = {aspect: pb.SignalAspect.Value(word) for aspect, word in WORDS.items()}
_BY_NUMBER: dict[int, Aspect] = {int(number): aspect for aspect, number in _NUMBERS.items()}


def to_message(setpoint: Setpoint) -> pb.Setpoint:
    """Return the message of a setpoint."""
    match setpoint:
        case LightLevel():
            level = pb.LightLevel(level_percent=setpoint.level_percent, ramp_s=setpoint.ramp_s)
            return pb.Setpoint(light_level=level)
        case SignalSequence():
            steps = [
                pb.SignalStep(offset_s=int(step.offset_s), aspects=_numbers(step.aspects)) for step in setpoint.steps
            ]
            return pb.Setpoint(
                signal_sequence=pb.SignalSequence(steps=steps, start_state=_numbers(setpoint.start_state))
            )
        case LocalControl():
            return pb.Setpoint(local_control=pb.LocalControl())
        case ControllerOrder():
            return ParseDict(to_plain(setpoint), pb.Setpoint())
        case _ as never:
            assert_never(never)


def from_message(message: pb.Setpoint) -> Setpoint:
    """Read a setpoint that somebody asks for, or refuse what may not be asked for remotely."""
    kind = message.WhichOneof("setpoint")
    if kind == "light_level":
        return LightLevel(message.light_level.level_percent, message.light_level.ramp_s)
    if kind == "signal_sequence":
        sequence = message.signal_sequence
        steps = tuple(SequenceStep(step.offset_s, _read_numbers(step.aspects)) for step in sequence.steps)
        return SignalSequence(steps, _read_numbers(sequence.start_state))
    if kind in {"local_control", None}:
        return LocalControl()
    try:
        return read_plain(MessageToDict(message))
    except ValueError as error:
        raise InvalidArgument(Reason.REQUEST_INVALID, f"the setpoint is malformed: {error}") from None


def _numbers(aspects: Aspects) -> dict[str, pb.SignalAspect.ValueType]:
    return {name: _NUMBERS[aspect] for name, aspect in aspects.items()}


def _read_numbers(numbers: Mapping[str, int]) -> dict[str, Aspect]:
    try:
        return {name: _BY_NUMBER[number] for name, number in numbers.items()}
    except KeyError as error:
        message = f"aspect {error.args[0]} may not be asked for"
        raise InvalidArgument(Reason.ASPECT_FORBIDDEN, message) from None
