"""Detectors that fail: what a loop cannot mean is not believed, and a lane that nobody sees is served all the same."""

from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.controller import Controller, Release
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.estimate import (
    BEYOND_MAX,
    DISTRUST_S,
    PASSED_BY_MAX,
    SILENT_S,
    STUCK_S,
    LoopMemory,
    LoopReading,
)
from maasloop.actuation.domain.signals.traffic.perception import Perception

EMPTY = LoopReading(0, 0.0)
COVERED = LoopReading(0, 1.0)
PASSED = LoopReading(1, 0.4)


def all_red(sheet: Sheet) -> dict[str, Aspect]:
    """Return every group red."""
    return dict.fromkeys(sheet.group, Aspect.RED)


def readings(sheet: Sheet, *silent: str, **told: LoopReading) -> dict[str, LoopReading]:
    """Return empty loops but for those told (``_`` for ``-``), without those of the lanes of silent groups."""
    found = {
        one.id: EMPTY for one in sheet.detectors if not any(one.id.startswith(f"loop-{group}-") for group in silent)
    }
    return found | {name.replace("_", "-"): reading for name, reading in told.items()}


def heard(seconds: int, reading: LoopReading) -> LoopMemory:
    """Return a loop that said the same for so long."""
    memory = LoopMemory()
    for second in range(1, seconds + 1):
        memory.hear(second, reading)
    return memory


@pytest.mark.parametrize(
    ("seconds", "reading", "failed"),
    [
        (STUCK_S - 1, COVERED, False),
        (STUCK_S, COVERED, True),
        (60, LoopReading(1, 0.5), False),
        (60, LoopReading(3, 0.5), True),
        (3_600, EMPTY, False),
    ],
)
def test_what_no_traffic_does_is_not_believed(seconds: int, reading: LoopReading, failed: bool) -> None:
    """A loop that stays covered, or counts more than a lane carries, has failed; a full or an empty lane has not."""
    assert heard(seconds, reading).failed(seconds) is failed


def test_a_loop_is_believed_again_some_time_after_it_was_stuck() -> None:
    """A loop that works again is trusted after a while, not at once."""
    memory = heard(STUCK_S, COVERED)
    for second in range(STUCK_S + 1, STUCK_S + 600):
        memory.hear(second, PASSED if second % 5 == 0 else EMPTY)

    assert memory.failed(STUCK_S + DISTRUST_S - 1)
    assert not memory.failed(STUCK_S + DISTRUST_S + 1)


def test_a_silent_loop_has_failed_until_it_speaks() -> None:
    """Silence is no reading of an empty lane; the first word ends it."""
    memory = heard(10, EMPTY)
    assert not memory.failed(10 + SILENT_S)
    assert memory.failed(11 + SILENT_S)

    memory.hear(60, EMPTY)
    assert not memory.failed(60)


def test_a_loop_that_misses_who_passes_has_failed(sheet: Sheet) -> None:
    """Behind a dead upstream loop the usual demand is taken to come: the queue is longer than its head."""
    perception = Perception(sheet)
    green = all_red(sheet) | {"a": Aspect.GREEN}
    for second in range(1, int(PASSED_BY_MAX) * 3 + 3):
        told = PASSED if second % 3 == 0 else EMPTY
        perception.hear(second, readings(sheet, loop_a_stop_line=told), green)

    for second in range(100, 200):
        perception.hear(second, readings(sheet, loop_a_stop_line=COVERED), all_red(sheet))
    assert perception.lanes["lane-a"].queue > 3


def test_an_exit_whose_loop_is_stuck_is_not_full_for_ever(sheet: Sheet) -> None:
    """A covered exit holds back who goes there, until its loop has been covered for longer than any queue."""
    perception = Perception(sheet)
    for second in range(1, STUCK_S):
        perception.hear(second, readings(sheet, loop_exit=COVERED), all_red(sheet))
    assert not perception.free("a")

    perception.hear(STUCK_S, readings(sheet, loop_exit=COVERED), all_red(sheet))
    assert perception.free("a")


