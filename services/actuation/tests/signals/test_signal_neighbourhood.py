"""Junctions in a row: what one announces to the next, and who holds back when somebody is stuck between them."""

import copy
from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.outlook import PRESSED_WEIGHT, PRESSED_WEIGHT_MAX, Prospect, plan_stage
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen
from maasloop.actuation.domain.signals.traffic.detectors import EXIT_STANDING_S
from maasloop.actuation.domain.signals.traffic.estimate import CAME_AT_FIRST, Expected, LoopReading
from maasloop.actuation.domain.signals.traffic.neighbourhood import (
    ASK_LOST,
    ASK_PAUSE_S,
    ASK_S,
    ASK_STUCK_S,
    Hears,
    Neighbourhood,
    Says,
)
from maasloop.actuation.domain.signals.traffic.perception import Perception

PASSED = LoopReading(1, 0.4)
EMPTY = LoopReading(0, 0.0)
DISTANCE_M = 264.0
TRAVEL_S = 20


def feeder(name: str, *lanes: str) -> dict[str, Any]:
    """Return a loop of another junction, 20 s before these lanes; lane a where none is named."""
    serves = [[lane, 1.0 / len(lanes)] for lane in lanes] or [["lane-a", 1.0]]
    return {"id": name, "position": "feeder", "distance_m": DISTANCE_M, "serves": serves}


@pytest.fixture
def west(sheet_data: dict[str, Any]) -> Sheet:
    """Return a crossing whose lane a is fed by the exit of the crossing in the east."""
    data = copy.deepcopy(sheet_data)
    data["detectors"].append(feeder("loop-exit-east"))
    return read_sheet(data)


@pytest.fixture
def east(sheet_data: dict[str, Any]) -> Sheet:
    """Return the crossing in the east, fed by the one in the west."""
    data = copy.deepcopy(sheet_data)
    data["junction"] = "east"
    for one in data["detectors"]:
        one["id"] = f"{one['id']}-east"
    data["detectors"].append(feeder("loop-exit"))
    return read_sheet(data)


def test_both_sides_of_a_road_hold_back(west: Sheet, east: Sheet) -> None:
    """Who is stuck before the one junction gets a gap in both directions; nobody else is asked for anything."""
    neighbourhood = Neighbourhood([west, east])

    stuck = Says(stuck=frozenset({"lane-a"}))
    out = Hears(held_back=frozenset({"out"}))
    assert neighbourhood.pass_on({"east": stuck}) == {"crossing": out, "east": out}
    assert neighbourhood.pass_on({"east": Says(stuck=frozenset({"lane-b"})), "elsewhere": stuck}) == {}
    assert neighbourhood.pass_on({}) == {}


def test_a_short_road_is_closed_on_the_side_that_leads_there(west: Sheet, east: Sheet) -> None:
    """Where whoever came would have to stand on a short road, those before it let nobody in; the other way is free."""
    closed = Says(closed=frozenset({"lane-a"}))
    standing = Says(closed=frozenset({"lane-a"}), standing=frozenset({"lane-a"}))

    out = frozenset({"out"})
    assert Neighbourhood([west, east]).pass_on({"east": closed}) == {"crossing": Hears(held_back=out)}
    assert Neighbourhood([west, east]).pass_on({"east": standing}) == {"crossing": Hears(held_back=out, standing=out)}


def test_who_leaves_by_an_exit_comes_to_the_lanes_behind_it(west: Sheet, east: Sheet) -> None:
    """Each lane that the exit leads to may be the one; nobody else hears of it."""
    who = (Expected(3.0, 1.0), Expected(5.0, 0.4))
    said = Says(leaving={"out": who}, sending=frozenset({"out"}))

    told = Neighbourhood([west, east]).pass_on({"crossing": said})
    assert told == {"east": Hears(coming={"lane-a": who}, sent_to=frozenset({"lane-a"}))}
    assert Says(opening=frozenset({"out"}))
    told = Neighbourhood([west, east]).pass_on({"crossing": Says(opening=frozenset({"out", "elsewhere"}))})
    assert told == {"east": Hears(opened_to=frozenset({"lane-a"}))}


