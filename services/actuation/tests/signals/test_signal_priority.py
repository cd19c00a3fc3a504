"""Vehicles that ask for priority: a bus is helped within limits, an emergency gets its way, and the rest comes back."""

from dataclasses import replace
from typing import Any

import pytest

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.controller import Ask, Controller
from maasloop.actuation.domain.signals.kernel import Permitted, SequenceRequest, judge, record
from maasloop.actuation.domain.signals.priority import (
    CONDITIONAL_WEIGHT,
    PREEMPTION_MAX_S,
    REQUESTS_MAX,
    Priorities,
    PriorityLevel,
    PriorityRefusal,
    PriorityRequest,
)
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen
from maasloop.actuation.domain.signals.traffic.estimate import LaneEstimate, LoopReading

CYCLE_S = 46


def bus(group: str, eta_s: float, *, now_s: float = 0.0, name: str = "bus") -> PriorityRequest:
    """Return the request of a bus that was heard just now."""
    return PriorityRequest(name, group, PriorityLevel.CONDITIONAL, eta_s, now_s + 2)


def ambulance(group: str, eta_s: float, *, now_s: float = 0.0) -> PriorityRequest:
    """Return the request of an ambulance that was heard just now."""
    return PriorityRequest("ambulance", group, PriorityLevel.EMERGENCY, eta_s, now_s + 2)


def lanes(sheet: Sheet, **standing: int) -> dict[str, LaneEstimate]:
    """Return the lanes of a junction with so many vehicles standing on those of each group."""
    found = {lane.id: LaneEstimate(lane.id, lane.speed_mps, lane.headway_s, lane.storage_m, {}) for lane in sheet.lanes}
    for name, count in standing.items():
        for _ in range(count):
            found[f"lane-{name}"].arrive(0.0, 1.0)
    return found


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (bus("c", 20), None),
        (bus("nowhere", 20), PriorityRefusal.GROUP_UNKNOWN),
        (replace(bus("c", 20), expires_s=0.0), PriorityRefusal.EXPIRED),
        (bus("c", 500), PriorityRefusal.TOO_FAR),
        (replace(bus("c", 20), expires_s=500.0), PriorityRefusal.TOO_FAR),
    ],
)
def test_a_request_is_taken_or_refused_with_a_reason(
    sheet: Sheet, request_: PriorityRequest, refusal: PriorityRefusal | None
) -> None:
    """Group, expiry and time of arrival are judged."""
    assert Priorities(sheet).ask(0, request_) is refusal


def test_requests_are_limited_in_number(sheet: Sheet) -> None:
    """More vehicles than a junction can mean at once are refused; a newer word of a known one is not."""
    priorities = Priorities(sheet)
    for number in range(REQUESTS_MAX):
        assert priorities.ask(0, bus("c", 20, name=f"bus-{number}")) is None
    assert priorities.ask(0, bus("c", 20, name="one-more")) is PriorityRefusal.TOO_MANY
    assert priorities.ask(1, bus("c", 20, now_s=1, name="bus-0")) is None


def test_a_bus_weighs_when_it_comes(sheet: Sheet) -> None:
    """A bus counts on top of its lane, not before it can be at the line, with the queue ahead of it gone."""
    priorities = Priorities(sheet)
    priorities.ask(0, bus("c", 4))
    priorities.weigh(0, lanes(sheet, c=5))
    (at_s, weight, group), *others = priorities.departures(frozenset("c"), dict.fromkeys(sheet.group, 6.0))
    assert (weight, group, others) == (CONDITIONAL_WEIGHT, "c", [])
    assert at_s == pytest.approx(6.0 + 1.5 + 5 * 1.8)
    assert priorities.departures(frozenset("a"), dict.fromkeys(sheet.group, 0.0)) == []
    assert priorities.authority is Authority.PRIORITY


