"""When a signal group will be green and red next (status S0025), as far as the plan and the vehicles tell."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from maasloop.rsmp.encoding import time_text
from maasloop.rsmp.messages import Value

from .cabinet import Cabinet
from .groups import Aspect

CERTAIN, ACTUATED = 100, 50
"""Confidence in percent: at fixed times, and where vehicles have a say."""
GREEN, RED = True, False


class _Change(NamedTuple):
    to: bool
    earliest_s: float
    latest_s: float


def forecast(cabinet: Cabinet, group: str) -> Mapping[str, Value]:
    """Return the values of the status; without control, or where a group never changes, there are none."""
    if not cabinet.position.in_control:
        return {}
    changes = list(_changes(cabinet, group))
    green = next((each for each in changes if each.to is GREEN), None)
    red = next((each for each in changes if each.to is RED), None)
    if green is None or red is None:
        return {}
    return {**_told(cabinet, "ToG", green), **_told(cabinet, "ToR", red)}


def _told(cabinet: Cabinet, name: str, change: _Change) -> Mapping[str, Value]:
    likely_s = (change.earliest_s + change.latest_s) / 2
    certain = change.earliest_s == change.latest_s
    return {
        f"min{name}Estimate": time_text(cabinet.moment_in(change.earliest_s)),
        f"max{name}Estimate": time_text(cabinet.moment_in(change.latest_s)),
        f"likely{name}Estimate": time_text(cabinet.moment_in(likely_s)),
        f"{name[:3]}Confidence": str(CERTAIN if certain else ACTUATED),
    }


def _changes(cabinet: Cabinet, group: str) -> Iterator[_Change]:
    """Yield what the plan has for a group in the two cycles to come."""
    programme, due = cabinet.programme, cabinet.due
    stages, index = programme.plan.stages, due.number - 1
    if group in due.stage.groups and cabinet.groups.aspect(group) is not Aspect.GREEN:
        left_s = max(0.0, _clearance_s(cabinet, stages[index - 1].groups, group) - due.for_s)
        yield _Change(GREEN, left_s, left_s)
    earliest_s, latest_s = (max(0.0, each - due.for_s) for each in (due.least_s, due.most_s))
    for _ in range(2 * len(stages)):
        following = (index + 1) % len(stages)
        now, then = stages[index].groups, stages[following].groups
        if group in then and group not in now:
            clearance_s = _clearance_s(cabinet, now, group)
            yield _Change(GREEN, earliest_s + clearance_s, latest_s + clearance_s)
        elif group in now and group not in then:
            yellow_s = cabinet.sheet.signal_groups[group].yellow_s
            yield _Change(RED, earliest_s + yellow_s, latest_s + yellow_s)
        least_s, most_s = programme.span_s(following)
        skipped = programme.actuated and stages[following].on_call
        earliest_s, latest_s = earliest_s + (0.0 if skipped else least_s), latest_s + most_s
        index = following


def _clearance_s(cabinet: Cabinet, ending: frozenset[str], begins: str) -> float:
    return max((cabinet.groups.intergreen_s(each, begins) for each in ending), default=0.0)
