"""Whose queue it is that covers an upstream loop."""

from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading
from maasloop.actuation.domain.signals.traffic.perception import Perception

EMPTY = LoopReading(0, 0.0)
COVERED = LoopReading(0, 1.0)


@pytest.fixture
def joined(sheet_data: dict[str, Any]) -> Sheet:
    """Return the crossing where a side road joins a and b: most are expected to go to a."""
    side = {"id": "side", "position": "upstream", "distance_m": 80.0, "serves": [["lane-a", 0.5], ["lane-b", 0.02]]}
    return read_sheet(sheet_data | {"detectors": [*sheet_data["detectors"], side]})


def standing_on_the_side_road(sheet: Sheet, *, green: str, covered: tuple[str, ...]) -> Perception:
    """Return what is known after half a minute in which one group was green and these loops were covered."""
    perception = Perception(sheet)
    for second in range(1, 31):
        told = {one.id: COVERED if one.id in covered else EMPTY for one in sheet.detectors}
        perception.hear(second, told, dict.fromkeys(sheet.group, Aspect.RED) | {green: Aspect.GREEN})
    return perception


def test_who_stands_on_a_side_road_does_not_wait_for_a_free_lane(joined: Sheet) -> None:
    """Most go to a, but a is green and empty: they wait for b, where somebody stands."""
    lanes = standing_on_the_side_road(joined, green="a", covered=("side", "loop-b-stop-line")).lanes

    assert lanes["lane-a"].queue < 0.1
    assert lanes["lane-b"].queue > 10


def test_who_stands_on_a_side_road_waits_for_the_lane_that_most_go_to(joined: Sheet) -> None:
    """While a is red they may as well wait for a; of b no more is known than that somebody stands there."""
    lanes = standing_on_the_side_road(joined, green="c", covered=("side", "loop-b-stop-line")).lanes

    assert lanes["lane-a"].queue > 10
    assert lanes["lane-b"].queue == 1


def test_where_nobody_stands_at_the_line_the_side_road_waits_for_something_else(joined: Sheet) -> None:
    """With a free and nobody at the line of b they may wait for a gap at their own junction."""
    lanes = standing_on_the_side_road(joined, green="a", covered=("side",)).lanes

    assert lanes["lane-a"].queue + lanes["lane-b"].queue < 0.1


def test_who_has_left_is_not_waiting_although_the_last_ones_have_not_set_off(sheet: Sheet) -> None:
    """A queue covers the loop 80 m before its line; in green one leaves every 2 s, and for 12 s the last ones do not notice."""
    perception = Perception(sheet)
    aspects = dict.fromkeys(sheet.group, Aspect.RED)
    for second in range(1, 43):
        green = second > 30
        leaves = green and second % 2 == 0
        told = {
            one.id: COVERED if one.id in ("loop-a-stop-line", "loop-a-upstream") else EMPTY for one in sheet.detectors
        }
        if green:
            told["loop-a-stop-line"] = LoopReading(1, 0.4) if leaves else EMPTY
        perception.hear(second, told, aspects | {"a": Aspect.GREEN if green else Aspect.RED})
    lane = perception.lanes["lane-a"]

    assert lane.counted == pytest.approx(lane.room - 6)
    assert lane.beyond > 0.0


def side_by_side(sheet_data: dict[str, Any], share: float) -> Sheet:
    """Return the crossing where the upstream loop of a gives it this share of its vehicles and b the rest, and that of b 5 % to a."""
    others = [one for one in sheet_data["detectors"] if one["id"] not in ("loop-a-upstream", "loop-b-upstream")]
    both = [
        {
            "id": "ua",
            "position": "upstream",
            "distance_m": 80.0,
            "serves": [["lane-a", share], ["lane-b", 1.0 - share]],
        },
        {"id": "ub", "position": "upstream", "distance_m": 80.0, "serves": [["lane-b", 0.95], ["lane-a", 0.05]]},
    ]
    return read_sheet(sheet_data | {"detectors": [*others, *both]})


def test_of_two_lanes_the_fuller_one_has_its_queue_on_the_loop_of_both(sheet_data: dict[str, Any]) -> None:
    """Five wait for b and none for a when the loop before both of them is covered."""
    beside = side_by_side(sheet_data, 0.6)
    perception = Perception(beside)
    aspects = dict.fromkeys(beside.group, Aspect.RED)
    for second in range(1, 61):
        told = {one.id: EMPTY for one in beside.detectors}
        if second in range(5, 30, 5):
            told["ub"] = LoopReading(1, 0.4)
        if second > 15:
            told["loop-b-stop-line"] = COVERED
        if second > 40:
            told["ua"] = COVERED
        perception.hear(second, told, aspects)

    assert perception.lanes["lane-b"].counted == pytest.approx(perception.lanes["lane-b"].room)
    assert perception.lanes["lane-a"].queue < 1.0


def test_a_full_lane_takes_in_nobody_who_did_not_come_to_the_lane_beside(sheet_data: dict[str, Any]) -> None:
    """The queue of b reaches its upstream loop; those who were expected at a, and did not come, are not there as well."""
    beside = side_by_side(sheet_data, 0.95)
    perception = Perception(beside)
    aspects = dict.fromkeys(beside.group, Aspect.RED) | {"a": Aspect.GREEN}
    for second in range(1, 61):
        told = {one.id: EMPTY for one in beside.detectors}
        if second > 5:
            told["loop-b-stop-line"] = told["ub"] = COVERED
        if second > 20 and second % 2:
            told["ua"] = LoopReading(1, 0.4)
        perception.hear(second, told, aspects)

    assert perception.lanes["lane-b"].counted <= perception.lanes["lane-b"].room + 1.0