def test_one_bus_after_another_is_locked_out_for_a_cycle(sheet: Sheet) -> None:
    """After a bus on c, one on a, which conflicts, gets nothing for a cycle; one on c does, and an ambulance always."""
    priorities = Priorities(sheet)
    assert priorities.ask(0, bus("c", 1)) is None
    assert priorities.ask(3, bus("a", 10, now_s=3, name="late")) is PriorityRefusal.LOCKED
    assert priorities.ask(3, bus("c", 10, now_s=3, name="next")) is None
    assert priorities.ask(3, ambulance("a", 10, now_s=3)) is None
    assert priorities.ask(10 + CYCLE_S, bus("a", 80, now_s=10 + CYCLE_S, name="late")) is None


def test_nobody_keeps_a_junction_for_ever(sheet: Sheet) -> None:
    """Who has asked for two minutes and has not come is refused."""
    priorities = Priorities(sheet)
    for second in range(int(PREEMPTION_MAX_S) + 1):
        assert priorities.ask(second, ambulance("c", second + 5, now_s=second)) is None
    late_s = PREEMPTION_MAX_S + 1
    assert priorities.ask(late_s, ambulance("c", late_s + 5, now_s=late_s)) is PriorityRefusal.OVERDUE


def test_an_emergency_puts_its_stages_first_in_time(sheet: Sheet) -> None:
    """Far away it changes nothing; in time for clearance and queue its stages come first; none at hand, all stays."""
    ranked = [(3.0, frozenset("ab")), (2.0, frozenset("c")), (1.0, frozenset(("a", "b", "d")))]
    priorities = Priorities(sheet)
    priorities.ask(0, ambulance("c", 60))
    priorities.weigh(0, lanes(sheet))
    assert priorities.order(ranked, frozenset("ab")) == ranked
    priorities.weigh(0, lanes(sheet, c=25))
    assert priorities.order(ranked, frozenset("ab"))[0] == (2.0, frozenset("c"))
    assert priorities.order([ranked[0], ranked[2]], frozenset("ab")) == [ranked[0]]
    assert priorities.authority is Authority.EMERGENCY
    assert "ambulance" in priorities.reason


def test_who_stands_ahead_of_an_emergency_gets_away_too(sheet_data: dict[str, Any]) -> None:
    """Of the stages that serve it those come first that let everybody on its lane go, whatever their index."""
    for group in sheet_data["groups"]:
        if group["id"] == "b":
            group["lanes"] = ["lane-a"]
    priorities = Priorities(read_sheet(sheet_data))
    priorities.ask(0, ambulance("a", 10))
    priorities.weigh(0, lanes(read_sheet(sheet_data)))
    ranked = [(3.0, frozenset("c")), (2.0, frozenset("ad")), (1.0, frozenset("ab"))]
    assert priorities.order(ranked, frozenset("c"))[0] == (1.0, frozenset("ab"))


def test_nobody_ahead_of_an_emergency_waits_for_a_gap(sheet: Sheet) -> None:
    """A stage in which its lane need not give way comes first; where there is none, one in which it has green does."""
    priorities = Priorities(sheet)
    priorities.ask(0, ambulance("d", 5))
    priorities.weigh(0, lanes(sheet))
    ranked = [(3.0, frozenset("c")), (2.0, frozenset("bd")), (1.0, frozenset("ad"))]

    assert [stage for _, stage in priorities.order(ranked, frozenset("c"))][:1] == [frozenset("ad")]
    assert [stage for _, stage in priorities.order(ranked[:2], frozenset("c"))][:1] == [frozenset("bd")]