def demand(sheet: Sheet, out_every_s: int) -> float:
    """Return the demand of a lane that nobody sees, of which one vehicle comes out every so many seconds of green."""
    perception = Perception(sheet)
    for second in range(1, 1_200):
        green = second % 60 < 30
        out = PASSED if green and second % out_every_s == 0 else EMPTY
        aspects = all_red(sheet) | {"a": Aspect.GREEN if green else Aspect.RED}
        perception.hear(second, readings(sheet, "a", loop_exit=out), aspects)
    return perception.lanes["lane-a"].rate


def test_the_exits_tell_the_demand_of_a_lane_that_is_not_seen(sheet: Sheet) -> None:
    """The more vehicles come out that no other lane sent, the more are expected on the lane that nobody sees."""
    assert demand(sheet, 3) > 2 * demand(sheet, 10)


def test_a_lane_that_is_not_seen_calls_as_long_as_it_is_red(sheet: Sheet) -> None:
    """Somebody may stand there at any time: a constant call, so that the maximum wait holds for him as well."""
    perception = Perception(sheet)
    perception.hear(1, readings(sheet, "a"), all_red(sheet))
    perception.hear(int(SILENT_S) + 2, readings(sheet, "a"), all_red(sheet))

    assert perception.called(all_red(sheet)) == {"a"}
    assert perception.called(all_red(sheet) | {"a": Aspect.GREEN}) == set()


def waiting(sheet: Sheet, every_s: int, red_s: int) -> float:
    """Return how many are taken to wait on the unseen lane c after so long a red, while one comes to the others."""
    perception = Perception(sheet)
    shown = all_red(sheet) | {"c": Aspect.GREEN}
    for second in range(1, 601 + red_s):
        passes = PASSED if second % every_s == 0 else EMPTY
        loops = {f"loop_{name}_{place}": passes for name in "abde" for place in ("upstream", "stop_line")}
        perception.hear(second, readings(sheet, "c", **loops), shown if second <= 600 else all_red(sheet))
    return perception.lanes["lane-c"].queue


def test_a_lane_that_was_never_seen_is_as_busy_as_the_others_or_as_the_plan_assumes(sheet: Sheet) -> None:
    """What waits there grows by shares of a vehicle: as its plan lets assume, and faster where more comes to the others."""
    nobody, few, many = waiting(sheet, 4_000, 30), waiting(sheet, 40, 30), waiting(sheet, 8, 30)

    assert nobody == few
    assert 1.0 < few < 0.7 * many
    assert waiting(sheet, 40, 60) == pytest.approx(2 * few, rel=0.3)


@pytest.mark.parametrize(("every_s", "left"), [(2, True), (100, False)])
def test_a_lane_with_one_of_two_exits_watched_has_more_behind(
    sheet_data: dict[str, Any], every_s: int, left: bool
) -> None:
    """Where no more than some of those who leave are seen, they tell as well that others are behind them."""
    groups = [one | ({"exits": ["out", "side"]} if one["id"] == "a" else {}) for one in sheet_data["groups"]]
    sheet = read_sheet(sheet_data | {"groups": groups, "exits": [{"id": "out"}, {"id": "side"}]})
    perception = Perception(sheet)
    for second in range(1, 121):
        told = {"loop_exit": PASSED if second > 70 and second % every_s == 0 else EMPTY}
        aspects = all_red(sheet) | ({"a": Aspect.GREEN} if second > 60 else {})
        perception.hear(second, readings(sheet, "a", **told), aspects)

    assert (perception.lanes["lane-a"].queue > 1.0) is left


@pytest.mark.parametrize(("road", "left"), [("north", True), ("south", False)])
def test_who_comes_out_on_another_lane_of_the_road_came_from_the_same_lane(
    sheet_data: dict[str, Any], road: str, left: bool
) -> None:
    """Some change lanes between the junction and the loop of the exit; on another road it was somebody else."""
    beside = {"id": "loop-side", "position": "exit", "distance_m": 25.0, "serves": [["side", 1.0]]}
    exits = [{"id": "out", "road": "north"}, {"id": "side", "road": road}]
    sheet = read_sheet(sheet_data | {"exits": exits, "detectors": [*sheet_data["detectors"], beside]})
    perception = Perception(sheet)
    for second in range(1, 121):
        told = {"loop_side": PASSED if second > 70 and second % 2 == 0 else EMPTY}
        aspects = all_red(sheet) | ({"a": Aspect.GREEN} if second > 60 else {})
        perception.hear(second, readings(sheet, "a", **told), aspects)

    assert (perception.lanes["lane-a"].queue > 1.0) is left


