"""What loops tell of a queue: who was given up too soon comes back, and each loop learns where its vehicles go."""

from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.traffic.estimate import LaneEstimate, LoopReading
from maasloop.actuation.domain.signals.traffic.forecast import LaneOutlook, departures
from maasloop.actuation.domain.signals.traffic.perception import Perception
from maasloop.actuation.domain.signals.traffic.upstream_shares import UpstreamShares

EMPTY = LoopReading(0, 0.0)
COVERED = LoopReading(0, 1.0)
PASSED = LoopReading(1, 0.4)


def queues_of(sheet: Sheet, *, came: range, left: tuple[int, ...], stood: range, until_s: int) -> dict[int, float]:
    """Return the queue of lane a in each second: it is green from second 41 on, the seconds tell what its loops saw."""
    perception = Perception(sheet)
    found = {}
    for second in range(1, until_s):
        told = {one.id: EMPTY for one in sheet.detectors}
        told["loop-a-upstream"] = PASSED if second in came else EMPTY
        told["loop-a-stop-line"] = PASSED if second in left else COVERED if second in stood else EMPTY
        aspects = dict.fromkeys(sheet.group, Aspect.RED) | ({"a": Aspect.GREEN} if second > 40 else {})
        perception.hear(second, told, aspects)
        found[second] = perception.lanes["lane-a"].queue
    return found


def test_who_was_given_up_in_a_gap_comes_back_with_the_next_one(sheet: Sheet) -> None:
    """Of eight that were counted two leave, and after a gap in which the others are given up a third: five are left."""
    queues = queues_of(sheet, came=range(10, 18), left=(42, 44, 50), stood=range(15, 42), until_s=52)

    assert queues[49] == 0
    assert queues[50] == 5


def test_nobody_comes_back_long_after_the_gap(sheet: Sheet) -> None:
    """Who comes much later is somebody else."""
    queues = queues_of(sheet, came=range(10, 18), left=(42, 44, 62), stood=range(15, 42), until_s=64)

    assert queues[62] == 0


def test_where_nobody_turns_off_everybody_is_on_one_of_the_lanes() -> None:
    """A loop whose lanes get all of its vehicles expects each of them, though none was seen to leave; another does not."""
    closed, other = UpstreamShares({"left": 0.95, "right": 0.05}), UpstreamShares({"left": 0.5})

    assert None not in [closed.assign() for _ in range(40)]
    assert [other.assign() for _ in range(40)].count(None) > 30


def test_the_loop_that_misses_its_vehicles_is_taken_for_the_origin(sheet_data: dict[str, Any]) -> None:
    """Half of those over one loop change lanes: it learns that, and the loop of the lane that they change to does not."""
    data = sheet_data | {
        "detectors": [
            *(one for one in sheet_data["detectors"] if one["id"] not in ("loop-a-upstream", "loop-b-upstream")),
            {"id": "ua", "position": "upstream", "distance_m": 80.0, "serves": [["lane-a", 0.95], ["lane-b", 0.05]]},
            {"id": "ub", "position": "upstream", "distance_m": 80.0, "serves": [["lane-b", 0.95], ["lane-a", 0.05]]},
        ]
    }
    sheet = read_sheet(data)
    perception = Perception(sheet)
    seen = {10: "ua", 14: "ua", 18: "ub", 16: "loop-a-stop-line", 24: "loop-b-stop-line", 28: "loop-b-stop-line"}
    aspects = dict.fromkeys(sheet.group, Aspect.RED) | {"a": Aspect.GREEN, "b": Aspect.GREEN}
    for second in range(1, 1_500):
        told = {one.id: EMPTY for one in sheet.detectors}
        if second % 30 in seen:
            told[seen[second % 30]] = PASSED
        perception.hear(second, told, aspects)
    shares = {name: perception._upstream.sources[name].shares for name in ("ua", "ub")}

    assert shares["ua"]["lane-b"] > 0.35
    assert shares["ub"]["lane-a"] < 0.1


def test_who_goes_elsewhere_as_expected_is_not_missed() -> None:
    """Half of those over a loop turn off before the lines, as its sheet states; of another one three of ten are missing."""
    turning_off, losing = UpstreamShares({"a": 0.5}), UpstreamShares({"a": 0.95, "b": 0.05})
    for number in range(200):
        for source, comes in ((turning_off, number % 2 == 0), (losing, number % 10 > 2)):
            source.assign()
            if comes:
                source.found("a", 1.0)

    assert turning_off.lost() < 1.0
    assert losing.lost() > 10.0


