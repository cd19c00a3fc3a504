"""Signals are not turned green for nobody: what that would cost is the time to clear it again."""

import copy
from typing import Any

from maasloop.actuation.domain.signals.aspects import GREENS, Aspect
from maasloop.actuation.domain.signals.controller import Ask, Controller
from maasloop.actuation.domain.signals.priority import PriorityLevel, PriorityRequest
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading

QUIET_S = 120
PRESSED, ALONE = LoopReading(0, 1.0), LoopReading(0, 0.0)


def asked(
    sheet: Sheet,
    green: str,
    wanted: str,
    *asking: PriorityRequest,
    usual: str = "",
    unwatched: str = "",
    button: LoopReading | None = None,
) -> tuple[list[str], str]:
    """Return the groups that are to be green, and why, after two quiet minutes.

    Somebody stands on the lane of each ``wanted`` group; somebody else came every 10 s to those of the ``usual`` ones.
    """
    controller = Controller(sheet)
    shown: dict[str, Aspect] = dict.fromkeys(sheet.group, Aspect.RED) | dict.fromkeys(green, Aspect.GREEN)
    state = JunctionState.first_seen(sheet, 0, shown)
    readings = {one.id: ALONE for one in sheet.detectors if one.id != "button"}
    readings |= {"button": button} if button is not None else {}
    for second in range(1, QUIET_S + 1):
        seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes if lane.id not in unwatched.split()}
        for name in usual if second % 10 == 5 else "":
            seen[f"lane-{name}"] = [VehicleSeen(f"{name}{second}", f"lane-{name}", 100.0, 10.0, name)]
        for name in wanted if second == QUIET_S else "":
            seen[f"lane-{name}"] = [VehicleSeen(name, f"lane-{name}", 1.0, 0.0, name)]
        called = controller.hear(second, readings, shown, seen)
        state = state.observe(second, shown, called)
    for one in asking:
        assert controller.priorities.ask(QUIET_S, one) is None
    decision = controller.decide(state)
    assert isinstance(decision, Ask)
    return sorted(name for name, one in decision.request.steps[-1].aspects.items() if one in GREENS), decision.reason


def with_people_on_foot(sheet_data: dict[str, Any]) -> Sheet:
    """Return the junction with its group d for people on foot, whom those of b give way to."""
    data = copy.deepcopy(sheet_data)
    walkers = next(one for one in data["groups"] if one["id"] == "d")
    walkers |= {"kind": "pedestrian", "yellow_s": 0, "all_red_s": 8, "crossing_m": 9.4}
    next(one for one in data["lanes"] if one["id"] == "lane-d")["speed_mps"] = 1.2
    data["yields"] = [["b", "d"]]
    data["intergreens"] = [["d", "c", 8] if row[:2] == ["d", "c"] else row for row in data["intergreens"]]
    data["detectors"] = [one for one in data["detectors"] if not one["id"].startswith("loop-d")]
    data["detectors"].append({"id": "button", "position": "button", "distance_m": 0, "serves": [["lane-d", 1.0]]})
    for step, state in zip(data["local"]["steps"], ("GGrgr", "yyrrr", "rrrrr", "rrGrr", "rryrr", "rrrrr"), strict=True):
        step["state"] = state.replace("GGrgr", "GgrGr")
    data["local"]["steps"][2]["duration_s"] = 4
    return read_sheet(data)


def test_a_movement_that_few_want_waits_for_somebody(sheet: Sheet) -> None:
    """It is green with the others where somebody is in sight, and the decision tells how many groups were left out."""
    started, reason = asked(sheet, "", "a")

    assert started == ["a"]
    assert reason.endswith(", 2 groups are wanted by nobody")
    assert asked(sheet, "", "ad")[0] == ["a", "d"]


def test_one_that_many_want_does_not(sheet: Sheet) -> None:
    """The next one comes soon, and would be held up until it is decided anew."""
    assert asked(sheet, "", "a", usual="d")[0] == ["a", "d"]


def test_where_nobody_watches_somebody_may_come(sheet: Sheet) -> None:
    """Loops tell of him a few seconds before he is there, which is too late."""
    assert asked(sheet, "", "a", unwatched="lane-b")[0] == ["a", "b"]


def test_a_green_that_nobody_wants_any_more_stays_beside_others(sheet: Sheet) -> None:
    """To end it would keep the others from being decided upon for the time of its yellow."""
    assert asked(sheet, "b", "a")[0] == ["a", "b"]


def test_who_asked_for_priority_is_wanted_before_he_is_seen(sheet: Sheet) -> None:
    """An ambulance is told of long before it is in sight."""
    ambulance = PriorityRequest("ambulance", "d", PriorityLevel.EMERGENCY, QUIET_S + 15.0, QUIET_S + 12.0)

    assert "d" in asked(sheet, "", "a", ambulance)[0]


def test_a_crossing_is_green_for_those_at_the_kerb_only(sheet_data: dict[str, Any]) -> None:
    """Seen there, or told of by the button: the others are not kept waiting while nobody walks."""
    sheet = with_people_on_foot(sheet_data)

    assert asked(sheet, "", "ab", usual="d")[0] == ["a", "b"]
    assert asked(sheet, "", "dab")[0] == ["a", "b", "d"]
    assert asked(sheet, "", "ab", unwatched="lane-d", button=ALONE)[0] == ["a", "b"]
    assert asked(sheet, "", "ab", unwatched="lane-d", button=PRESSED)[0] == ["a", "b", "d"]


def test_a_crossing_that_is_empty_ends_beside_a_road_that_is_not(sheet_data: dict[str, Any]) -> None:
    """Its clearance is over then when the road across is to start."""
    assert asked(with_people_on_foot(sheet_data), "dab", "ab")[0] == ["a", "b"]


def test_a_crossing_whose_button_is_dead_is_green_now_and_then(sheet_data: dict[str, Any]) -> None:
    """Nobody tells whether somebody waits."""
    assert asked(with_people_on_foot(sheet_data), "", "ab", unwatched="lane-d")[0] == ["a", "b", "d"]