def behind(sheet: Sheet, upstream: LoopReading | None) -> float:
    """Return how many are taken to be left on lane a, whose stop line is dead, while its exit goes on being passed."""
    perception = Perception(sheet)
    for second in range(1, 61):
        green = second > int(SILENT_S) + 10
        told = {"loop_exit": PASSED if green and second % 2 == 0 else EMPTY}
        told |= {} if upstream is None else {"loop_a_upstream": upstream}
        aspects = all_red(sheet) | ({"a": Aspect.GREEN} if green else {})
        perception.hear(second, readings(sheet, "a", **told), aspects)
    return perception.lanes["lane-a"].queue


def test_where_arrivals_are_counted_others_in_the_exit_keep_no_green(sheet: Sheet) -> None:
    """An exit that is shared is passed by others, too: they mean no queue on a lane to which nobody came."""
    assert behind(sheet, EMPTY) < 0.5
    assert behind(sheet, None) >= 1.0


def test_a_lane_full_to_its_upstream_loop_is_full_and_no_more(sheet: Sheet) -> None:
    """With a dead stop line and a queue that covers the upstream loop for minutes, the queue ends at what is possible."""
    perception = Perception(sheet)
    for second in range(1, STUCK_S):
        perception.hear(second, readings(sheet, "a", loop_a_upstream=COVERED), all_red(sheet))

    assert 80 / 7 < perception.lanes["lane-a"].queue <= 80 / 7 + BEYOND_MAX


@pytest.mark.parametrize(("silent", "released"), [("ab", False), ("abc", True)])
def test_where_most_is_not_seen_the_plan_rules(sheet: Sheet, silent: str, released: bool) -> None:
    """With more than half of the lanes unseen the junction is left to its local programme, with less it is not."""
    controller = Controller(sheet)
    state = JunctionState.first_seen(sheet, 0, all_red(sheet))
    found = set[str]()
    for second in range(1, 60):
        called = controller.hear(second, readings(sheet, *silent), all_red(sheet))
        state = state.observe(second, all_red(sheet), called)
        decision = controller.decide(state)
        found |= {decision.reason} if isinstance(decision, Release) else set()
    assert bool(found) is released


def left_over(sheet_data: dict[str, Any], *green: str) -> float:
    """Return how many are taken to be left on an unseen lane of a and d after a long green from which nobody came."""
    next(one for one in sheet_data["groups"] if one["id"] == "d")["lanes"] = ["lane-a"]
    sheet = read_sheet(sheet_data)
    perception = Perception(sheet)
    for second in range(1, 200):
        aspects = all_red(sheet) | (dict.fromkeys(green, Aspect.GREEN) if second > 150 else {})
        perception.hear(second, readings(sheet, "a"), aspects)
    return perception.lanes["lane-a"].queue


def test_a_lane_that_is_not_seen_is_empty_only_when_nobody_wants_any_of_its_greens(sheet_data: dict[str, Any]) -> None:
    """While one of its groups is red, somebody who wants that one may hold up the others: the lane is not empty."""
    assert left_over(sheet_data, "a", "d") == 0.0
    assert left_over(sheet_data, "a") >= 1.0


def without_stop_line(sheet: Sheet, group: str, **told: LoopReading) -> dict[str, LoopReading]:
    """Return what the loops say when the stop line of a group is silent."""
    found = readings(sheet, **told)
    del found[f"loop-{group}-stop-line"]
    return found


