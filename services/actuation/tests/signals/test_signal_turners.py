"""A crossing that stays green for whoever comes lets nobody turn across it: it ends beside those who turn."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import GREENS
from maasloop.actuation.domain.signals.controller import Ask, Controller, Decision, Release
from maasloop.actuation.domain.signals.priority import PriorityLevel, PriorityRequest
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading
from maasloop.actuation.domain.signals.traffic.walkers import Walkers

COVERED, ALONE = LoopReading(0, 1.0), LoopReading(0, 0.0)
LONG_S = 6
"""Somebody who has stood at his green for so long finds no gap."""


@pytest.fixture
def beside(sheet_data: dict[str, Any]) -> Sheet:
    """Return the crossing with its group b for people on foot, whom d gives way to; a goes on beside them, c crosses all."""
    data = copy.deepcopy(sheet_data)
    walkers = next(one for one in data["groups"] if one["id"] == "b")
    walkers |= {"kind": "pedestrian", "lanes": ["lane-b", "kerb"], "yellow_s": 0, "all_red_s": 8, "crossing_m": 9.4}
    next(one for one in data["lanes"] if one["id"] == "lane-b")["speed_mps"] = 1.2
    data["lanes"].append({"id": "kerb", "speed_mps": 1.2, "headway_s": 0.5, "storage_m": 20.0})
    data["intergreens"] = [["b", "c", 8] if row[:2] == ["b", "c"] else row for row in data["intergreens"]]
    data["detectors"] = [one for one in data["detectors"] if not one["id"].startswith("loop-b")]
    for kerb in ("lane-b", "kerb"):
        data["detectors"].append({"id": kerb, "position": "button", "distance_m": 0, "serves": [[kerb, 1.0]]})
    for step, state in zip(data["local"]["steps"], ("GGrgr", "yrryr", "rrrrr", "rrGrr", "rryrr", "rrrrr"), strict=True):
        step["state"] = state
    data["local"]["steps"][2]["duration_s"] = 4
    return read_sheet(data)


class Street:
    """The junction second by second: somebody is at the kerb all the time, and some come along a."""

    def __init__(self, sheet: Sheet, *, watched: bool) -> None:
        """Begin with red signals; what is not watched is told by loops and buttons."""
        self.sheet = sheet
        self.controller = Controller(sheet)
        self._watched = watched
        self._second = 0
        self._state = JunctionState.first_seen(sheet, 0, sheet.read_state("rrrrr"))

    def show(self, text: str, seconds: int, *, standing: str = "", coming: str = "") -> Decision:
        """Show the same for some seconds, while vehicles stand on the lanes of these groups, or come; return the last decision."""
        aspects = self.sheet.read_state(text)
        for _ in range(seconds):
            self._second += 1
            seen = {lane.id: list[VehicleSeen]() for lane in self.sheet.lanes} if self._watched else {}
            readings = {one.id: ALONE for one in self.sheet.detectors} | {"lane-b": COVERED, "kerb": COVERED}
            readings |= {f"loop-{name}-stop-line": COVERED for name in standing}
            if self._watched:
                seen["lane-b"] = [VehicleSeen("walker", "lane-b", 0.0, 0.0, "b")]
                for name in f"a{coming}":
                    seen[f"lane-{name}"] = [VehicleSeen(f"{name}{self._second}", f"lane-{name}", 40.0, 13.0, name)]
                for name in standing:
                    seen[f"lane-{name}"] = [VehicleSeen(name, f"lane-{name}", 1.0, 0.0, name)]
            called = self.controller.hear(self._second, readings, aspects, seen)
            self._state = self._state.observe(self._second, aspects, called)
        return self.controller.decide(self._state)

    def ask(self, request: PriorityRequest) -> None:
        """Ask for priority."""
        assert self.controller.priorities.ask(self._second, request) is None


def green(decision: Decision) -> str:
    """Return the groups that are to be green in the end, as far as something is asked for."""
    assert isinstance(decision, Ask)
    return "".join(sorted(name for name, one in decision.request.steps[-1].aspects.items() if one in GREENS))


@pytest.mark.parametrize("watched", [True, False])
def test_a_crossing_ends_where_somebody_waits_to_turn_across_it(beside: Sheet, *, watched: bool) -> None:
    """Whether places or loops tell of him; the decision says why, and without him the crossing stays."""
    street = Street(beside, watched=watched)

    street.show("GGrgr", 20)
    decision = street.show("GGrgr", LONG_S, standing="d")

    assert green(decision) == "ad"
    assert decision.reason.endswith(", 1 crossings hold up who turns")
    street = Street(beside, watched=watched)
    decision = street.show("GGrgr", 20 + LONG_S)
    assert not isinstance(decision, Ask) or "b" in green(decision)


def test_who_is_stuck_after_his_green_ends_no_crossing(beside: Sheet) -> None:
    """He leaves when those who cross have gone; others who turn there may find gaps."""
    walkers = Walkers(replace(beside, yields=beside.yields | {("a", "b")}))

    walkers.hear(["d"], "ad", beside.read_state("gGrrr"))
    assert walkers.in_the_way == frozenset()
    walkers.hear(["a"], "ad", beside.read_state("gGrrr"))
    assert walkers.in_the_way == frozenset("b")


def test_people_on_foot_have_their_minimum_green_first(beside: Sheet) -> None:
    """Who waited at the kerb can start whoever waits to turn."""
    street = Street(beside, watched=True)

    street.show("rrrrr", 20, standing="d")
    decision = street.show("GGrgr", 4, standing="d")

    assert not isinstance(decision, Ask) or "b" in green(decision)


def test_a_crossing_that_ended_for_them_starts_with_their_next_green(beside: Sheet) -> None:
    """Not before: whoever comes next to turn would be held up again."""
    street = Street(beside, watched=True)
    street.show("GGrgr", 20)
    street.show("GGrgr", LONG_S, standing="d")

    decision = street.show("GrrGr", 14, coming="d")
    assert decision.ranked
    assert not any("b" in stage for _, stage in decision.ranked)
    street.show("yrryr", 4, coming="d")
    assert "b" in green(street.show("rrrrr", 20, standing="ad"))


@pytest.mark.parametrize(("seconds", "coming"), [(14, ""), (100, "d")], ids=["nobody turns", "for long"])
def test_people_on_foot_do_not_wait_for_ever(beside: Sheet, *, seconds: int, coming: str) -> None:
    """A crossing that ended starts again where nobody else comes to turn, and before its maximum wait is over."""
    street = Street(beside, watched=True)
    street.show("GGrgr", 20)
    street.show("GGrgr", LONG_S, standing="d")

    decision = street.show("GrrGr", seconds, coming=coming)

    assert any("b" in stage for _, stage in decision.ranked)


def test_an_ambulance_is_not_kept_from_its_green(beside: Sheet) -> None:
    """Nothing is left out that somebody asked for."""
    street = Street(beside, watched=True)
    street.show("GGrgr", 20)
    street.ask(PriorityRequest("ambulance", "b", PriorityLevel.EMERGENCY, 20 + 15.0, 20 + 12.0))

    decision = street.show("GGrgr", LONG_S, standing="d")

    assert not isinstance(decision, Ask) or "b" in green(decision)


def test_kerbs_that_are_pressed_all_the_time_are_no_lock(beside: Sheet) -> None:
    """Nobody counts who leaves them, and others come; lanes that stand like that are one."""
    street = Street(beside, watched=False)

    assert not isinstance(street.show("GGrrr", 50), Release)
    decision = street.show("GrrGr", 50, standing="ad")
    assert decision == Release("lane-a, lane-d stand under green and nobody leaves")
