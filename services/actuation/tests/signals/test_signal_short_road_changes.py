"""Two signals with a short road between them change together, and neither keeps a green for those whom the other keeps."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import GREENS, Aspect, Aspects
from maasloop.actuation.domain.signals.controller import Ask, Controller, Hold
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen, free_travel_s
from maasloop.actuation.domain.signals.traffic.estimate import Expected
from maasloop.actuation.domain.signals.traffic.neighbourhood import Hears
from maasloop.actuation.domain.signals.traffic.perception import Perception
from maasloop.actuation.domain.signals.traffic.short_roads import LET_GO_S

LANE, OUT, NOTHING = frozenset({"lane-a"}), frozenset({"out"}), frozenset[str]()
COMING = VehicleSeen("coming", "lane-a", 30.0, 0.0, "a", onward=True)
HERE = VehicleSeen("here", "lane-a", 2.0, 0.0, "a")


@pytest.fixture
def short(sheet_data: dict[str, Any]) -> Sheet:
    """Return the crossing whose lane a is a road of 12 m from another signal, and whose group b leads to one."""
    data = copy.deepcopy(sheet_data)
    data["lanes"][0]["storage_m"] = 6.0
    groups = {group["id"]: group for group in data["groups"]}
    groups["a"]["exits"], groups["b"]["exits"] = [], ["out"]
    data["detectors"][-1]["distance_m"] = 7.0
    data["detectors"].append(
        {"id": "loop-before", "position": "feeder", "distance_m": 6.0, "serves": [["lane-a", 1.0]]}
    )
    return read_sheet(data)


@pytest.fixture
def two_ways(sheet_data: dict[str, Any]) -> Sheet:
    """Return the same, where group b goes from that lane as well."""
    data = copy.deepcopy(sheet_data)
    data["lanes"][0]["storage_m"] = 6.0
    next(group for group in data["groups"] if group["id"] == "b")["lanes"].append("lane-a")
    data["detectors"].append(
        {"id": "loop-before", "position": "feeder", "distance_m": 6.0, "serves": [["lane-a", 1.0]]}
    )
    return read_sheet(data)


def red(sheet: Sheet, *green: str) -> Aspects:
    """Return what is shown where these are green and all others red."""
    return {name: Aspect.GREEN if name in green else Aspect.RED for name in sheet.group}


def unseen(sheet: Sheet) -> dict[str, list[VehicleSeen]]:
    """Return lanes of which each is watched, with nobody on it."""
    return {lane.id: [] for lane in sheet.lanes}


@pytest.mark.parametrize("announced", [True, False])
def test_a_short_road_opens_when_its_green_is_asked_for(short: Sheet, *, announced: bool) -> None:
    """Who sets off then arrives at green; it closes when another one is asked for, or none, and is closed where nobody tells."""
    perception = Perception(short)
    seen = unseen(short) | {"lane-a": [COMING]} if announced else None
    told = []
    for second, asked in enumerate((red(short), red(short, "b"), red(short, "a", "b"), {}, {})):
        perception.hear(second, {}, red(short), seen)
        told.append(perception.says.closed == LANE)
        perception.short_roads.ask(asked)

    assert told == [True, True, True, not announced, True]


def test_who_stands_on_a_short_road_stands_until_it_is_green(short: Sheet) -> None:
    """Although its green is asked for: the other direction is not to be filled meanwhile."""
    perception = Perception(short)
    for second in (1, 2):
        perception.hear(second, {}, red(short), unseen(short) | {"lane-a": [HERE]})
        perception.short_roads.ask(red(short, "a"))

    assert not perception.says.closed
    assert perception.says.standing == LANE


def test_a_controller_tells_what_it_is_about_to_open(short: Sheet) -> None:
    """As long as the sequence runs that it asked for; what it decides next tells anew."""
    controller = Controller(short)
    seen = unseen(short) | {"lane-b": [VehicleSeen("b-0", "lane-b", 1.0, 0.0, "b")], "lane-a": [HERE]}
    clearing = {**red(short), "b": Aspect.YELLOW}
    state = JunctionState.first_seen(short, 0, red(short, "c"))
    for second in range(1, 11):
        state = state.observe(second, red(short, "c"), controller.hear(second, {}, red(short, "c"), seen))
    assert (controller.says.opening, controller.says.closed) == (NOTHING, LANE)
    asked = controller.decide(state)
    assert isinstance(asked, Ask)
    assert asked.request.steps[0].aspects["c"] is Aspect.YELLOW
    assert {"a", "b"} <= {name for name, aspect in asked.request.steps[-1].aspects.items() if aspect in GREENS}

    for second in (11, 12):
        shown = {**red(short), "c": Aspect.YELLOW}
        state = state.observe(second, shown, controller.hear(second, {}, shown, seen))
        assert (controller.says.opening, controller.says.closed) == (OUT, NOTHING)

    assert isinstance(controller.decide(state.observe(13, clearing, controller.hear(13, {}, clearing, seen))), Hold)
    controller.hear(14, {}, clearing, seen)
    assert (controller.says.opening, controller.says.closed) == (NOTHING, LANE)


def test_of_longer_roads_nothing_is_told(sheet: Sheet) -> None:
    """Who is let go there finds room, whatever the signal at the end shows."""
    perception = Perception(sheet)
    perception.short_roads.ask(red(sheet, "a", "b", "d"))
    perception.hear(1, {}, red(sheet))

    assert not perception.says


@pytest.mark.parametrize(
    ("heard", "way", "later_s"),
    [
        (Hears(), "a", LET_GO_S),
        (Hears(sent_to=LANE), "a", 0.0),
        (Hears(opened_to=LANE), "a", 0.0),
        (Hears(), None, 0.0),
    ],
)
def test_whom_the_signal_before_keeps_is_expected_later(
    two_ways: Sheet, heard: Hears, way: str | None, later_s: float
) -> None:
    """Whom it lets go, or is about to, comes when he can; where vehicles tell no way he always does."""
    perception = Perception(two_ways)
    free_s = free_travel_s(COMING.distance_m, COMING.speed_mps, perception.lanes["lane-a"].speed_mps)
    for second in (1, 2):
        perception.hear(second, {}, red(two_ways), unseen(two_ways) | {"lane-a": [replace(COMING, group=way)]}, heard)

    assert perception.lanes["lane-a"].vehicles[0].at_s == pytest.approx(2 + free_s + later_s, abs=0.01)


@pytest.mark.parametrize("told", [LANE, frozenset[str]()])
def test_by_loops_who_waits_before_is_expected_at_once(short: Sheet, told: frozenset[str]) -> None:
    """Whether the signal before is about to let him go or not."""
    perception = Perception(short)
    coming = {"lane-a": (Expected(1.0, 1.0),)}
    perception.hear(1, {}, red(short), heard=Hears(coming=coming, opened_to=told))

    assert perception.lanes["lane-a"].onward[0].at_s < 1 + LET_GO_S


def test_who_is_on_a_short_road_already_is_kept_by_nobody(short: Sheet) -> None:
    """Nor is whoever comes along a road with room to wait."""
    perception = Perception(short)
    far = VehicleSeen("far", "lane-b", 30.0, 0.0, "b", onward=True)
    for second in (0, 1):
        perception.hear(second, {}, red(short), unseen(short) | {"lane-a": [HERE, COMING], "lane-b": [far]})
    here, coming = (one.at_s for one in perception.lanes["lane-a"].vehicles)

    assert here < 1 + LET_GO_S < coming
    assert perception.lanes["lane-b"].vehicles[0].at_s < 1 + LET_GO_S
