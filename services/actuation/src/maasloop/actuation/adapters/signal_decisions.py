"""Decisions of signal controllers as rows: one a district and second, with all its junctions as one JSON text.

A row a junction would be as many rows a second as a city has junctions; as one text they are also compressed together.
"""

import json
from collections.abc import Sequence
from typing import Any

from maasloop.actuation.domain.signal_decision import CalledGroup, RankedStage, SignalDecision
from maasloop.actuation.domain.signals.aspects import Aspect

INDEX_DIGITS = 4


def signal_decision_rows(decisions: Sequence[SignalDecision]) -> list[tuple[str, int, int, str]]:
    """Return district, street second, wall time and text of each row."""
    seconds: dict[tuple[str, int], dict[str, SignalDecision]] = {}
    for one in decisions:
        seconds.setdefault((one.district, one.street_second), {})[one.device] = one
    return [
        (district, second, max(one.wall_us for one in devices.values()), _text(devices))
        for (district, second), devices in seconds.items()
    ]


def signal_decisions_of(district: str, street_second: int, wall_us: int, text: str) -> dict[str, SignalDecision]:
    """Read the text of a row, by device."""
    return {
        device: SignalDecision(
            district=district,
            device=device,
            street_second=street_second,
            wall_us=wall_us,
            decision=found["decision"],
            detail=found["detail"],
            command_id=found["command"],
            aspects={name: Aspect(shown) for name, shown in found["aspects"].items()},
            chosen=tuple(found["chosen"]),
            stages=tuple(RankedStage(tuple(groups), index) for groups, index in found["stages"]),
            called=tuple(CalledGroup(*one) for one in found["called"]),
        )
        for device, found in json.loads(text).items()
    }


def _text(devices: dict[str, SignalDecision]) -> str:
    # A text column takes no NUL; JSON writes it as an escape.
    return json.dumps({name: _data(one) for name, one in devices.items()}, separators=(",", ":"))


def _data(one: SignalDecision) -> dict[str, Any]:
    return {
        "decision": one.decision,
        "detail": one.detail,
        "command": one.command_id,
        "aspects": {name: aspect.value for name, aspect in one.aspects.items()},
        "chosen": one.chosen,
        "stages": [(stage.groups, round(stage.index, INDEX_DIGITS)) for stage in one.stages],
        "called": [(called.group, called.red_s, called.called_s) for called in one.called],
    }