class Road:
    """A junction under its controller: vehicles on a and b that never end, one each ``every_s``, and whoever asks for priority."""

    def __init__(self, sheet: Sheet, every_s: int = 3) -> None:
        self.sheet = sheet
        self.every_s = every_s
        self.controller = Controller(sheet)
        self.second = 0
        self.aspects: dict[str, Aspect] = dict.fromkeys(sheet.group, Aspect.RED)
        self.state = JunctionState.first_seen(sheet, 0, self.aspects)
        self.taken: SequenceRequest | None = None
        self.authorities: set[Authority] = set()
        self.green_s = {name: [0] * 0 for name in sheet.group}

    def step(self, *requests: PriorityRequest) -> None:
        """Let one second pass."""
        self.second += 1
        for step in self.taken.steps if self.taken is not None else ():
            if self.taken is not None and self.taken.not_before_s + step.offset_s <= self.second:
                self.aspects = dict(step.aspects)
        for name, aspect in self.aspects.items():
            if aspect in (Aspect.GREEN, Aspect.YIELDING):
                self.green_s[name].append(self.second)
        readings = {detector.id: LoopReading(0, 0.0) for detector in self.sheet.detectors}
        passes = self.second % self.every_s == 0
        for name in "ab":
            readings[f"loop-{name}-upstream"] = LoopReading(passes, 0.4)
            green = self.aspects[name] is Aspect.GREEN
            readings[f"loop-{name}-stop-line"] = LoopReading(green and passes, 0.4 if green else 1.0)
        for request in requests:
            assert self.controller.priorities.ask(self.second, request) is None
        self.state = self.state.observe(
            self.second, self.aspects, self.controller.hear(self.second, readings, self.aspects)
        )
        decision = self.controller.decide(self.state)
        if isinstance(decision, Ask):
            verdict = judge(self.sheet, self.state, decision.request)
            assert isinstance(verdict, Permitted), verdict
            self.taken, self.state = decision.request, record(self.state, verdict)
            self.authorities.add(decision.request.authority)


def test_an_ambulance_meets_green_and_the_road_comes_back(sheet: Sheet) -> None:
    """Beside a road that never empties an ambulance finds green when it comes; then the road goes on."""
    road = Road(sheet)
    for second in range(1, 121):
        announced = 60 <= second < 90
        road.step(*([ambulance("c", 90, now_s=second)] if announced else []))
    assert {85, 86, 87, 88, 89, 90} <= set(road.green_s["c"])
    assert Authority.EMERGENCY in road.authorities
    assert {name for name in "ab" if set(range(105, 121)) <= set(road.green_s[name])} == {"a", "b"}


@pytest.mark.parametrize(
    ("green_s", "comes_in_s", "before"),
    [(45, 18, True), (10, 18, False), (45, 10, False)],
    ids=["its green cannot last", "it can", "no time for both"],
)
def test_who_waits_longest_goes_before_an_emergency(
    sheet: Sheet, *, green_s: int, comes_in_s: int, before: bool
) -> None:
    """Where its green would have to end for others just when it comes, they are served first, and the decision says so."""
    controller = Controller(sheet)
    aspects = sheet.read_state("GGrrr")
    state = JunctionState.first_seen(sheet, 0, aspects)
    for second in range(1, green_s + 1):
        seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes}
        seen["lane-a"] = [VehicleSeen(f"a{second}", "lane-a", 40.0, 13.0, "a")]
        seen["lane-c"] = [VehicleSeen("c", "lane-c", 1.0, 0.0, "c")]
        state = state.observe(second, aspects, controller.hear(second, {}, aspects, seen))
    controller.priorities.ask(green_s, ambulance("a", green_s + comes_in_s, now_s=green_s))

    decision = controller.decide(state)

    served = isinstance(decision, Ask) and decision.request.steps[-1].aspects["c"] is Aspect.GREEN
    assert (served, ", c before" in decision.reason) == (before, before)


def test_a_bus_gets_its_green_sooner(sheet: Sheet) -> None:
    """The same bus waits for less with priority than as one vehicle among others, where the road is not full."""
    found = []
    for helped in (True, False):
        road = Road(sheet, every_s=6)
        for second in range(1, 100):
            road.step(*([bus("c", 60, now_s=second)] if helped and second in range(40, 75) else []))
        found.append([second for second in road.green_s["c"] if second >= 40])
    assert found[0]
    assert found[0][0] <= 66
    assert not found[1]
