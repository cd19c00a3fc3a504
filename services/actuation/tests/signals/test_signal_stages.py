"""The stages that a junction can show: who may be green together, and who waits for the last of the others."""

import copy
from typing import Any

import pytest

from maasloop.actuation.domain.signals.area import VehicleSeen
from maasloop.actuation.domain.signals.aspects import GREENS, Aspect
from maasloop.actuation.domain.signals.controller import Ask, Controller
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.stages import FIRST_LOOP_M, SHORT_ROAD_M, TURNING_ROUND, short_roads, stages_of
from maasloop.actuation.domain.signals.state import JunctionState

STORAGE_M = SHORT_ROAD_M - FIRST_LOOP_M
"""What a road must have before its stop line not to be short."""


@pytest.mark.parametrize(
    ("storage_m", "fed", "together"),
    [(STORAGE_M - 1.0, True, False), (STORAGE_M - 1.0, False, True), (STORAGE_M, True, True)],
)
def test_nobody_gives_way_on_a_short_road(
    sheet_data: dict[str, Any], storage_m: float, *, fed: bool, together: bool
) -> None:
    """Who gives way may be green beside the others, unless it waits on a short road that begins at another signal."""
    data = copy.deepcopy(sheet_data)
    next(lane for lane in data["lanes"] if lane["id"] == "lane-d")["storage_m"] = storage_m
    if fed:
        data["detectors"].append(
            {"id": "feeder", "position": "feeder", "distance_m": storage_m, "serves": [["lane-d", 1.0]]}
        )
    stages = stages_of(read_sheet(data))

    assert any({"b", "d"} <= stage for stage in stages) is together
    assert all(any(name in stage for stage in stages) for name in "abcd")


@pytest.mark.parametrize(
    ("turn", "distance_m", "short"), [("s", 7.0, False), (TURNING_ROUND, 7.0, True), ("s", 25.0, True)]
)
def test_short_roads_in_a_row_are_none(
    sheet_data: dict[str, Any], turn: str, distance_m: float, *, short: bool
) -> None:
    """Who comes from a short road and goes on to another one is let in freely: in a ring each would wait for the next."""
    data = copy.deepcopy(sheet_data)
    data["detectors"][-1]["distance_m"] = distance_m
    next(lane for lane in data["lanes"] if lane["id"] == "lane-a")["storage_m"] = STORAGE_M - 1.0
    data["groups"][0]["turn"] = turn
    data["detectors"].append({"id": "feeder", "position": "feeder", "distance_m": 7.0, "serves": [["lane-a", 1.0]]})

    assert short_roads(read_sheet(data)) == (frozenset({"lane-a"}) if short else frozenset())


def starts_d(sheet: Sheet, b: Aspect) -> bool:
    """Return whether somebody who waits on lane d is let go while b, which he gives way to, shows this aspect."""
    controller = Controller(sheet)
    shown = dict.fromkeys(sheet.group, Aspect.RED) | {"b": b}
    state = JunctionState.first_seen(sheet, 0, shown)
    seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes}
    seen["lane-d"] = [VehicleSeen("d-0", "lane-d", 1.0, 0.0, "d")]
    for second in range(1, 20):
        state = state.observe(second, shown, controller.hear(second, {}, shown, seen))
    decision = controller.decide(state)
    assert isinstance(decision, Ask)
    return any(step.aspects["d"] in GREENS for step in decision.request.steps)


def test_on_a_short_road_nobody_starts_while_others_still_pass(sheet_data: dict[str, Any]) -> None:
    """Who comes from a short road waits for the end of those that he gives way to; from a long one he starts at once."""
    short = copy.deepcopy(sheet_data)
    next(lane for lane in short["lanes"] if lane["id"] == "lane-d")["storage_m"] = STORAGE_M - 1.0
    short["detectors"].append({"id": "feeder", "position": "feeder", "distance_m": 20.0, "serves": [["lane-d", 1.0]]})

    assert starts_d(read_sheet(sheet_data), Aspect.GREEN)
    assert not starts_d(read_sheet(short), Aspect.GREEN)
    assert starts_d(read_sheet(short), Aspect.RED)
