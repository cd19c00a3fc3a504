"""Lanes that nobody sees, and to which nobody comes who has not passed a loop at the beginning of the road."""

import copy
from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import Aspect, Aspects
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading
from maasloop.actuation.domain.signals.traffic.perception import Perception
from maasloop.actuation.domain.signals.traffic.still_there import UNANNOUNCED_MAX, StillThere
from maasloop.actuation.domain.signals.traffic.unseen import TOLD_RED_S, UNTOLD_RED_S

EMPTY = LoopReading(0, 0.0)
PASSED = LoopReading(1, 0.4)
DISTANCE_M = 264.0
TRAVEL_S = 20
SILENT_S = 40
"""Loops that have said nothing for so long have failed."""


class Lane:
    """Lane a of the crossing: its own loops are dead, a feeder 20 s before it works, and its exit."""

    def __init__(self, data: dict[str, Any], *dead: str, only: bool = True) -> None:
        """Let the loops fail; ``only`` says whether everybody passes the feeder."""
        data = copy.deepcopy(data)
        before = {"id": "loop-before", "position": "feeder", "distance_m": DISTANCE_M, "serves": [["lane-a", 0.8]]}
        data["detectors"].append(before)
        data["lanes"][0]["only_from_feeders"] = only
        self.sheet: Sheet = read_sheet(data)
        self.perception = Perception(self.sheet)
        self._dead = ("loop-a", *dead)
        self.second = 0
        self.called: frozenset[str] = frozenset()
        self.go(SILENT_S, green=True)

    def go(self, seconds: int, *, green: bool, before: bool = False, out: bool = False) -> None:
        """Go on for so long; in the first second somebody passes the loop ``before``, or comes ``out``."""
        for number in range(seconds):
            self.second += 1
            loops = dict.fromkeys((one.id for one in self.sheet.detectors), EMPTY)
            loops["loop-before"] = PASSED if before and number == 0 else EMPTY
            loops["loop-exit"] = PASSED if out and number == 0 else EMPTY
            said = {name: one for name, one in loops.items() if not name.startswith(self._dead)}
            aspects: Aspects = dict.fromkeys(self.sheet.group, Aspect.RED) | ({"a": Aspect.GREEN} if green else {})
            self.perception.hear(self.second, said, aspects)
            self.called = self.perception.called(aspects)

    def fail(self, dead: str) -> None:
        """Let this loop be dead from now on, and no other."""
        self._dead = (dead,)

    def announced(self, times: int) -> list[int]:
        """Let somebody pass so many times, of whom none comes; return how many were on the way after each."""
        found = []
        for _ in range(times):
            self.go(1, green=True, before=True)
            found.append(len(self.perception.lanes["lane-a"].announced))
            self.go(39, green=True)
        return found

    @property
    def queue(self) -> float:
        """Return how many are taken to be at the line or nearly there."""
        return self.perception.lanes["lane-a"].queue


@pytest.fixture
def lane(sheet_data: dict[str, Any]) -> Lane:
    """Return the lane, green until now, and nobody there."""
    return Lane(sheet_data)


def test_everybody_who_passes_is_expected_and_nobody_else(lane: Lane) -> None:
    """The sheet gives the lane 0.8 of those who pass: as there is nowhere else to go, all come, and no usual demand."""
    for _ in range(10):
        lane.go(9, green=False, before=True)
    lane.go(TRAVEL_S, green=False)
    assert lane.queue == pytest.approx(10.0)
    lane.go(300, green=False)
    assert lane.queue == pytest.approx(10.0)


def test_where_others_come_as_well_they_are_expected(sheet_data: dict[str, Any]) -> None:
    """Of a lane to which somebody may come who passes no feeder nobody knows that nobody waits."""
    lane = Lane(sheet_data, only=False)
    lane.go(100, green=False)
    assert lane.queue > 1.0
    assert "a" in lane.called


