"""Commands as they arrive at a device, and what it says to them."""

from dataclasses import dataclass

from google.protobuf.json_format import MessageToJson, Parse, ParseError

from maasloop.api.command.v1.command_pb2 import DeviceCommand, SignalAspect, SignalSequence
from maasloop.api.observation.v1.events_pb2 import DeviceResponse
from maasloop.twin.devices.lamp import LightCommand
from maasloop.twin.devices.readings import MICROSECONDS
from maasloop.twin.street.signals import Sequence

_CHARACTERS = {
    SignalAspect.SIGNAL_ASPECT_RED: "r",
    SignalAspect.SIGNAL_ASPECT_RED_YELLOW: "u",
    SignalAspect.SIGNAL_ASPECT_GREEN: "G",
    SignalAspect.SIGNAL_ASPECT_GREEN_PERMISSIVE: "g",
    SignalAspect.SIGNAL_ASPECT_YELLOW: "y",
}


class CommandMalformed(Exception):
    """A device can't read this."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device says; an empty ``refusal`` acknowledges."""

    command_id: str
    device: str
    refusal: str = ""


def read_command(body: bytes) -> DeviceCommand:
    """Read a command, or raise ``CommandMalformed``."""
    try:
        command = Parse(body, DeviceCommand(), ignore_unknown_fields=True)
    except ParseError as error:
        raise CommandMalformed(str(error)) from error
    if not command.command_id or command.setpoint.WhichOneof("setpoint") is None:
        message = "a command needs an id and a setpoint"
        raise CommandMalformed(message)
    return command


def write_answer(answer: Answer, event_time_us: int) -> bytes:
    """Write an answer as ``responses-json``."""
    said = DeviceResponse.Answer.ANSWER_REFUSED if answer.refusal else DeviceResponse.Answer.ANSWER_ACKNOWLEDGED
    response = DeviceResponse(
        device=answer.device,
        command_id=answer.command_id,
        answer=said,
        reason=answer.refusal,
        event_time_us=event_time_us,
    )
    return MessageToJson(response, indent=None).encode()


def light_command(command: DeviceCommand) -> LightCommand:
    """Return what a lamp understands."""
    light = command.setpoint.light_level
    return LightCommand(
        id=command.command_id,
        level_percent=light.level_percent,
        ramp_s=light.ramp_s,
        not_before_s=command.not_before_time_us / MICROSECONDS,
        expires_s=command.expire_time_us / MICROSECONDS,
    )


def signal_sequence(command: DeviceCommand, groups: tuple[str, ...]) -> Sequence:
    """Return what a signal controller understands: state texts, one character a group in the order of its sheet."""
    sequence: SignalSequence = command.setpoint.signal_sequence
    return Sequence(
        id=command.command_id,
        start_state=_text(dict(sequence.start_state), groups),
        not_before_s=command.not_before_time_us // MICROSECONDS,
        expires_s=command.expire_time_us // MICROSECONDS,
        steps=tuple((step.offset_s, _text(dict(step.aspects), groups)) for step in sequence.steps),
    )


def _text(aspects: "dict[str, SignalAspect.ValueType]", groups: tuple[str, ...]) -> str:
    # A group without an aspect becomes a character that no controller plays.
    return "".join(_CHARACTERS.get(aspects.get(group, SignalAspect.SIGNAL_ASPECT_UNSPECIFIED), "?") for group in groups)