def test_a_stop_line_has_not_missed_those_who_are_only_assumed(sheet: Sheet) -> None:
    """Behind a dead upstream loop nobody comes for long: the stop line that says so is believed all the same."""
    perception = Perception(sheet)
    for second in range(1, 3_600):
        told = readings(sheet)
        del told["loop-a-upstream"]
        perception.hear(second, told, all_red(sheet))
    assert perception.called(all_red(sheet)) == set()


def test_a_loop_beside_does_not_stand_in_for_the_own_one(sheet_data: dict[str, Any]) -> None:
    """Some change lanes behind the loop of a lane beside; the own upstream loop is dead all the same: usual demand comes."""
    beside = next(one for one in sheet_data["detectors"] if one["id"] == "loop-b-upstream")
    beside["serves"] = [["lane-b", 0.95], ["lane-a", 0.05]]
    sheet = read_sheet(sheet_data)
    perception = Perception(sheet)
    for second in range(1, 461):
        red = second > 400
        told = readings(sheet, loop_a_stop_line=COVERED if red else PASSED if second % 5 == 0 else EMPTY)
        del told["loop-a-upstream"]
        perception.hear(second, told, all_red(sheet) | ({} if red else {"a": Aspect.GREEN}))

    assert perception.lanes["lane-a"].queue > 3


def test_where_nobody_confirms_who_comes_the_upstream_loop_is_believed(sheet: Sheet) -> None:
    """Behind it the stop line is dead: that nobody is seen leaving does not mean that those who pass it go elsewhere."""
    perception = Perception(sheet)
    for second in range(1, 641):
        told = without_stop_line(sheet, "a", loop_a_upstream=PASSED if second % 8 == 0 else EMPTY)
        green = second % 40 < 20 and second < 600
        perception.hear(second, told, all_red(sheet) | ({"a": Aspect.GREEN} if green else {}))

    assert perception.lanes["lane-a"].queue > 4


@pytest.mark.parametrize(("opposing", "emptied"), [(0, True), (8, False)])
def test_who_gives_way_leaves_an_unseen_lane_only_in_gaps(sheet: Sheet, opposing: int, emptied: bool) -> None:
    """Nobody tells who leaves: against a queue that has the right of way it is next to none, without one all do."""
    perception = Perception(sheet)
    for second in range(1, 81):
        told = readings(sheet, "d", loop_b_upstream=PASSED if 40 <= second < 40 + opposing else EMPTY)
        told |= {"loop-b-stop-line": COVERED} if opposing and second > 46 else {}
        green = {"d": Aspect.YIELDING, "b": Aspect.GREEN} if second > 60 else {}
        perception.hear(second, told, all_red(sheet) | green)

    assert (perception.lanes["lane-d"].queue < 0.5) is emptied
    assert (perception.lanes["lane-d"].queue > 1.5) is not emptied


def test_a_gap_is_not_the_end_of_a_long_queue(sheet: Sheet) -> None:
    """An empty line in green may be a gap, the likelier the more were counted: they are given up one after the other."""
    perception = Perception(sheet)
    queues = {}
    for second in range(1, 60):
        told = readings(sheet, loop_a_upstream=PASSED if 10 <= second < 18 else EMPTY)
        told |= {"loop-a-stop-line": PASSED if second in (42, 44) else COVERED if 20 < second < 42 else EMPTY}
        perception.hear(second, told, all_red(sheet) | ({"a": Aspect.GREEN} if second > 40 else {}))
        queues[second] = perception.lanes["lane-a"].queue

    assert [queues[second] for second in (46, 47, 48, 49)] == [5, 2, 1, 0]


def test_nobody_leaves_an_unseen_lane_before_he_is_at_its_line(sheet: Sheet) -> None:
    """Under a green that nothing witnesses, who has just passed the upstream loop is still on his way."""
    perception = Perception(sheet)
    queues = {}
    for second in range(1, 81):
        told = without_stop_line(sheet, "d", loop_d_upstream=PASSED if second == 60 else EMPTY)
        green = {"d": Aspect.GREEN} if second > 50 else {}
        perception.hear(second, told, all_red(sheet) | green)
        queues[second] = perception.lanes["lane-d"].queue

    assert queues[65] >= 1.0
    assert queues[75] < 0.5
