"""Builds the way from what a junction shows to a stage: the shortest sequence that the rules of the street allow.

Groups that are green before and after keep green, and a group that need not wait for a clearance starts early.
"""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from .aspects import Aspect
from .kernel import SequenceStep
from .sheet import GroupKind, Sheet
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
    _hold_on(sheet, state, ends, starts, not_before_s)
    moments = sorted({not_before_s, *starts.values(), *(time for pair in ends.values() for time in pair)})
    steps: list[SequenceStep] = []
    for moment in moments:
        if moment < not_before_s:
            continue
        shown = {name: _shown(name, moment, ends, starts) for name in state.groups}
        _give_way(sheet, shown, _walking(sheet, state, ends, moment))
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


def _hold_on(
    sheet: Sheet,
    state: JunctionState,
    ends: dict[str, tuple[float, float]],
    starts: Mapping[str, float],
    not_before_s: float,
) -> None:
    """Let greens that end last until what starts needs it: people on foot take longer to clear than vehicles.

    Where nobody on foot is, everything clears in about the same time and ends at once.
    """
    if not _walking(sheet, state, ends, not_before_s):
        return
    for name, (begins_s, _) in tuple(ends.items()):
        group, timing = state.groups[name], sheet.group[name]
        starting = [foe for foe in sheet.foes[name] if foe in starts and not state.groups[foe].green]
        if not group.green or timing.kind is GroupKind.PEDESTRIAN or not starting:
            continue
        red_s = min(starts[foe] - math.ceil(sheet.intergreen_s(name, foe)) for foe in starting)
        latest_s = math.floor(red_s - timing.yellow_s)
        if begins_s < latest_s <= group.since_s + timing.maximum_green_s:
            ends[name] = latest_s, math.ceil(latest_s + timing.yellow_s)


def _walking(
    sheet: Sheet, state: JunctionState, ends: Mapping[str, tuple[float, float]], moment: float
) -> frozenset[str]:
    """Return the groups on foot that may still be on their crossing at a moment, their green over."""
    return frozenset(
        name
        for name, group in state.groups.items()
        if sheet.group[name].kind is GroupKind.PEDESTRIAN
        and moment < (ends[name][1] if name in ends else group.yellow_ended_s) + sheet.group[name].clearance_s
    )


def _give_way(sheet: Sheet, shown: dict[str, Aspect], walking: AbstractSet[str]) -> None:
    """Turn a protected green into a yielding one while a group it must give way to is not red, or still walks."""
    for name, aspect in shown.items():
        majors = sheet.majors[name]
        if aspect is Aspect.GREEN and any(shown[one] is not Aspect.RED or one in walking for one in majors):
            shown[name] = Aspect.YIELDING
