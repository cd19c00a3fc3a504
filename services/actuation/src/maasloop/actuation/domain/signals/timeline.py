"""The rules of the street second by second: what may follow what, judged on a change of aspects.

The kernel runs it over a requested sequence; the sheet's own check runs it over the local programme.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from .aspects import Aspect, Aspects
from .sheet import GroupKind, Sheet
from .state import GroupState, shown

YELLOW_EXCESS_MAX_S = 3.0
"""A longer yellow than asked for by this much is no clearance but a fault."""


class Rule(StrEnum):
    """The rule that a change breaks."""

    CONFLICT = "CONFLICT"
    BOTH_PROTECTED = "BOTH_PROTECTED"
    INTERGREEN = "INTERGREEN"
    YELLOW_LENGTH = "YELLOW_LENGTH"
    MINIMUM_GREEN = "MINIMUM_GREEN"
    TRANSITION = "TRANSITION"


@dataclass(frozen=True)
class Breach:
    """A broken rule, the groups it concerns and the field second."""

    rule: Rule
    groups: tuple[str, ...]
    second_s: float
    detail: str


def advance(
    sheet: Sheet, groups: Mapping[str, GroupState], second_s: float, aspects: Aspects
) -> tuple[dict[str, GroupState], Breach | None]:
    """Show ``aspects`` from ``second_s`` on; return the groups afterwards and the first rule that this breaks."""
    after = {name: shown(group, second_s, aspects[name]) for name, group in groups.items()}
    breach = next(_breaches(sheet, groups, after, second_s), None)
    return after, breach


def _breaches(
    sheet: Sheet, before: Mapping[str, GroupState], after: Mapping[str, GroupState], second_s: float
) -> Iterator[Breach]:
    for name, now in after.items():
        yield from _own_breaches(sheet, name, before[name], now, second_s)
    for name, now in after.items():
        if now.aspect is not Aspect.RED:
            yield from _pair_breaches(sheet, name, before[name], after, second_s)


def _own_breaches(sheet: Sheet, name: str, was: GroupState, now: GroupState, second_s: float) -> Iterator[Breach]:
    """Judge one group's change alone: green, yellow where it has one, red, green; each long enough."""
    if now.aspect is was.aspect or (now.green and was.green):
        return
    group = sheet.group[name]
    lasted_s = second_s - was.since_s
    if was.green and now.aspect is (Aspect.YELLOW if group.yellow_s > 0 else Aspect.RED):
        if lasted_s < group.minimum_green_s:
            detail = f"{name} would end after {lasted_s:g} s of green, minimum {group.minimum_green_s:g} s"
            yield Breach(Rule.MINIMUM_GREEN, (name,), second_s, detail)
    elif was.aspect is Aspect.YELLOW and now.aspect is Aspect.RED:
        if not group.yellow_s <= lasted_s <= group.yellow_s + YELLOW_EXCESS_MAX_S:
            detail = f"{name} would show {lasted_s:g} s of yellow, {group.yellow_s:g} s are due"
            yield Breach(Rule.YELLOW_LENGTH, (name,), second_s, detail)
    elif was.aspect is Aspect.RED and now.green:
        if second_s - was.yellow_ended_s < group.all_red_s:
            detail = f"{name} would be green {second_s - was.yellow_ended_s:g} s after its own yellow"
            yield Breach(Rule.INTERGREEN, (name, name), second_s, detail)
    else:
        detail = f"{name} would go from {was.aspect.name} to {now.aspect.name}"
        yield Breach(Rule.TRANSITION, (name,), second_s, detail)


def _pair_breaches(
    sheet: Sheet, name: str, was: GroupState, after: Mapping[str, GroupState], second_s: float
) -> Iterator[Breach]:
    now = after[name]
    for foe in sheet.foes[name]:
        other = after[foe]
        if now.green and other.green:
            detail = f"{name} {now.aspect.name} and {foe} {other.aspect.name} conflict"
            yield Breach(Rule.CONFLICT, (name, foe), second_s, detail)
        elif now.green and other.aspect is Aspect.YELLOW:
            yield Breach(Rule.INTERGREEN, (foe, name), second_s, f"{name} green while {foe} is still yellow")
        elif now.green and not was.green:
            cleared_s = second_s - other.yellow_ended_s
            due_s = sheet.intergreen_s(foe, name)
            if cleared_s < due_s:
                detail = f"{name} would be green {cleared_s:g} s after the yellow of {foe}, {due_s:g} s are due"
                yield Breach(Rule.INTERGREEN, (foe, name), second_s, detail)
    if now.aspect is Aspect.GREEN:
        for major in sheet.majors[name]:
            if after[major].aspect is Aspect.GREEN:
                detail = f"{name} and {major} would both be green without one giving way"
                yield Breach(Rule.BOTH_PROTECTED, (name, major), second_s, detail)
            elif on_crossing(sheet, major, after[major], second_s):
                detail = (
                    f"{name} would be green without giving way while people may still be on the crossing of {major}"
                )
                yield Breach(Rule.BOTH_PROTECTED, (name, major), second_s, detail)


def on_crossing(sheet: Sheet, name: str, group: GroupState, second_s: float) -> bool:
    """Tell whether people on foot may be on their crossing: in any green, and after it for as long as they need."""
    timing = sheet.group[name]
    left = group.aspect is Aspect.RED and second_s - group.yellow_ended_s >= timing.clearance_s
    return timing.kind is GroupKind.PEDESTRIAN and not left
