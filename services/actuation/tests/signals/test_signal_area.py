"""Watched lanes: what each vehicle's place, speed and announced movement tell, and a junction that is not clear."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.controller import Ask, Controller, Decision
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import (
    BOX_PATIENCE_S,
    STALL_S,
    AreaMemory,
    VehicleSeen,
    free_travel_s,
    waiting_groups,
)
from maasloop.actuation.domain.signals.traffic.estimate import LaneEstimate
from maasloop.actuation.domain.signals.traffic.forecast import LaneOutlook, departures
from maasloop.actuation.domain.signals.traffic.perception import Perception

HORIZON_S = 60.0


def standing(number: int, group: str, lane: str = "lane") -> VehicleSeen:
    """Return the vehicle at a place in a standing line."""
    return VehicleSeen(f"{lane}-{number}", lane, 1.0 + 7.5 * number, 0.0, group)


def lane_of(*seen: VehicleSeen) -> LaneEstimate:
    """Return a lane of two groups, watched for one second."""
    lane = LaneEstimate("lane", 13.89, 1.8, 80.0, {"through": 0.5, "left": 0.5})
    AreaMemory().hear(lane, 0.0, seen, {"through": Aspect.RED, "left": Aspect.RED})
    return lane


def outlook(
    *groups: str, yielding: tuple[str, ...] = (), pockets: tuple[str, ...] = (), opposing: tuple[float, ...] = ()
) -> LaneOutlook:
    """Return what it means that these groups are green from now on."""
    ways = tuple((group, 0.0) for group in groups)
    return LaneOutlook(ways, yielding, 1.0, 0.0, 1.0, 0.0, True, 0.0, 0.0, pockets, opposing)


def times(lane: LaneEstimate, what: LaneOutlook) -> list[float]:
    """Return when vehicles would leave."""
    return [at_s for at_s, _, _ in departures(lane, what, 0.0, HORIZON_S)]


@pytest.mark.parametrize(
    ("distance_m", "speed_mps", "seconds"), [(0.0, 0.0, 0.0), (9.0, 0.0, 3.0), (100.0, 10.0, 10.0), (200.0, 0.0, 22.5)]
)
def test_free_travel_accelerates_to_the_limit(distance_m: float, speed_mps: float, seconds: float) -> None:
    """A vehicle gains speed as engines do, and goes no faster than the road allows."""
    assert free_travel_s(distance_m, speed_mps, 10.0) == pytest.approx(seconds)


def test_a_standing_line_sets_off_one_after_the_other() -> None:
    """Who stands further back leaves later than its own acceleration asks for, and never closer than the headway."""
    found = times(lane_of(*(standing(number, "through") for number in range(4))), outlook("through"))

    assert found[0] == pytest.approx(1.0)
    assert found[1] == pytest.approx(4.0, abs=0.5)
    assert all(later - sooner >= 1.8 for sooner, later in pairwise(found))


def test_who_may_not_go_holds_up_those_behind() -> None:
    """First in, first out: behind a vehicle whose group is red nobody is expected to leave."""
    lane = lane_of(standing(0, "through"), standing(1, "left"), standing(2, "through"))

    assert len(times(lane, outlook("through"))) == 1
    assert len(times(lane, outlook("through", "left"))) == 3


def test_who_gives_way_takes_the_first_gap() -> None:
    """A vehicle that gives way leaves after those with the right of way, and at once where one can wait inside."""
    lane = lane_of(standing(0, "left"))

    assert times(lane, outlook("left", yielding=("left",), opposing=(3.0, 6.0))) == [pytest.approx(7.0)]
    assert times(lane, outlook("left", yielding=("left",), opposing=(9.0,))) == [pytest.approx(1.0)]
    assert times(lane, outlook("left", yielding=("left",), pockets=("left",), opposing=(3.0, 6.0))) == [
        pytest.approx(1.0)
    ]


def decide(sheet: Sheet, stuck_s: int) -> Decision:
    """Return what is decided for a vehicle that waits for a, while one of its foe c has stood inside for so long."""
    controller = Controller(sheet)
    red: dict[str, Aspect] = dict.fromkeys(sheet.group, Aspect.RED)
    state = JunctionState.first_seen(sheet, 0, red)
    inside = VehicleSeen("c-0", "lane-c", -5.0, 0.0, "c")
    seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes}
    seen["lane-a"] = [VehicleSeen("a-0", "lane-a", 1.0, 0.0, "a")]
    last = stuck_s + 20
    for second in range(1, last + 1):
        seen["lane-c"] = [inside] if second > last - stuck_s else []
        state = state.observe(second, red, controller.hear(second, {}, red, seen))
    return controller.decide(state)


def starts_a(decision: Decision) -> bool:
    """Tell whether a is asked to become green."""
    return isinstance(decision, Ask) and decision.request.steps[-1].aspects["a"] in {Aspect.GREEN, Aspect.YIELDING}


def test_nobody_starts_into_a_junction_that_is_not_clear(sheet: Sheet) -> None:
    """While a foe stands in the junction a group stays red; without it, or when waiting does not help, it starts."""
    assert not starts_a(decide(sheet, stuck_s=5))
    assert starts_a(decide(sheet, stuck_s=0))
    assert starts_a(decide(sheet, stuck_s=int(BOX_PATIENCE_S) + 30))


@pytest.mark.parametrize(
    ("distance_m", "speed_mps", "stalled"), [(1.0, 0.0, True), (40.0, 0.0, True), (40.0, 5.0, False)]
)
def test_who_stands_under_green_is_not_counted_on(distance_m: float, speed_mps: float, *, stalled: bool) -> None:
    """Whoever is first of a lane and stands under its green goes nowhere for now, as one that waits to change lanes."""
    lane = LaneEstimate("lane", 13.89, 1.8, 80.0, {"through": 1.0})
    memory = AreaMemory()
    for second in range(STALL_S + 2):
        memory.hear(
            lane, second, [VehicleSeen("first", "lane", distance_m, speed_mps, "through")], {"through": Aspect.GREEN}
        )

    assert (lane.stalled_until_s > STALL_S + 2) is stalled


def test_who_has_another_signal_to_pass_is_expected_but_calls_nobody() -> None:
    """A vehicle before the signal next to this one counts as on its way; it waits for the other signal, not for this."""
    seen = VehicleSeen("first", "lane", 40.0, 0.0, "through", onward=True)
    lane = LaneEstimate("lane", 13.89, 1.8, 80.0, {"through": 1.0})
    memory = AreaMemory()
    for second in range(100):
        memory.hear(lane, second, [seen], {"through": Aspect.GREEN})

    assert [one.group for one in lane.vehicles] == ["through"]
    assert (lane.stuck_s, lane.locked_s, waiting_groups([seen])) == (0.0, 0, set())
    assert waiting_groups([replace(seen, onward=False)]) == {"through"}


def test_who_announces_nothing_and_stands_at_a_green_wants_another(sheet_data: dict[str, Any]) -> None:
    """As with loops: the longer the first stands, the surer he wants the rare turn; of the one behind him nothing is known."""
    next(one for one in sheet_data["groups"] if one["id"] == "e").update({"lanes": ["lane-a"], "turn": "t"})
    sheet = read_sheet(sheet_data)
    perception = Perception(sheet)
    aspects = dict.fromkeys(sheet.group, Aspect.RED) | {"a": Aspect.GREEN}
    wishes = []
    for second in range(1, 23):
        first = VehicleSeen("first" if second < 22 else "second", "lane-a", 1.0, 0.0, None)
        perception.hear(second, {}, aspects, {"lane-a": [first]})
        wishes.append(perception.lanes["lane-a"].head_chances()["e"])

    assert wishes[1] < 0.05
    assert wishes[20] > 0.95
    assert wishes[21] < 0.05