def test_where_the_feeder_has_failed_somebody_may_wait(sheet_data: dict[str, Any]) -> None:
    """A feeder that says nothing tells of nobody: the lane is one that nobody sees."""
    lane = Lane(sheet_data, "loop-before")
    lane.go(10, green=False)
    assert "a" in lane.called
    lane.go(100, green=False)
    assert lane.queue > 1.0


def test_where_the_feeder_leads_to_another_lane_as_well_it_tells_of_neither(sheet_data: dict[str, Any]) -> None:
    """Nobody knows which of the two lanes he takes."""
    lane = Lane(sheet_data)
    data = copy.deepcopy(sheet_data)
    both = [["lane-a", 0.4], ["lane-b", 0.4]]
    data["detectors"].append({"id": "loop-before", "position": "feeder", "distance_m": DISTANCE_M, "serves": both})
    data["lanes"][0]["only_from_feeders"] = True
    lane.sheet = read_sheet(data)
    lane.perception = Perception(lane.sheet)
    lane.go(SILENT_S, green=True)
    lane.go(100, green=False)
    assert lane.queue > 1.0
    assert "a" in lane.called


def test_a_junction_whose_lanes_are_followed_is_not_left_to_its_plan(lane: Lane, sheet_data: dict[str, Any]) -> None:
    """Of a lane that is followed it is known who comes: it is not one of those that nobody knows of."""
    assert lane.perception.unseen() == 0.0
    assert Lane(sheet_data, only=False).perception.unseen() == pytest.approx(0.2)


def test_its_demand_is_who_is_announced(lane: Lane) -> None:
    """One in 20 s, which is less than the plan lets assume."""
    for _ in range(60):
        lane.go(20, green=True, before=True)
    assert lane.perception.lanes["lane-a"].rate == pytest.approx(1 / 20, rel=0.2)


def test_on_a_lane_that_is_seen_fewer_are_expected_where_some_change_lanes(sheet_data: dict[str, Any]) -> None:
    """At first all who pass are announced; of those who never show up fewer and fewer are."""
    lane = Lane(sheet_data)
    lane.fail("loop-exit")
    announced = lane.announced(100)
    assert sum(announced[:4]) == 4
    assert sum(announced[-20:]) <= 10


def test_on_a_lane_without_its_upstream_loop_all_are_expected(sheet_data: dict[str, Any]) -> None:
    """Nobody tells before the line whether one has changed lanes."""
    lane = Lane(sheet_data)
    lane.fail("loop-a-upstream")
    assert sum(lane.announced(50)) == 50


@pytest.mark.parametrize(("dead", "limit_s"), [((), TOLD_RED_S), (("loop-exit",), UNTOLD_RED_S)])
def test_a_lane_on_which_nobody_waits_is_called_now_and_then(
    sheet_data: dict[str, Any], dead: tuple[str, ...], limit_s: int
) -> None:
    """Somebody may have been missed: the sooner, where no exit would have told of him."""
    lane = Lane(sheet_data, *dead)
    lane.go(limit_s - 2, green=False)
    assert "a" not in lane.called
    lane.go(4, green=False)
    assert "a" in lane.called


def test_who_was_announced_calls_and_his_green_is_wanted(lane: Lane) -> None:
    """He waits from when he is due, and until then his group is one that somebody wants."""
    lane.go(400, green=True)
    assert "a" in lane.perception.idle()
    lane.go(10, green=False)
    assert "a" in lane.perception.idle()
    lane.go(3, green=False, before=True)
    assert "a" not in lane.perception.idle()
    lane.go(TRAVEL_S, green=False)
    assert "a" in lane.called
    assert "a" not in lane.perception.idle()


def test_who_does_not_come_out_is_still_there(lane: Lane) -> None:
    """He was due in green and is taken to have left; as nobody comes out he had stopped, and is expected once more."""
    lane.go(TRAVEL_S + 3, green=True, before=True)
    assert lane.queue < 0.1
    lane.go(15, green=False)
    assert lane.queue == pytest.approx(1.0)
    lane.go(6, green=True)
    lane.go(30, green=False)
    assert lane.queue < 0.1


