"""Decisions of signal controllers as callers see them."""

from collections.abc import Collection
from datetime import UTC, datetime

from maasloop.actuation.domain.command import Command
from maasloop.actuation.domain.district import District
from maasloop.actuation.domain.setpoint_json import WORDS
from maasloop.actuation.domain.signal_decision import SignalDecision
from maasloop.actuation.entrypoints.messages import command_message
from maasloop.api.command.v1 import command_pb2
from maasloop.api.command.v1 import signal_decision_pb2 as pb
from maasloop.core.errors import InvalidArgument, NotFound
from maasloop.core.ids import parse_name
from maasloop.core.reasons import Reason

COLLECTIONS = ("districts", "devices", "signalDecisions")
SECOND_DIGITS_MAX = 11
"""Eleven digits of seconds reach to the year 5138."""
NAMED_MAX = 10
UNSPECIFIED = command_pb2.SIGNAL_ASPECT_UNSPECIFIED
_ASPECTS = {aspect: command_pb2.SignalAspect.Value(word) for aspect, word in WORDS.items()}


def parse(name: str) -> tuple[str, str, int]:
    """Return district, device and street second of a name, or refuse it."""
    district, device, second = parse_name(name, *COLLECTIONS)
    if not second.isdecimal() or len(second) > SECOND_DIGITS_MAX:
        pattern = "districts/{id}/devices/{id}/signalDecisions/{second}"
        message = f"the last part of {pattern} is a number of seconds; got {second}"
        raise InvalidArgument(Reason.NAME_MALFORMED, message, {"pattern": pattern})
    return district, device, int(second)


def missing(name: str, device: str, district: District | None, near: Collection[int]) -> NotFound:
    """Return the refusal where nothing was decided: for want of such a junction, or in that second."""
    known = sorted(district.facts.junctions) if district is not None else []
    if device not in known:
        named = ", ".join(known[:NAMED_MAX]) or "none"
        message = f"no junction {device} with a signal controller; known: {named}"
    else:
        seconds = " and ".join(f"{second} ({_moment(second)})" for second in sorted(near)) or "none"
        message = f"nothing about {device} is kept for that second; the nearest seconds kept: {seconds}"
    return NotFound(Reason.RESOURCE_NOT_FOUND, message, {"name": name})


def to_message(decision: SignalDecision, command: Command | None) -> pb.SignalDecision:
    """Return the message of a decision with the command that belongs to it."""
    return pb.SignalDecision(
        name=f"districts/{decision.district}/devices/{decision.device}/signalDecisions/{decision.street_second}",
        decision=decision.decision,
        detail=decision.detail,
        aspects={name: _ASPECTS.get(aspect, UNSPECIFIED) for name, aspect in decision.aspects.items()},
        chosen_signal_groups=decision.chosen,
        stages=[pb.RankedStage(signal_groups=stage.groups, index=stage.index) for stage in decision.stages],
        called_groups=[
            pb.CalledGroup(signal_group=one.group, red_s=one.red_s, called_s=one.called_s) for one in decision.called
        ],
        command=command_message(command) if command is not None else None,
    )


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")
