"""The controller of one junction over a made-up street: who waits is served, in bounds, and always within the rules."""

import random

from maasloop.actuation.domain.signals.aspects import GREENS, Aspect
from maasloop.actuation.domain.signals.controller import Ask, Controller, Hold
from maasloop.actuation.domain.signals.kernel import Permitted, SequenceRequest, judge, record
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading

HEADWAY_S = 2


class Street:
    """Queues in front of one junction: vehicles arrive over the upstream loop, stand on the stop line, and leave."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.controller = Controller(sheet)
        self.second = 0
        self.aspects: dict[str, Aspect] = dict.fromkeys(sheet.group, Aspect.RED)
        self.state = JunctionState.first_seen(sheet, 0, self.aspects)
        self.request: SequenceRequest | None = None
        self.waiting = {name: [0] * 0 for name in sheet.group}
        self.moving: list[tuple[int, str]] = []
        self.free_at = dict.fromkeys(sheet.group, 0)
        self.wait_max_s = 0
        self.red_max_s = 0.0
        self.served = dict.fromkeys(sheet.group, 0)
        self.refused: list[str] = []

    def step(self, arrivals: list[str]) -> None:
        """Let one second pass in which vehicles for these groups pass the upstream loop."""
        self.second += 1
        self._show()
        readings = {detector.id: LoopReading(0, 0.0) for detector in self.sheet.detectors}
        for name in arrivals:
            readings[f"loop-{name}-upstream"] = LoopReading(1, 0.4)
            self.moving.append((self.second + 6, name))
        for due, name in [one for one in self.moving if one[0] <= self.second]:
            self.moving.remove((due, name))
            self.waiting[name].append(self.second)
        for name, queue in self.waiting.items():
            if queue and self.aspects[name] in GREENS and self.second >= self.free_at[name]:
                self.wait_max_s = max(self.wait_max_s, self.second - queue.pop(0))
                self.free_at[name] = self.second + HEADWAY_S
                self.served[name] += 1
                readings[f"loop-{name}-stop-line"] = LoopReading(1, 0.4)
            elif queue:
                readings[f"loop-{name}-stop-line"] = LoopReading(0, 1.0)
        self._decide(readings)

    def _show(self) -> None:
        if self.request is None:
            return
        for step in self.request.steps:
            if self.request.not_before_s + step.offset_s <= self.second:
                self.aspects = dict(step.aspects)

    def _decide(self, readings: dict[str, LoopReading]) -> None:
        called = self.controller.hear(self.second, readings, self.aspects)
        self.state = self.state.observe(self.second, self.aspects, called)
        for group in self.state.groups.values():
            if group.called_since_s is not None:
                self.red_max_s = max(self.red_max_s, self.second - max(group.since_s, group.called_since_s))
        decision = self.controller.decide(self.state)
        if isinstance(decision, Ask):
            assert decision.reason
            verdict = judge(self.sheet, self.state, decision.request)
            if isinstance(verdict, Permitted):
                self.request = decision.request
                self.state = record(self.state, verdict)
            else:
                self.refused.append(f"{self.second}: {verdict}")


def test_a_single_vehicle_is_served_soon(sheet: Sheet) -> None:
    """One vehicle on the road across gets its green within the clearance, not within a cycle."""
    street = Street(sheet)
    for second in range(60):
        street.step(["c"] if second == 20 else [])
    assert street.served["c"] == 1
    assert street.wait_max_s <= 10


def test_nobody_starves_beside_a_busy_road(sheet: Sheet) -> None:
    """A road that never empties does not keep a single vehicle waiting beyond the maximum wait."""
    street = Street(sheet)
    for second in range(600):
        street.step((["a", "b"] if second % 2 == 0 else []) + (["c"] if second % 200 == 50 else []))
    assert street.served["c"] == 3
    assert street.wait_max_s <= 120
    assert street.refused == []


def test_what_is_asked_for_is_permitted(sheet: Sheet) -> None:
    """Under random demand the kernel has nothing to refuse, and everybody is served within the bound."""
    draw = random.Random(7)
    street = Street(sheet)
    for _ in range(1_800):
        street.step([name for name in sheet.group if draw.random() < 0.08])
    assert street.refused == []
    assert min(street.served.values()) > 50
    assert street.red_max_s <= 120


def test_a_silent_detector_does_not_starve_its_lane(sheet: Sheet) -> None:
    """A lane whose loops say nothing is given a modest demand, and so a green now and then."""
    controller = Controller(sheet)
    state = JunctionState.first_seen(sheet, 0, dict.fromkeys(sheet.group, Aspect.RED))
    aspects: dict[str, Aspect] = dict.fromkeys(sheet.group, Aspect.RED)
    alive = {d.id: LoopReading(0, 0.0) for d in sheet.detectors if d.id != "loop-c-stop-line"}
    request: SequenceRequest | None = None
    seen: set[str] = set()
    for second in range(1, 240):
        for step in request.steps if request is not None else ():
            if request is not None and request.not_before_s + step.offset_s <= second:
                aspects = dict(step.aspects)
        seen |= {name for name, aspect in aspects.items() if aspect in GREENS}
        state = state.observe(second, aspects, controller.hear(second, alive, aspects))
        decision = controller.decide(state)
        verdict = judge(sheet, state, decision.request) if isinstance(decision, Ask) else None
        if isinstance(verdict, Permitted):
            request, state = verdict.request, record(state, verdict)
    assert "c" in seen


def test_a_running_sequence_is_left_alone(sheet: Sheet) -> None:
    """While a sequence runs the controller holds and says why."""
    street = Street(sheet)
    for second in range(30):
        street.step(["c"] if second == 2 else [])
        if street.state.busy_until_s > street.second + 1:
            decision = street.controller.decide(street.state)
            assert decision == Hold("a sequence is running")
