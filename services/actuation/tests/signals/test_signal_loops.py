"""What loops tell of a queue: who was given up too soon comes back, and each loop learns where its vehicles go."""

from typing import Any

from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.estimate import LoopReading, UpstreamShares
from maasloop.actuation.domain.signals.perception import Perception
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet

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
    shares = {name: perception._sources[name].shares for name in ("ua", "ub")}

    assert shares["ua"]["lane-b"] > 0.35
    assert shares["ub"]["lane-a"] < 0.1
