"""Lanes of which too few detectors are left: how long their queue is, by what comes out, and by what a green leaves behind."""

import math
from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen
from maasloop.actuation.domain.signals.traffic.estimate import Expected, LoopReading
from maasloop.actuation.domain.signals.traffic.gaps import openings_s
from maasloop.actuation.domain.signals.traffic.left_over import (
    LEFT_OVER_MAX,
    MORE_BEHIND,
    MORE_WITHIN_S,
    ComingOutOf,
)
from maasloop.actuation.domain.signals.traffic.perception import Perception

EMPTY = LoopReading(0, 0.0)
COVERED = LoopReading(0, 1.0)
PASSED = LoopReading(1, 0.4)
CYCLE_S = 60
GREEN_S = 20


def told(sheet: Sheet, *dead: str, **spoken: LoopReading) -> dict[str, LoopReading]:
    """Return empty loops but for those spoken of (``_`` for ``-``), without those that are dead."""
    found = {one.id: EMPTY for one in sheet.detectors} | {name.replace("_", "-"): one for name, one in spoken.items()}
    return {name: one for name, one in found.items() if not name.startswith(dead)}


def shown(sheet: Sheet, *green: str) -> dict[str, Aspect]:
    """Return these groups green and all others red."""
    return dict.fromkeys(sheet.group, Aspect.RED) | dict.fromkeys(green, Aspect.GREEN)


def in_green(second: int) -> int:
    """Return for how many seconds the green of a cycle has lasted; 0 in red."""
    return max(0, second % CYCLE_S - (CYCLE_S - GREEN_S) + 1)


def behind_the_line(sheet: Sheet, cycles: int, lasting_s: int) -> float:
    """Return the queue of lane a without its upstream loop, after greens in which one after the other left for so long."""
    perception = Perception(sheet)
    for second in range(1, cycles * CYCLE_S + 1):
        green = in_green(second)
        stop = COVERED if not green else PASSED if green <= lasting_s and green % 2 == 0 else EMPTY
        if green and green <= lasting_s and stop is EMPTY:
            stop = LoopReading(0, 0.5)
        loops = told(sheet, "loop-a-upstream", loop_a_stop_line=stop)
        perception.hear(second, loops, shown(sheet, *(["a"] if green else [])))
    return perception.lanes["lane-a"].queue


def test_a_queue_that_lasts_longer_than_its_green_is_taken_to_be_longer_each_time(sheet: Sheet) -> None:
    """Nobody counts who comes: what stands there after a green that was used to its end doubles up to a limit."""
    queues = [behind_the_line(sheet, cycles, GREEN_S) for cycles in (1, 2, 3, 6)]

    assert queues == pytest.approx([2.0, 4.0, 8.0, LEFT_OVER_MAX], abs=0.5)


def test_a_line_that_was_empty_in_green_left_nobody_behind(sheet: Sheet) -> None:
    """A green whose last seconds nobody wanted let go all."""
    assert behind_the_line(sheet, 5, GREEN_S - 8) < 1.0


def out_of_an_unseen_lane(sheet: Sheet, every_s: int) -> float:
    """Return the queue of the unseen lane a, out of whose greens somebody came every so many seconds."""
    perception = Perception(sheet)
    for second in range(1, 10 * CYCLE_S + 1):
        out = PASSED if in_green(second - 4) and second % every_s == 0 else EMPTY
        perception.hear(
            second, told(sheet, "loop-a", loop_exit=out), shown(sheet, *(["a"] if in_green(second) else []))
        )
    return perception.lanes["lane-a"].queue


def test_as_many_out_of_the_exits_as_could_come_mean_that_others_are_left(sheet: Sheet) -> None:
    """A vehicle at each headway is a queue that the green did not let go; a few are just those who came."""
    assert out_of_an_unseen_lane(sheet, 2) > 4.0
    assert out_of_an_unseen_lane(sheet, 8) < 1.5


def two_ways(sheet_data: dict[str, Any]) -> Sheet:
    """Return the sheet with groups a and d on lane a, each with an exit of its own; half of the lane goes either way."""
    groups = [
        one | {"a": {"exits": ["out"]}, "d": {"exits": ["side"], "lanes": ["lane-a"]}}.get(one["id"], {})
        for one in sheet_data["groups"]
    ]
    side = {"id": "loop-side", "position": "exit", "distance_m": 25.0, "serves": [["side", 1.0]]}
    exits = [{"id": "out"}, {"id": "side"}]
    return read_sheet(
        sheet_data | {"groups": groups, "exits": exits, "detectors": [*sheet_data["detectors"], side], "yields": []}
    )


