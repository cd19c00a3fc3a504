"""An exit on whose loop somebody stands is full: nobody is let in who would have to stop in the junction before it."""

import copy
from typing import Any

from maasloop.actuation.domain.signals.aspects import GREENS, Aspect, Aspects
from maasloop.actuation.domain.signals.controller import SHUT_MARGIN_S, Ask, Controller, Decision
from maasloop.actuation.domain.signals.priority import PriorityLevel, PriorityRequest
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen
from maasloop.actuation.domain.signals.traffic.detectors import EXIT_STANDING_S
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading
from maasloop.actuation.domain.signals.traffic.perception import QUEUE_M

FULL, FREE = LoopReading(0, 1.0), LoopReading(0, 0.0)
LONG_S = 10


def decide(
    sheet: Sheet, green: str, exit_loop: LoopReading, seconds: int, *asking: PriorityRequest
) -> tuple[Decision, Aspects]:
    """Return what is decided, and shown, after so many seconds in which somebody stands on lanes a and b."""
    controller = Controller(sheet)
    shown: dict[str, Aspect] = dict.fromkeys(sheet.group, Aspect.RED) | dict.fromkeys(green, Aspect.GREEN)
    state = JunctionState.first_seen(sheet, 0, shown)
    seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes}
    seen |= {f"lane-{name}": [VehicleSeen(name, f"lane-{name}", 1.0, 0.0, name)] for name in "ab"}
    for second in range(1, seconds + 1):
        called = controller.hear(second, {"loop-exit": exit_loop}, shown, seen)
        state = state.observe(second, shown, called)
    for one in asking:
        assert controller.priorities.ask(seconds, one) is None
    return controller.decide(state), shown


def starts(sheet: Sheet, exit_loop: LoopReading, seconds: int, *asking: PriorityRequest) -> list[str]:
    """Return the groups that are asked to become green where all were red."""
    decision, _ = decide(sheet, "", exit_loop, seconds, *asking)
    assert isinstance(decision, Ask)
    return sorted(name for name, aspect in decision.request.steps[-1].aspects.items() if aspect in GREENS)


def test_nobody_is_let_into_a_full_exit(sheet: Sheet) -> None:
    """The group that leads there is left out of the stage that starts, once its exit has been stood upon for long enough."""
    assert starts(sheet, FREE, LONG_S) == ["a", "b", "d"]
    assert starts(sheet, FULL, EXIT_STANDING_S - 1) == ["a", "b", "d"]
    assert starts(sheet, FULL, LONG_S) == ["b", "d"]


def test_two_who_wait_on_a_road_of_some_more_do_not_fill_it(sheet_data: dict[str, Any]) -> None:
    """Where the loop is half way to the next line there is room before it, and the next green may be soon."""
    data = copy.deepcopy(sheet_data)
    data["detectors"][-1]["distance_m"] = QUEUE_M - 1.0

    assert starts(read_sheet(data), FULL, LONG_S) == ["a", "b", "d"]


def test_before_its_maximum_wait_is_over_it_is_served_all_the_same(sheet: Sheet) -> None:
    """That an exit is full may be wrong, and nobody waits longer than the sheet allows."""
    assert "a" in starts(sheet, FULL, int(sheet.group["a"].maximum_wait_s - SHUT_MARGIN_S) + 2)


def test_a_green_into_an_exit_that_fills_ends(sheet: Sheet) -> None:
    """It alone: what is green beside it stays."""
    decision, shown = decide(sheet, "ab", FULL, LONG_S)

    assert isinstance(decision, Ask)
    assert "no room behind the junction" in decision.reason
    first, last = decision.request.steps[0].aspects, decision.request.steps[-1].aspects
    assert (shown["a"], first["a"], last["a"]) == (Aspect.GREEN, Aspect.YELLOW, Aspect.RED)
    assert shown["b"] == first["b"] == last["b"] == Aspect.GREEN


def test_an_emergency_does_not_wait_for_room(sheet: Sheet) -> None:
    """Those before it make way for it behind the junction."""
    ambulance = PriorityRequest("ambulance", "a", PriorityLevel.EMERGENCY, LONG_S + 5.0, LONG_S + 2.0)

    assert "a" in starts(sheet, FULL, LONG_S, ambulance)