def test_nobody_is_sent_into_an_exit_that_is_held_back(west: Sheet) -> None:
    """An exit that is held back counts as full, for as long as it is asked for."""
    perception = Perception(west)
    red = dict.fromkeys(west.group, Aspect.RED)
    perception.hear(1, {}, red, heard=Hears(held_back=frozenset({"out"})))
    assert not perception.free("a")

    perception.hear(2, {}, red)
    assert perception.free("a")


def asked(sheet: Sheet, distance_m: float, seconds: int) -> list[int]:
    """Return the seconds in which others are asked to hold back for a vehicle that stands at a distance."""
    perception = Perception(sheet)
    red = dict.fromkeys(sheet.group, Aspect.RED)
    seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes}
    seen["lane-a"] = [VehicleSeen("a-0", "lane-a", distance_m, 0.0, "a")]
    found = []
    for second in range(1, seconds):
        perception.hear(second, {}, red, seen)
        found += [second] if perception.says.stuck else []
    return found


def test_somebody_stuck_on_the_way_asks_for_a_gap(west: Sheet) -> None:
    """Who stands long with a free road ahead asks for some seconds, then leaves some to the others; a queue does not."""
    first = 1 + int(ASK_STUCK_S)
    found = asked(west, 90.0, first + int(ASK_S + ASK_PAUSE_S))

    assert found == list(range(first, first + int(ASK_S)))
    assert asked(west, 2.0, first + int(ASK_S)) == []
    assert len(asked(west, 90.0, first + int(ASK_S + ASK_PAUSE_S) + 5)) > int(ASK_S)


def hear(perception: Perception, second: int, *passed: str) -> None:
    """Let one second pass in which vehicles passed these loops."""
    loops = {one.id: EMPTY for one in perception.sheet.detectors} | dict.fromkeys(passed, PASSED)
    perception.hear(second, loops, dict.fromkeys(perception.sheet.group, Aspect.RED))


def test_a_feeder_announces_and_the_own_loop_confirms(west: Sheet) -> None:
    """Who left the junction before is expected at the line, and counts once when the own loop sees him, too."""
    perception = Perception(west)
    lane = perception.lanes["lane-a"]
    hear(perception, 1, "loop-exit-east")
    assert [round(one.at_s) for one in lane.announced] == [1 + TRAVEL_S]
    for second in range(2, 15):
        hear(perception, second)
    hear(perception, 15, "loop-a-upstream")

    assert (len(lane.vehicles), len(lane.announced)) == (1, 0)


def test_those_who_do_not_come_are_missed(west: Sheet) -> None:
    """Who is not seen in time went elsewhere; when nobody comes any more, those before are asked to hold back."""
    perception = Perception(west)
    for second in range(1, 90):
        hear(perception, second, *(("loop-exit-east",) if second % 3 == 0 else ()))
        if perception.says.stuck:
            break

    assert perception.says.stuck == {"lane-a"}
    assert second > 3 * ASK_LOST


def test_who_is_announced_is_expected_to_leave(west: Sheet) -> None:
    """A green is known to serve a platoon while it is still on its way from the junction before."""
    perception = Perception(west)
    hear(perception, 1, "loop-exit-east")
    hear(perception, 2, "loop-exit-east")
    state = JunctionState.first_seen(west, 2, dict.fromkeys(west.group, Aspect.RED))
    plan = plan_stage(west, frozenset({"a"}))
    found, _ = Prospect(perception, state, 60.0).of(plan.lanes[0], {"a": 5.0})

    assert [(round(at_s), weight) for at_s, weight, _ in found] == [
        (TRAVEL_S - 1, CAME_AT_FIRST),
        (TRAVEL_S, CAME_AT_FIRST),
    ]


