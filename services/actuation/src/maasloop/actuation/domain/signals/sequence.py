"""Builds the way from what a junction shows to a stage: the shortest sequence that the rules of the street allow.

Groups that are green before and after keep green, and a group that need not wait for a clearance starts early.
"""

import math
from collections.abc import Set as AbstractSet

from .aspects import Aspect
from .kernel import SequenceStep
from .sheet import Sheet
from .state import GroupState, JunctionState


def way_to(
    sheet: Sheet, state: JunctionState, stage: AbstractSet[str], not_before_s: float
) -> tuple[SequenceStep, ...]:
    """Return the steps that lead to the groups of ``stage`` being green and all others red; whole seconds.

    The groups of ``stage`` must be compatible with each other.
    """
    ends = _ends(sheet, state, not_before_s)
    for name in stage:
        if state.groups[name].aspect is not Aspect.YELLOW:
            ends.pop(name, None)
    starts = {name: _start(sheet, state, name, ends, not_before_s) for name in stage}
    moments = sorted({not_before_s, *starts.values(), *(time for pair in ends.values() for time in pair)})
    steps: list[SequenceStep] = []
    for moment in moments:
        if moment < not_before_s:
            continue
        shown = {name: _shown(name, moment, ends, starts) for name in state.groups}
        _give_way(sheet, shown)
        if not steps or shown != steps[-1].aspects:
            steps.append(SequenceStep(moment - not_before_s, shown))
    return tuple(steps)


def starts_of(sheet: Sheet, state: JunctionState, not_before_s: float) -> dict[str, float]:
    """Return, for each group, after how many seconds it would be green as part of any stage: its foes end for it."""
    ends = _ends(sheet, state, not_before_s)
    return {name: max(0.0, _start(sheet, state, name, ends, not_before_s) - not_before_s) for name in state.groups}


def _ends(sheet: Sheet, state: JunctionState, not_before_s: float) -> dict[str, tuple[float, float]]:
    found = ((name, _yellow_times(sheet, name, group, not_before_s)) for name, group in state.groups.items())
    return {name: times for name, times in found if times is not None}


def _yellow_times(sheet: Sheet, name: str, group: GroupState, not_before_s: float) -> tuple[float, float] | None:
    """Return from when to when a group that ends shows yellow; nothing for one that is red."""
    timing = sheet.group[name]
    if group.green:
        begins_s = max(not_before_s, math.ceil(group.since_s + timing.minimum_green_s))
        return begins_s, math.ceil(begins_s + timing.yellow_s)
    if group.aspect is Aspect.YELLOW:
        return group.since_s, max(not_before_s, math.ceil(group.since_s + timing.yellow_s))
    return None


def _start(
    sheet: Sheet, state: JunctionState, name: str, ends: dict[str, tuple[float, float]], not_before_s: float
) -> float:
    group = state.groups[name]
    if group.green:
        return min(group.since_s, not_before_s)
    own_s = ends[name][1] if name in ends else group.yellow_ended_s
    start_s = max(not_before_s, own_s + sheet.group[name].all_red_s)
    for foe, intergreen_s in sheet.clearances[name]:
        red_s = ends[foe][1] if foe in ends else state.groups[foe].yellow_ended_s
        start_s = max(start_s, red_s + intergreen_s)
    return math.ceil(start_s)


def _shown(name: str, moment: float, ends: dict[str, tuple[float, float]], starts: dict[str, float]) -> Aspect:
    if name in starts and moment >= starts[name]:
        return Aspect.GREEN
    times = ends.get(name)
    if times is None or moment >= times[1]:
        return Aspect.RED
    return Aspect.YELLOW if moment >= times[0] else Aspect.GREEN


def _give_way(sheet: Sheet, shown: dict[str, Aspect]) -> None:
    """Turn a protected green into a yielding one while a group it must give way to is not red."""
    for name, aspect in shown.items():
        if aspect is Aspect.GREEN and any(shown[major] is not Aspect.RED for major in sheet.majors[name]):
            shown[name] = Aspect.YIELDING
