"""Setpoints as plain JSON data, in which devices receive them and tables keep them: the protobuf JSON of the contract.

Written by hand because the general writer takes a millisecond for a sequence of a large junction; a test holds both to
each other.
"""

import json
from collections.abc import Mapping
from typing import Any, assert_never

from .plans.plain import read_plain, to_plain
from .plans.setpoints import KINDS, ControllerOrder
from .setpoint import LightLevel, LocalControl, Setpoint, SignalSequence
from .signals.aspects import Aspect, Aspects
from .signals.kernel import SequenceStep

WORDS = {
    Aspect.RED: "SIGNAL_ASPECT_RED",
    Aspect.YELLOW: "SIGNAL_ASPECT_YELLOW",
    Aspect.GREEN: "SIGNAL_ASPECT_GREEN",
    Aspect.YIELDING: "SIGNAL_ASPECT_GREEN_PERMISSIVE",
}
"""What a sequence may show, in the words of the contract."""
_ASPECTS = {word: aspect for aspect, word in WORDS.items()}


def to_json(setpoint: Setpoint) -> dict[str, Any]:
    """Return a setpoint as JSON data."""
    match setpoint:
        case LightLevel():
            return {"lightLevel": {"levelPercent": setpoint.level_percent, "rampS": setpoint.ramp_s}}
        case SignalSequence():
            steps = [{"offsetS": int(step.offset_s), "aspects": _words(step.aspects)} for step in setpoint.steps]
            return {"signalSequence": {"steps": steps, "startState": _words(setpoint.start_state)}}
        case LocalControl():
            return {"localControl": {}}
        case ControllerOrder():
            return to_plain(setpoint)
        case _ as never:
            assert_never(never)


def from_json(text: str) -> Setpoint:
    """Read the text of what ``to_json`` made."""
    return read_json(json.loads(text))


def read_json(found: Mapping[str, Any]) -> Setpoint:
    """Read what ``to_json`` made."""
    if found.keys() & KINDS.keys():
        return read_plain(found)
    if "lightLevel" in found:
        level = found["lightLevel"]
        return LightLevel(float(level["levelPercent"]), float(level["rampS"]))
    if "signalSequence" in found:
        sequence = found["signalSequence"]
        steps = tuple(SequenceStep(step["offsetS"], _read_words(step["aspects"])) for step in sequence["steps"])
        return SignalSequence(steps, _read_words(sequence["startState"]))
    return LocalControl()


def _words(aspects: Aspects) -> dict[str, str]:
    return {name: WORDS[aspect] for name, aspect in aspects.items()}


def _read_words(words: Mapping[str, str]) -> dict[str, Aspect]:
    return {name: _ASPECTS[word] for name, word in words.items()}
