"""The stages that a junction can show: who may be green together, and who waits for the last of the others."""

import copy
from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import GREENS, Aspect
from maasloop.actuation.domain.signals.controller import Ask, Controller
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.stages import (
    FIRST_LOOP_M,
    SHORT_ROAD_M,
    TURNING_ROUND,
    apart_at_short_roads,
    short_roads,
    stages_of,
)
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen

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
    stages = stages_of(apart_at_short_roads(read_sheet(data)))

    assert any({"b", "d"} <= stage for stage in stages) is together
    assert all(any(name in stage for stage in stages) for name in "abcd")


@pytest.mark.parametrize(
    ("exit_m", "beside", "serves", "together"),
    [
        (7.0, "road", [], False),
        (25.0, "road", [], True),
        (7.0, "another", [], True),
        (7.0, "road", [["lane-b", 0.9], ["lane-d", 0.1]], True),
    ],
)
def test_nobody_is_let_into_a_short_road_from_two_roads_at_once(
    sheet_data: dict[str, Any], exit_m: float, beside: str, serves: list[list[Any]], *, together: bool
) -> None:
    """Who comes beside another from one road has changed lanes there; a longer road leaves room for it."""
    data = copy.deepcopy(sheet_data)
    groups = {group["id"]: group for group in data["groups"]}
    groups["b"]["exits"], groups["d"]["exits"] = ["west"], ["west-beside"]
    data["exits"] += [{"id": "west", "road": "road"}, {"id": "west-beside", "road": beside}]
    for name in ("west", "west-beside"):
        serves_exit = [[name, 1.0]]
        data["detectors"].append({"id": name, "position": "exit", "distance_m": exit_m, "serves": serves_exit})
    if serves:
        data["detectors"].append({"id": "before", "position": "upstream", "distance_m": 80.0, "serves": serves})
    sheet = apart_at_short_roads(read_sheet(data))

    assert any({"b", "d"} <= stage for stage in stages_of(sheet)) is together
    assert ("d" in sheet.foes["b"]) is not together
    assert together or sheet.intergreen_s("b", "d") == sheet.group["b"].clearance_s


@pytest.mark.parametrize("looped", ["west", "west-beside"])
def test_one_loop_tells_of_a_short_road_for_all_its_lanes(sheet_data: dict[str, Any], looped: str) -> None:
    """Whichever lane of it has the loop."""
    data = copy.deepcopy(sheet_data)
    groups = {group["id"]: group for group in data["groups"]}
    groups["b"]["exits"], groups["d"]["exits"] = ["west"], ["west-beside"]
    data["exits"] += [{"id": "west", "road": "road"}, {"id": "west-beside", "road": "road"}]
    data["detectors"].append({"id": looped, "position": "exit", "distance_m": 7.0, "serves": [[looped, 1.0]]})

    assert "d" in apart_at_short_roads(read_sheet(data)).foes["b"]


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


def starts_s(sheet: Sheet, name: str, green: frozenset[str]) -> float:
    """Return after how many seconds those who wait on the lane of a group are let go while others are green."""
    controller = Controller(sheet)
    shown = {group: Aspect.GREEN if group in green else Aspect.RED for group in sheet.group}
    state = JunctionState.first_seen(sheet, 0, shown)
    seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes}
    lane = f"lane-{name}"
    seen[lane] = [VehicleSeen(f"{name}-{place}", lane, 1.0 + 7.0 * place, 0.0, name) for place in range(8)]
    for second in range(1, 20):
        state = state.observe(second, shown, controller.hear(second, {}, shown, seen))
    decision = controller.decide(state)
    assert isinstance(decision, Ask)
    return next(step.offset_s for step in decision.request.steps if step.aspects[name] in GREENS)


@pytest.mark.parametrize(("starting", "green"), [("d", "b"), ("b", "d")])
def test_from_a_short_road_nobody_gives_way_to_the_last_or_the_first(
    sheet_data: dict[str, Any], starting: str, green: str
) -> None:
    """Of d, who gives way, and b one starts when the other is out; from a longer road at once, or with his yellow."""
    short = copy.deepcopy(sheet_data)
    next(lane for lane in short["lanes"] if lane["id"] == "lane-d")["storage_m"] = STORAGE_M - 1.0
    short["detectors"].append({"id": "feeder", "position": "feeder", "distance_m": 20.0, "serves": [["lane-d", 1.0]]})
    sheet = read_sheet(short)
    cleared_s = sheet.group[green].yellow_s + sheet.group[green].clearance_s

    assert starts_s(read_sheet(sheet_data), starting, frozenset({green})) == 0.0
    assert starts_s(sheet, starting, frozenset({green})) == cleared_s
    assert starts_s(sheet, starting, frozenset()) == 0.0