def wish(sheet_data: dict[str, Any], stood_s: int, *, lane: str, opposed: bool = False) -> float:
    """Return how likely the first of a lane wants e, a rare turn, once he has stood so long while its other group is green.

    Where he is ``opposed``, those to whom the other group gives way keep coming.
    """
    rare = next(one for one in sheet_data["groups"] if one["id"] == "e")
    rare.update({"lanes": [lane], "turn": "t"})
    perception = Perception(read_sheet(sheet_data))
    aspects = {"a": Aspect.GREEN, "b": Aspect.GREEN, "c": Aspect.RED, "d": Aspect.YIELDING, "e": Aspect.RED}
    for second in range(1, 41 + stood_s):
        told = {one["id"]: EMPTY for one in sheet_data["detectors"]}
        told[f"loop-{lane.removeprefix('lane-')}-stop-line"] = COVERED if second > 38 else EMPTY
        told["loop-b-upstream"] = PASSED if opposed and second % 2 else EMPTY
        told["loop-b-stop-line"] = COVERED if opposed else EMPTY
        perception.hear(second, told, aspects if second > 40 else dict.fromkeys(aspects, Aspect.RED))
    return perception.lanes[lane].head_chances()["e"]


@pytest.mark.parametrize("lane", ["lane-a", "lane-d"])
def test_who_stands_at_a_green_for_long_wants_another_however_few_do(sheet_data: dict[str, Any], lane: str) -> None:
    """Nobody holds up a lane for minutes because hardly anybody ever turns round: the longer he stands, the likelier it is."""
    assert wish(sheet_data, 3, lane=lane) < 0.05
    assert wish(sheet_data, 20, lane=lane) > 0.95


def test_who_finds_no_gap_may_want_the_green_all_the_same(sheet_data: dict[str, Any]) -> None:
    """As long as those with the right of way keep coming, that he stands tells little."""
    assert wish(sheet_data, 20, lane="lane-d", opposed=True) < 0.1


@pytest.mark.parametrize(
    ("due_s", "empty_s", "standing", "leaves_s"),
    [
        (-2.0, 0, False, 1.5),
        (-2.0, 1, False, 1.0),
        (-2.0, 2, False, 2.0),
        (-2.0, 9, False, 5.0),
        (-2.0, 0, True, 2.0),
        (3.0, 9, False, 3.0),
    ],
)
def test_who_is_late_in_green_is_expected_by_what_the_line_tells(
    due_s: float, empty_s: int, standing: bool, leaves_s: float
) -> None:
    """An empty line tells that who should be there by now is further back; who is not due yet comes when he is."""
    lane = LaneEstimate("lane", 13.89, 1.8, 80.0, {"through": 1.0}, empty_s=empty_s, standing=standing)
    for _ in range(2):
        lane.arrive(due_s, 1.0)
    moving = LaneOutlook((("through", 0.0),), (), 1.0, 0.0, 1.0, 0.0, True, 0.0, 0.0)

    assert [at_s for at_s, _, _ in departures(lane, moving, 0.0, 60.0)] == pytest.approx([leaves_s, leaves_s + 1.8])


def test_behind_one_whose_green_starts_later_nobody_leaves_sooner() -> None:
    """Half turn right and may go at once, the other half in 6 s: until then the first ones go who are ahead of nobody else's."""
    lane = LaneEstimate("lane", 13.89, 1.8, 80.0, {"right": 0.5, "through": 0.5})
    for _ in range(6):
        lane.arrive(-10.0, 1.0)
    ways = (("right", 0.0), ("through", 6.0))
    found = departures(lane, LaneOutlook(ways, (), 1.0, 0.0, 1.0, 0.0, False, 0.0, 0.0), 0.0, 60.0)
    sooner = [weight for at_s, weight, _ in found if at_s < 6.0]

    assert sooner == pytest.approx([0.5, 0.25, 0.125])
    assert sum(weight for _, weight, _ in found) == pytest.approx(6.0)
    assert min(at_s for at_s, _, _ in found if at_s > 6.0) == pytest.approx(7.5)
    assert found[-1][0] == pytest.approx(7.5 + 0.125 * 1.8 + 4 * 1.8)


def test_a_lane_does_not_wait_for_a_green_that_hardly_anybody_wants() -> None:
    """One of twenty turns round, for which green comes in 6 s: the others are not held up in the mean."""
    lane = LaneEstimate("lane", 13.89, 1.8, 80.0, {"through": 0.95, "round": 0.05})
    lane.arrive(-10.0, 1.0)
    ways = (("through", 0.0), ("round", 6.0))
    found = departures(lane, LaneOutlook(ways, (), 1.0, 0.0, 1.0, 0.0, False, 0.0, 0.0), 0.0, 60.0)

    assert [at_s for at_s, _, _ in found] == pytest.approx([1.5])
