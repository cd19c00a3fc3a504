"""What those who give way at a green have to wait for: on average, and in this second."""

import math
from collections.abc import Mapping
from itertools import takewhile

from maasloop.actuation.domain.signals.aspects import GREENS, Aspects
from maasloop.actuation.domain.signals.sheet import Sheet

from .estimate import LaneEstimate
from .forecast import GAP_BEFORE_S, gap_headway_s

SOMEBODY = 0.5
"""So much of a vehicle is somebody whom others give way to."""


def headways_s(
    sheet: Sheet, lanes: Mapping[str, LaneEstimate], lane: LaneEstimate, second_s: float, shown: Aspects
) -> dict[str, float]:
    """Return the mean seconds from one vehicle to the next for each green group of a lane: who gives way waits for gaps."""
    found = {}
    for name in lane.shares:
        if shown[name] in GREENS:
            majors = [major for major in sheet.majors[name] if shown[major] in GREENS]
            rate = sum(_crossing_rate(sheet, lanes, major, second_s) for major in majors)
            found[name] = gap_headway_s(rate, lane.headway_s)
    return found


def openings_s(
    sheet: Sheet, lanes: Mapping[str, LaneEstimate], lane: LaneEstimate, second_s: float, shown: Aspects
) -> dict[str, float]:
    """Return the same for this second: who has to give way to somebody who is about to cross does not go at all."""
    return {
        name: math.inf
        if any(_about_to_cross(sheet, lanes, one, second_s) for one in sheet.majors[name] if shown[one] in GREENS)
        else lane.headway_s
        for name in lane.shares
        if shown[name] in GREENS
    }


def _about_to_cross(sheet: Sheet, lanes: Mapping[str, LaneEstimate], group: str, second_s: float) -> bool:
    """Tell whether somebody passes the line of a green group before one who gives way would be over."""
    expected = 0.0
    for lane in (lanes[name] for name in sheet.group[group].lanes):
        for vehicle in takewhile(lambda one: one.at_s <= second_s + GAP_BEFORE_S, lane.vehicles):
            if vehicle.group in {None, group}:
                expected += vehicle.weight * (lane.shares[group] if vehicle.group is None else 1.0)
    return expected >= SOMEBODY


def _crossing_rate(sheet: Sheet, lanes: Mapping[str, LaneEstimate], group: str, second_s: float) -> float:
    """Return how many vehicles a second cross under a green group: a queue leaves no gap."""
    rate = 0.0
    for lane in (lanes[name] for name in sheet.group[group].lanes):
        queued = any(vehicle.at_s <= second_s for vehicle in lane.vehicles)
        rate += lane.shares[group] * (1.0 / lane.headway_s if queued else lane.rate)
    return rate
