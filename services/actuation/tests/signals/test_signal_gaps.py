"""Who gives way waits for those who have the right of way, however these are known."""

from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.outlook import Prospect, plan_stage
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading
from maasloop.actuation.domain.signals.traffic.perception import Perception

SECOND_S = 8
SPEED_MPS = 13.89
COMING_S = (1, 3, 5)
"""They are at the line of b so many seconds later, and there is no gap between them."""


@pytest.fixture
def shared(sheet_data: dict[str, Any]) -> Sheet:
    """Return the crossing where e leaves from the lane of b as well; d gives way to both."""
    groups = [one | {"lanes": ["lane-b"]} if one["id"] == "e" else one for one in sheet_data["groups"]]
    return read_sheet(
        sheet_data
        | {
            "groups": groups,
            "compatible": [*sheet_data["compatible"], ["a", "e"], ["b", "e"], ["d", "e"]],
            "yields": [["d", "b"], ["d", "e"]],
            "lanes": [one for one in sheet_data["lanes"] if one["id"] != "lane-e"],
            "detectors": [
                one for one in sheet_data["detectors"] if one["id"] not in ("loop-e-stop-line", "loop-e-upstream")
            ],
        }
    )


def second_leaves_s(sheet: Sheet, known: str) -> float:
    """Return when the second of two who stand on lane d leaves, by how those who come on lane b are ``known``."""
    perception = Perception(sheet)
    shown = {name: Aspect.RED if name == "c" else Aspect.GREEN for name in sheet.group} | {"d": Aspect.YIELDING}
    coming = COMING_S if known != "nobody" else ()
    for second in range(1, SECOND_S + 1):
        seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes}
        seen["lane-d"] = [VehicleSeen(f"d{number}", "lane-d", 1.0 + 7.5 * number, 0.0, "d") for number in range(2)]
        readings = {detector.id: LoopReading(0, 0.0) for detector in sheet.detectors}
        for one in coming:
            distance_m = SPEED_MPS * (SECOND_S + one - second)
            group = "b" if known == "announced" else None
            seen["lane-b"].append(VehicleSeen(f"b{one}", "lane-b", distance_m, SPEED_MPS, group))
            if second == SECOND_S + one - round(80.0 / SPEED_MPS):
                readings["loop-b-upstream"] = LoopReading(1, 0.4)
        if known == "counted":
            del seen["lane-b"]
        perception.hear(second, readings, shown, seen)
    state = JunctionState.first_seen(sheet, SECOND_S, shown)
    (plan,) = (one for one in plan_stage(sheet, frozenset("abde")).lanes if one.lane == "lane-d")
    departures, _ = Prospect(perception, state, 60.0).of(plan, dict.fromkeys("abde", 0.0))
    return departures[1][0]


@pytest.mark.parametrize("known", ["announced", "seen", "counted"])
def test_who_gives_way_waits_for_whoever_comes(shared: Sheet, known: str) -> None:
    """That somebody has the right of way is known of all who come on lane b, whether they say where they go or not."""
    assert second_leaves_s(shared, "nobody") < 5.0
    assert second_leaves_s(shared, known) == pytest.approx(COMING_S[-1] + 1.0, abs=0.5)


def test_a_lane_that_leads_one_way_tells_it_for_those_who_announce_nothing(shared: Sheet) -> None:
    """Who stands on lane a can only want a, and calls it; on lane b he may want either; who announces d is believed."""
    perception = Perception(shared)
    red = dict.fromkeys(shared.group, Aspect.RED)
    seen = {lane.id: list[VehicleSeen]() for lane in shared.lanes}
    seen["lane-a"] = [VehicleSeen("a0", "lane-a", 1.0, 0.0, None), VehicleSeen("a1", "lane-a", 8.5, 0.0, "d")]
    seen["lane-b"] = [VehicleSeen("b0", "lane-b", 1.0, 0.0, None)]
    perception.hear(1, {}, red, seen)

    assert [one.group for one in perception.lanes["lane-a"].vehicles] == ["a", "d"]
    assert [one.group for one in perception.lanes["lane-b"].vehicles] == [None]
    assert "a" in perception.called(red)