def test_who_is_first_and_wants_red_holds_up_the_others(sheet_data: dict[str, Any]) -> None:
    """A long green of one of two ways lets go one vehicle in the mean, not one after the other; the rest waits on."""
    sheet = two_ways(sheet_data)
    perception = Perception(sheet)
    queues = {}
    for second in range(1, 201):
        passed = PASSED if second in range(60, 84, 4) else EMPTY
        loops = told(sheet, "loop-a-stop-line", loop_a_upstream=passed)
        perception.hear(
            second, loops, shown(sheet, *(["a"] if 100 < second <= 160 else ["a", "d"] if second > 160 else []))
        )
        queues[second] = perception.lanes["lane-a"].queue

    assert queues[100] >= 6.0
    assert 0.0 < queues[100] - queues[160] < 1.5
    assert queues[190] < 1.0


def demand(sheet: Sheet, every_s: int, *dead: str) -> float:
    """Return the demand of the unseen lane a in vehicles an hour: so many seconds of green lie between two that come out."""
    perception = Perception(sheet)
    for second in range(1, 1_201):
        out = PASSED if in_green(second - 4) and second % every_s == 0 else EMPTY
        loops = told(sheet, "loop-a", *dead, loop_exit=out)
        perception.hear(second, loops, shown(sheet, *(["a", "d"] if in_green(second) else [])))
    return 3_600 * perception.lanes["lane-a"].rate


def test_some_of_the_exits_tell_the_demand_as_well(sheet_data: dict[str, Any]) -> None:
    """With the loop of one of two exits dead, who comes out of the other tells how many come, more or fewer than the plan says."""
    sheet = two_ways(sheet_data)
    few, many = (demand(sheet, every_s, "loop-side") for every_s in (20, 2))

    assert few < 190.0
    assert many > 300.0


def test_who_may_have_come_from_two_lanes_counts_for_both(sheet_data: dict[str, Any]) -> None:
    """Two unseen lanes with one exit: that somebody came out makes neither of them the one that all come from."""
    groups = [one | ({"exits": ["out"]} if one["id"] == "b" else {}) for one in sheet_data["groups"]]
    sheet = read_sheet(sheet_data | {"groups": groups})
    perception = Perception(sheet)
    for second in range(1, 1_201):
        out = PASSED if in_green(second - 4) and second % 4 == 0 else EMPTY
        loops = told(sheet, "loop-a", "loop-b", loop_exit=out)
        perception.hear(second, loops, shown(sheet, *(["a", "b"] if in_green(second) else [])))
    rates = [perception.lanes[name].rate for name in ("lane-a", "lane-b")]

    assert min(rates) > 0.8 * max(rates)


@pytest.mark.parametrize("every_s", [10, 1_000])
def test_who_is_not_announced_comes_as_usual(sheet_data: dict[str, Any], every_s: int) -> None:
    """A junction before tells of its own vehicles only: of the usual demand, the others come all the same."""
    before = {"id": "loop-before", "position": "feeder", "distance_m": 200.0, "serves": [["lane-c", 0.3]]}
    sheet = read_sheet(sheet_data | {"detectors": [*sheet_data["detectors"], before]})
    perception = Perception(sheet)
    for second in range(1, 661):
        passed = PASSED if second % every_s == 0 else EMPTY
        loops = told(sheet, "loop-c", loop_before=passed)
        perception.hear(second, loops, shown(sheet, *(["c"] if second < 620 else [])))

    assert 1.5 < perception.lanes["lane-c"].queue < 3.0


def behind_one_who_came_out(greens: int) -> float:
    """Return how many are taken to be behind one who comes out of every so many greens of 5 s, a vehicle in 100 s being usual."""
    came_out = ComingOutOf()
    for second in range(24 * CYCLE_S + 6):
        since_s = second % CYCLE_S
        out = 1.0 if since_s == 5 and second // CYCLE_S % greens == 0 else 0.0
        came_out.hear(0.5 if 2 <= since_s < 5 else 0.0, out, green=since_s < 5)
    return came_out.behind(0.01)


def test_behind_one_who_came_out_there_is_a_queue_only_where_greens_are_used() -> None:
    """One vehicle is all that a green of 5 s lets go, and others wait behind it; where most let nobody go he was alone."""
    assert behind_one_who_came_out(1) == MORE_BEHIND
    assert behind_one_who_came_out(6) == pytest.approx(0.01 * MORE_WITHIN_S)