def test_where_not_every_exit_tells_who_was_due_in_green_has_left(sheet_data: dict[str, Any]) -> None:
    """That nobody was seen to come out means nothing."""
    lane = Lane(sheet_data, "loop-exit")
    lane.go(TRAVEL_S + 3, green=True, before=True)
    lane.go(30, green=False)
    assert lane.queue < 0.1


def test_who_comes_out_is_gone(lane: Lane) -> None:
    """The exit tells of him: nobody is expected any longer."""
    lane.go(TRAVEL_S + 3, green=True, before=True)
    lane.go(3, green=False)
    lane.go(30, green=False, out=True)
    assert lane.queue < 0.1


def test_who_comes_out_too_soon_is_one_of_the_queue(lane: Lane) -> None:
    """He was taken to wait still, as the green had only begun: one fewer waits."""
    for _ in range(3):
        lane.go(9, green=False, before=True)
    lane.go(TRAVEL_S, green=False)
    lane.go(3, green=True)
    waiting = lane.queue
    lane.go(1, green=True, out=True)
    leaving = 1.0 / lane.perception.lanes["lane-a"].headway_s
    assert lane.queue == pytest.approx(waiting - 1.0 - leaving)


def test_a_lane_out_of_which_others_come_is_not_followed(lane: Lane) -> None:
    """Somebody comes from a yard on the way: the usual demand is expected, and the lane is called, until it has been seen again."""
    for _ in range(40):
        lane.go(5, green=True)
        lane.go(3, green=True, out=True)
    lane.go(60, green=False)
    assert "a" in lane.called
    assert lane.queue > 1.0
    lane.fail("nothing")
    lane.go(SILENT_S, green=True)
    lane.fail("loop-a")
    lane.go(SILENT_S, green=True)
    lane.go(10, green=False)
    assert "a" not in lane.called


def test_a_share_of_one_who_left_is_matched_by_shares() -> None:
    """Of two lanes that may have sent somebody out each is given a part; what is not told of comes back, once."""
    still = StillThere()
    assert still.hear(1, 1.0, 0.0) == (0.0, 0.0)
    assert still.hear(6, 0.0, 0.4) == (0.0, 0.0)
    found = [still.hear(second, 0.0, 0.0)[0] for second in range(7, 20)]
    assert sum(found) == pytest.approx(0.6)
    assert still.hear(20, 0.6, 0.0) == (0.0, 0.0)
    assert [still.hear(second, 0.0, 0.0)[0] for second in range(21, 40)] == [0.0] * 19
    assert still.hear(40, 0.0, 1.0) == (0.0, 1.0)


def test_who_comes_out_after_he_was_expected_again_makes_room_for_the_next() -> None:
    """The next one who is taken to have left, and does not come out, has not been missed before."""
    still = StillThere()
    found = [still.hear(second, float(second == 1), 0.0) for second in range(1, 20)]
    assert sum(back for back, _ in found) == 1.0
    assert still.hear(20, 0.0, 1.0) == (0.0, 1.0)
    found = [still.hear(second, float(second == 21), 0.0) for second in range(21, 40)]
    assert sum(back for back, _ in found) == 1.0


def test_who_left_before_the_lane_was_seen_again_does_not_come_back() -> None:
    """Meanwhile he has come out, and nobody compared."""
    still = StillThere()
    still.hear(1, 1.0, 0.0)
    assert [still.hear(second, 0.0, 0.0) for second in range(100, 120)] == [(0.0, 0.0)] * 20


def test_a_few_who_were_not_announced_change_nothing() -> None:
    """An exit is shared with other lanes, and one of theirs is taken for one of this lane now and then."""
    still = StillThere()
    for number in range(100):
        still.came_out(1.0, float(number % 4 == 0))
    assert 0.1 < still.unannounced < UNANNOUNCED_MAX