@pytest.mark.parametrize("come", [False, True])
def test_the_announced_count_for_as_many_as_came(west: Sheet, *, come: bool) -> None:
    """Where those who are announced turn off before the line, the next ones count for little, else for nearly all."""
    perception = Perception(west)
    lane = perception.lanes["lane-a"]
    for second in range(1, 3000, 30):
        hear(perception, second, "loop-exit-east")
        for later in range(1, 30):
            hear(perception, second + later, *(("loop-a-upstream",) if come and later == 14 else ()))
        lane.vehicles.clear()

    assert (lane.came > 0.8) is come
    assert (lane.came < 0.2) is not come


def test_who_comes_on_a_lane_beside_is_not_waited_for(sheet_data: dict[str, Any]) -> None:
    """A vehicle that was announced for one lane and is seen on another of its road counts once, and is not missed."""
    sheet_data["detectors"].append(feeder("loop-exit-east", "lane-a", "lane-b"))
    perception = Perception(read_sheet(sheet_data))
    lanes = [perception.lanes[name] for name in ("lane-a", "lane-b")]
    hear(perception, 1, "loop-exit-east")
    for second in range(2, 15):
        hear(perception, second)
    elsewhere = "b" if lanes[0].announced else "a"
    hear(perception, 15, f"loop-{elsewhere}-upstream")

    assert sum(len(lane.vehicles) for lane in lanes) == 1
    assert not any(lane.announced for lane in lanes)


def test_without_a_loop_of_its_own_a_lane_believes_its_feeder(sheet_data: dict[str, Any]) -> None:
    """Where no loop lies between two junctions, who was announced comes, and nobody is thought to be missing."""
    kept = [one for one in sheet_data["detectors"] if one["id"] != "loop-a-upstream"]
    perception = Perception(read_sheet(sheet_data | {"detectors": [*kept, feeder("loop-exit-east")]}))
    for second in range(1, 3 * ASK_LOST * 2):
        hear(perception, second, *(("loop-exit-east",) if second % 3 == 0 else ()))
        assert not perception.says.stuck

    assert perception.lanes["lane-a"].vehicles


def rate_of_a(sheet: Sheet, backed_up_s: int) -> float:
    """Return the vehicles that a green of lane a is credited with, after its queue has reached the feeder for so long."""
    perception = Perception(sheet)
    red = dict.fromkeys(sheet.group, Aspect.RED)
    state = JunctionState.first_seen(sheet, 0, red)
    seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes}
    seen["lane-a"] = [VehicleSeen("a-0", "lane-a", 1.0, 0.0, "a")]
    last = 100
    for second in range(1, last + 1):
        occupancy = 1.0 if last - backed_up_s < second else 0.0
        perception.hear(second, {"loop-exit-east": LoopReading(0, occupancy)}, red, seen)
        state = state.observe(second, red)
    [plan] = plan_stage(sheet, frozenset({"a"})).lanes
    found, _ = Prospect(perception, state, 60.0).of(plan, {"a": 0.0})
    return sum(weight for _, weight, _ in found)


def test_a_queue_that_fills_the_road_counts_more_the_longer_it_does(west: Sheet) -> None:
    """Where a queue reaches the junction before, it weighs more and more, up to a limit; who waits elsewhere, does not."""
    assert rate_of_a(west, 0) == rate_of_a(west, EXIT_STANDING_S - 1) == 1.0
    assert rate_of_a(west, EXIT_STANDING_S) == PRESSED_WEIGHT
    assert PRESSED_WEIGHT < rate_of_a(west, 50) < rate_of_a(west, 90) <= PRESSED_WEIGHT_MAX


def test_who_is_still_on_the_way_is_not_the_one_at_the_line(west: Sheet) -> None:
    """Who leaves or stands at the line before the one who was counted upstream can be there is somebody else."""
    leaving, standing = Perception(west), Perception(west)
    for perception in (leaving, standing):
        hear(perception, 1, "loop-a-upstream")
    hear(leaving, 2, "loop-a-stop-line")
    loops = {one.id: EMPTY for one in west.detectors} | {"loop-a-stop-line": LoopReading(0, 1.0)}
    for second in (2, 3):
        standing.hear(second, loops, dict.fromkeys(west.group, Aspect.RED))

    assert [lane.queue for lane in (leaving.lanes["lane-a"], standing.lanes["lane-a"])] == [1.0, 2.0]