def test_who_comes_seldom_is_not_waited_for_behind_another_one(sheet: Sheet) -> None:
    """On an unseen lane out of which one comes in six greens of 5 s nobody is taken to be behind him."""
    perception = Perception(sheet)
    for second in range(1, 60 * CYCLE_S + 6):
        since_s = second % CYCLE_S
        out = PASSED if since_s == 5 and second // CYCLE_S % 6 == 0 else EMPTY
        perception.hear(second, told(sheet, "loop-a", loop_exit=out), shown(sheet, *(["a"] if since_s < 5 else [])))

    assert perception.lanes["lane-a"].queue < MORE_BEHIND / 2


@pytest.mark.parametrize(
    ("group", "at_s", "goes"), [("b", 1.0, False), (None, 1.0, False), ("e", 1.0, True), ("b", 9.0, True)]
)
def test_a_gap_is_where_nobody_with_the_right_of_way_is_about_to_cross(
    sheet: Sheet, group: str | None, at_s: float, *, goes: bool
) -> None:
    """Who goes another way, or comes later, is in nobody's way."""
    lanes = Perception(sheet).lanes
    lanes["lane-b"].vehicles.append(Expected(at_s, 1.0, group=group))
    open_s = openings_s(sheet, lanes, lanes["lane-d"], 0.0, shown(sheet, "b") | {"d": Aspect.YIELDING})

    assert open_s == {"d": lanes["lane-d"].headway_s if goes else math.inf}


def test_who_gives_way_on_an_unseen_lane_leaves_in_gaps_only(sheet: Sheet) -> None:
    """Where those who have the right of way come one after the other nobody leaves; once nobody comes any more, all do."""
    perception = Perception(sheet)
    queues = {}
    for second in range(1, 141):
        on_lane_b = [VehicleSeen(f"b{second // 3}", "lane-b", 3.0 - second % 3, 13.89, "b")] if second <= 100 else []
        loops = told(
            sheet, "loop-d-stop-line", loop_d_upstream=PASSED if 20 <= second < 40 and not second % 4 else EMPTY
        )
        green = {"b": Aspect.GREEN, "d": Aspect.YIELDING} if second > 40 else {}
        perception.hear(second, loops, shown(sheet) | green, {"lane-b": on_lane_b})
        queues[second] = perception.lanes["lane-d"].queue

    assert queues[100] >= queues[40] >= 5.0
    assert queues[120] < 1.0


def after_its_green(sheet_data: dict[str, Any], out: int, gap: range = range(0), green_s: int = 20) -> Perception:
    """Return what is known when the green of the unseen lane d is over, in which it gave way, and so many came out after it."""
    groups = [one | ({"exits": ["out"]} if one["id"] == "d" else {"exits": []}) for one in sheet_data["groups"]]
    sheet = read_sheet(sheet_data | {"groups": groups})
    perception = Perception(sheet)
    for second in range(1, 301 + green_s + 2 + out):
        coming = second not in gap
        on_lane_b = [VehicleSeen(f"b{second // 3}", "lane-b", 3.0 - second % 3, 13.89, "b")] if coming else []
        loops = told(sheet, "loop-d", loop_exit=PASSED if second > 302 + green_s else EMPTY)
        green = {"b": Aspect.GREEN, "d": Aspect.YIELDING} if 300 < second <= 300 + green_s else {}
        perception.hear(second, loops, shown(sheet) | green, {"lane-b": on_lane_b})
    return perception


def left_after_green(sheet_data: dict[str, Any], gap: range, green_s: int) -> float:
    """Return how many fewer are taken to be on the lane where two came out after its green than where nobody did."""
    nobody, two = (after_its_green(sheet_data, out, gap, green_s).lanes["lane-d"].queue for out in (0, 2))
    return nobody - two


def test_who_found_no_gap_leaves_when_his_green_is_over(sheet_data: dict[str, Any]) -> None:
    """Those who come out then had waited inside: they are on the lane no longer. Who left in a gap is not counted twice."""
    assert left_after_green(sheet_data, range(0), 20) == pytest.approx(2.0, abs=0.3)
    assert left_after_green(sheet_data, range(310, 316), 20) < 1.3
    assert left_after_green(sheet_data, range(400), 4) < 0.3


def test_who_may_have_found_no_gap_is_waited_for(sheet_data: dict[str, Any]) -> None:
    """In a green in which nobody came out of the lane somebody may stand inside; not where there was a gap for all."""
    assert after_its_green(sheet_data, 0).crossing.late() == {"d"}
    assert after_its_green(sheet_data, 0, range(400), 40).crossing.late() == frozenset()
