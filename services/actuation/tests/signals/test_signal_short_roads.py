"""A short road between two signals: nobody is let in who would have to stand there, his tail in the junction before."""

import copy
from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import GREENS, Aspect
from maasloop.actuation.domain.signals.controller import SHUT_MARGIN_S, Ask, Controller
from maasloop.actuation.domain.signals.kernel import SequenceStep, expiry_latest_s
from maasloop.actuation.domain.signals.outlook import Prospect, plan_stage
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import STALL_ONWARD_S, STALL_S, AreaMemory, VehicleSeen
from maasloop.actuation.domain.signals.traffic.estimate import Expected, LaneEstimate, LoopReading
from maasloop.actuation.domain.signals.traffic.neighbourhood import Hears
from maasloop.actuation.domain.signals.traffic.perception import Perception
from maasloop.actuation.domain.signals.traffic.short_roads import ENDING_MAX_S, SENDING_S

COVERED = LoopReading(0, 1.0)
NOBODY, OUT = frozenset[str](), frozenset({"out"})


@pytest.fixture
def short(sheet_data: dict[str, Any]) -> Sheet:
    """Return the crossing whose lane a is a road of 12 m that begins at another signal."""
    data = copy.deepcopy(sheet_data)
    data["lanes"][0]["storage_m"] = 6.0
    feeder = {"id": "loop-before", "position": "feeder", "distance_m": 6.0, "serves": [["lane-a", 1.0]]}
    data["detectors"].append(feeder)
    return read_sheet(data)


def closed(sheet: Sheet, aspect: Aspect, *vehicles: VehicleSeen) -> bool:
    """Tell whether lane a is closed, with these vehicles, while its group shows this."""
    perception = Perception(sheet)
    seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes} | {"lane-a": list(vehicles), "lane-b": [ELSEWHERE]}
    shown = dict.fromkeys(sheet.group, Aspect.RED) | {"a": aspect}
    perception.hear(1, {}, shown, seen)
    return perception.says.closed == {"lane-a"}


HERE = VehicleSeen("here", "lane-a", 2.0, 0.0, "a")
COMING = VehicleSeen("coming", "lane-a", 30.0, 0.0, "a", onward=True)
ELSEWHERE = VehicleSeen("elsewhere", "lane-b", 60.0, 10.0, "b")
INSIDE = VehicleSeen("inside", "lane-a", -4.0, 0.0, "a")


def test_a_short_road_is_closed_while_those_on_it_or_the_next_would_stand(short: Sheet) -> None:
    """Red for somebody on it or for the next to come closes it, and so does one that does not get out of the junction."""
    assert closed(short, Aspect.RED, HERE)
    assert closed(short, Aspect.YELLOW, COMING)
    assert closed(short, Aspect.GREEN, INSIDE)
    assert not closed(short, Aspect.GREEN, HERE, COMING)
    assert not closed(short, Aspect.RED)


def test_a_longer_road_is_not_closed(sheet: Sheet) -> None:
    """Where there is room to wait, a red signal keeps nobody out of the road before it."""
    assert not closed(sheet, Aspect.RED, HERE)


def test_loops_close_a_short_road_while_it_is_red(short: Sheet) -> None:
    """Where only loops tell, the road is closed while nothing is green there, whether somebody stands or not."""
    perception = Perception(short)
    perception.hear(0, {}, dict.fromkeys(short.group, Aspect.RED))
    assert perception.says.closed == {"lane-a"}
    for second in range(1, 6):
        perception.hear(second, {"loop-a-stop-line": COVERED}, dict.fromkeys(short.group, Aspect.RED))
    assert perception.says.closed == {"lane-a"}

    perception.hear(6, {"loop-a-stop-line": COVERED}, dict.fromkeys(short.group, Aspect.RED) | {"a": Aspect.GREEN})
    assert not perception.says.closed


@pytest.fixture
def before(sheet_data: dict[str, Any]) -> Sheet:
    """Return the crossing with another signal 12 m behind the exit of group a."""
    data = copy.deepcopy(sheet_data)
    data["detectors"][-1]["distance_m"] = 7.0
    return read_sheet(data)


def starts(sheet: Sheet, held_back: frozenset[str], seconds: int) -> list[str]:
    """Return the groups asked to become green for one who has waited for a so long, with exits held back."""
    controller = Controller(sheet)
    red: dict[str, Aspect] = dict.fromkeys(sheet.group, Aspect.RED)
    state = JunctionState.first_seen(sheet, 0, red)
    seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes}
    seen["lane-a"] = [VehicleSeen("a-0", "lane-a", 1.0, 0.0, "a")]
    seen["lane-b"] = [VehicleSeen("b-0", "lane-b", 1.0, 0.0, "b")]
    for second in range(1, seconds + 1):
        state = state.observe(second, red, controller.hear(second, {}, red, seen, Hears(held_back)))
    decision = controller.decide(state)
    assert isinstance(decision, Ask)
    return sorted(name for name, aspect in decision.request.steps[-1].aspects.items() if aspect in GREENS)


def test_nobody_is_let_into_a_short_road_that_is_held_back(before: Sheet) -> None:
    """A group that leads there only is left out of the stage that starts; shortly before its maximum wait it is not."""
    late = int(before.group["a"].maximum_wait_s - SHUT_MARGIN_S) + 2

    assert starts(before, NOBODY, 10) == ["a", "b", "d"]
    assert starts(before, OUT, 10) == ["b", "d"]
    assert "a" in starts(before, OUT, late)


def test_a_longer_road_that_is_held_back_keeps_its_green(sheet: Sheet) -> None:
    """Where there is room behind the exit, holding back takes the credit of a group away, and not its green."""
    assert "a" in starts(sheet, OUT, 10)


@pytest.mark.parametrize(("onward_s", "stood_s"), [(STALL_S, STALL_S), (STALL_ONWARD_S, STALL_ONWARD_S)])
def test_the_head_before_the_other_signal_is_waited_for(onward_s: int, stood_s: int) -> None:
    """Who has the other signal to pass first is counted on for as long as that one may need, and then no longer."""
    lane = LaneEstimate("lane", 13.89, 1.8, 80.0, {"through": 1.0})
    memory = AreaMemory(onward_s=onward_s)
    seen = VehicleSeen("first", "lane", 40.0, 0.0, "through", onward=True)
    stalled = []
    for second in range(20):
        memory.hear(lane, second, [seen], {"through": Aspect.GREEN})
        stalled.append(lane.stalled_until_s > second)

    # In the first second he is seen he has not stood yet.
    assert stalled.index(True) == stood_s


def test_loops_tell_the_signal_behind_a_short_road_who_waits(before: Sheet) -> None:
    """Whoever stands before an exit to a short road, with the chance that he goes there."""
    perception = Perception(before)
    assert perception.says.leaving == {}
    for second in range(1, 6):
        perception.hear(second, {"loop-a-stop-line": COVERED}, dict.fromkeys(before.group, Aspect.RED))

    [told] = perception.says.leaving["out"]
    assert (told.at_s, told.weight) == (5, perception.lanes["lane-a"].shares["a"])


def test_a_longer_road_needs_no_word_of_who_waits(sheet: Sheet) -> None:
    """Its own loops see them in time."""
    perception = Perception(sheet)
    for second in range(1, 6):
        perception.hear(second, {"loop-a-stop-line": COVERED}, dict.fromkeys(sheet.group, Aspect.RED))
    assert perception.says.leaving == {}


def expected(sheet: Sheet, heard: Hears, aspect: Aspect, seconds: int) -> float:
    """Return how many lane a would let go after so many seconds of nobody on it, and of this word from the signal before."""
    perception = Perception(sheet)
    shown = dict.fromkeys(sheet.group, Aspect.RED) | {"a": aspect}
    state = JunctionState.first_seen(sheet, 0, shown)
    for second in range(1, seconds + 1):
        loops = {one.id: LoopReading(0, 0.0) for one in sheet.detectors}
        perception.hear(second, loops, shown, heard=heard)
        state = state.observe(second, shown, perception.called(shown))
    [plan] = [one for one in plan_stage(sheet, frozenset({"a"})).lanes if one.lane == "lane-a"]
    found, _ = Prospect(perception, state, 60.0).of(plan, {"a": 0.0})
    return sum(weight for _, weight, _ in found)


def test_the_second_signal_counts_on_those_before_the_first(short: Sheet) -> None:
    """They call nobody and stand on no loop of it; when nobody comes through its green they are no longer waited for."""
    waiting = Hears(coming={"lane-a": (Expected(1.0, 1.0), Expected(1.0, 0.5))})

    assert expected(short, waiting, Aspect.RED, 5) > 1.0
    assert expected(short, Hears(), Aspect.RED, 5) == 0.0
    assert expected(short, waiting, Aspect.GREEN, STALL_ONWARD_S - 1) > 1.0
    assert expected(short, waiting, Aspect.GREEN, STALL_ONWARD_S) == 0.0


def test_areas_tell_of_them_by_themselves(short: Sheet) -> None:
    """Who is seen on the way to the second signal is not told of once more."""
    perception = Perception(short)
    seen = {lane.id: list[VehicleSeen]() for lane in short.lanes} | {"lane-a": [COMING]}
    red = dict.fromkeys(short.group, Aspect.RED)
    perception.hear(1, {}, red, seen, Hears(coming={"lane-a": (Expected(1.0, 1.0),)}))

    assert perception.lanes["lane-a"].queue == 1.0
    assert not perception.lanes["lane-a"].onward


def test_who_is_watched_and_tells_nothing_is_told_of(short: Sheet) -> None:
    """Cameras do not see where somebody goes: the road is closed at red, and the signal before is listened to."""
    perception = Perception(short)
    seen = {lane.id: list[VehicleSeen]() for lane in short.lanes}
    red = dict.fromkeys(short.group, Aspect.RED)
    perception.hear(1, {}, red, seen, Hears(coming={"lane-a": (Expected(1.0, 1.0),)}))

    assert perception.says.closed == {"lane-a"}
    assert len(perception.lanes["lane-a"].onward) == 1


def test_a_signal_tells_for_how_long_it_sends_vehicles(before: Sheet) -> None:
    """While its green or yellow lets them go, and until the last of them has come to the next line."""
    perception = Perception(before)
    red: dict[str, Aspect] = dict.fromkeys(before.group, Aspect.RED)
    told = []
    for second, shown in enumerate([Aspect.RED, Aspect.GREEN, Aspect.YELLOW, *[Aspect.RED] * 10]):
        perception.hear(second, {}, red | {"a": shown})
        told.append("out" in perception.says.sending)

    assert told == [False, *[True] * (2 + int(SENDING_S)), *[False] * (10 - int(SENDING_S))]


def ends(sheet: Sheet, sent_to: frozenset[str], seconds: int, announced: str | None) -> list[tuple[bool, bool]]:
    """Return second by second whether a stays green while c has a queue, and whether the road before it is closed.

    The first of them is that in which the minimum green is over. Those in the queue announce a group, or none.
    """
    controller = Controller(sheet)
    shown = dict.fromkeys(sheet.group, Aspect.RED) | {"a": Aspect.GREEN}
    state = JunctionState.first_seen(sheet, 0, shown)
    seen = {lane.id: list[VehicleSeen]() for lane in sheet.lanes}
    seen["lane-c"] = [VehicleSeen(f"c-{place}", "lane-c", 1.0 + 7.0 * place, 0.0, announced) for place in range(8)]
    told = []
    minimum_s = int(sheet.group["a"].minimum_green_s) - 1
    for second in range(minimum_s + seconds):
        called = controller.hear(second, {}, shown, seen, Hears(sent_to=sent_to))
        state = state.observe(second, shown, called)
        decision = controller.decide(state)
        asked = decision.request.steps[-1].aspects["a"] if isinstance(decision, Ask) else Aspect.GREEN
        told.append((asked is Aspect.GREEN, bool(controller.says.closed)))
    return told[minimum_s:]


@pytest.fixture
def wide(sheet_data: dict[str, Any]) -> Sheet:
    """Return the crossing whose lanes a and d are a road of 12 m that begins at another signal."""
    data = copy.deepcopy(sheet_data)
    data["lanes"][0]["storage_m"] = data["lanes"][3]["storage_m"] = 6.0
    for name in ("a", "d"):
        serves = [[f"lane-{name}", 1.0]]
        data["detectors"].append({"id": f"before-{name}", "position": "feeder", "distance_m": 6.0, "serves": serves})
    return read_sheet(data)


@pytest.mark.parametrize(("road", "announced"), [("short", None), ("wide", None), ("wide", "c")])
def test_a_green_waits_with_its_end_until_nobody_is_let_in(
    request: pytest.FixtureRequest, road: str, announced: str | None
) -> None:
    """It asks the signal before to stop, waits for that, and no longer than it may take; whatever tells who is there."""
    sheet: Sheet = request.getfixturevalue(road)
    assert not ends(sheet, frozenset(), 2, announced)[0][0]

    waiting = ends(sheet, frozenset({"lane-a"}), int(ENDING_MAX_S) + 1, announced)
    assert waiting[0][0]
    assert waiting[1:-1] == [(True, True)] * (int(ENDING_MAX_S) - 1)
    assert waiting[-1] == (False, True)


@pytest.mark.parametrize("left_s", [ENDING_MAX_S - 1.0, ENDING_MAX_S])
def test_a_green_that_cannot_wait_with_its_end_closes_its_road_before(short: Sheet, left_s: float) -> None:
    """Who has waited for long enough elsewhere ends it, so the signal before is asked in time, again in each second."""
    perception = Perception(short)
    shown = dict.fromkeys(short.group, Aspect.RED) | {"a": Aspect.GREEN}
    told = []
    for second in range(4):
        perception.hear(second, {}, shown)
        told.append(perception.says.closed == {"lane-a"})
        if second < 2:
            perception.short_roads.end_in(left_s, {"a"})
    perception.short_roads.end_in(left_s, {"b"})
    perception.hear(4, {}, shown)

    soon = left_s < ENDING_MAX_S
    assert told == [False, soon, soon, False]
    assert not perception.says.closed


def test_the_controller_tells_how_long_a_green_may_last(short: Sheet) -> None:
    """The road before a green is closed so long before others who wait end it, not sooner."""
    controller = Controller(short)
    shown = dict.fromkeys(short.group, Aspect.RED) | {"a": Aspect.GREEN}
    state = JunctionState.first_seen(short, 0, shown)
    seen = {lane.id: list[VehicleSeen]() for lane in short.lanes}
    seen["lane-c"] = [VehicleSeen("c-0", "lane-c", 1.0, 0.0, "c")]
    seen["lane-a"] = [VehicleSeen(f"a-{place}", "lane-a", 2.0, 0.0, "a") for place in range(8)]
    closed_at: list[int] = []
    for second in range(int(short.group["c"].maximum_wait_s)):
        state = state.observe(second, shown, controller.hear(second, {}, shown, seen))
        controller.decide(state)
        if controller.says.closed:
            closed_at.append(second)
    left_s = expiry_latest_s(short, state, (SequenceStep(0, shown),), state.second_s + 1) - closed_at[0]

    assert abs(left_s - controller.parameters.guard_s - ENDING_MAX_S) <= 2.0


def test_a_road_of_one_lane_is_closed_by_whom_vehicles_announce(short: Sheet) -> None:
    """The next who would have to stand keeps the others out, so that the green at the end need not wait."""
    assert ends(short, frozenset({"lane-a"}), 2, "c")[0] == (False, False)


@pytest.fixture
def pair(sheet_data: dict[str, Any]) -> Sheet:
    """Return the crossing with another signal 12 m away: lane a comes from there, b leads to one lane of two, d to both."""
    data = copy.deepcopy(sheet_data)
    data["lanes"][0]["storage_m"] = 6.0
    groups = {group["id"]: group for group in data["groups"]}
    groups["a"]["exits"], groups["b"]["exits"], groups["d"]["exits"] = [], ["west"], ["west", "west-beside"]
    data["exits"] = [{"id": "west", "road": "west"}, {"id": "west-beside", "road": "west"}]
    data["detectors"][-1:] = [
        {"id": "loop-before", "position": "feeder", "distance_m": 6.0, "serves": [["lane-a", 1.0]]},
        {"id": "loop-west", "position": "exit", "distance_m": 6.0, "serves": [["west", 1.0]]},
        {"id": "loop-west-beside", "position": "exit", "distance_m": 6.0, "serves": [["west-beside", 1.0]]},
    ]
    return read_sheet(data)


WEST, BESIDE = frozenset({"west"}), frozenset({"west-beside"})


@pytest.mark.parametrize(
    ("heard", "aspect", "here", "shut"),
    [
        (Hears(held_back=WEST), Aspect.GREEN, HERE, True),
        (Hears(held_back=BESIDE, standing=BESIDE), Aspect.GREEN, HERE, False),
        (Hears(held_back=BESIDE, standing=BESIDE), Aspect.RED, HERE, True),
        (Hears(held_back=BESIDE, standing=BESIDE), Aspect.RED, COMING, False),
        (Hears(held_back=BESIDE, standing=BESIDE), Aspect.GREEN, INSIDE, True),
        (Hears(held_back=BESIDE), Aspect.RED, HERE, False),
    ],
)
def test_only_one_direction_of_a_short_road_may_have_somebody_who_stands(
    pair: Sheet, heard: Hears, aspect: Aspect, here: VehicleSeen, *, shut: bool
) -> None:
    """Tails at both ends would wait for each other: where somebody stands on the way here, nobody joins who stands beside."""
    perception = Perception(pair)
    seen = {lane.id: list[VehicleSeen]() for lane in pair.lanes} | {"lane-a": [here]}
    shown = dict.fromkeys(pair.group, Aspect.RED) | {"a": aspect}
    for second in (1, 2):
        perception.hear(second, {}, shown, seen, heard)

    assert perception.short_roads.shut("b") is shut
    assert perception.free("b") is not shut


@pytest.mark.parametrize(("here", "shut"), [(HERE, True), (COMING, False)])
def test_there_one_closed_exit_of_several_is_enough(pair: Sheet, here: VehicleSeen, *, shut: bool) -> None:
    """Who would go by it cannot be told from the others of the group; elsewhere they go on."""
    perception = Perception(pair)
    seen = {lane.id: list[VehicleSeen]() for lane in pair.lanes} | {"lane-a": [here]}
    red = dict.fromkeys(pair.group, Aspect.RED)
    for second in (1, 2):
        perception.hear(second, {}, red, seen, Hears(held_back=BESIDE))

    assert perception.short_roads.shut("d") is shut


def test_a_short_road_tells_that_somebody_stands_on_it(short: Sheet) -> None:
    """Seen where vehicles tell where they go, else by the loop at its line; who moves on at green does not stand."""
    perception = Perception(short)
    red: dict[str, Aspect] = dict.fromkeys(short.group, Aspect.RED)
    perception.hear(0, {}, red)
    assert not perception.says.standing
    for second in range(1, 6):
        perception.hear(second, {"loop-a-stop-line": COVERED}, red)
    assert perception.says.standing == {"lane-a"}

    perception.hear(6, {"loop-a-stop-line": COVERED}, red | {"a": Aspect.GREEN})
    assert not perception.says.standing


def test_a_green_that_waits_with_its_end_lets_nobody_into_a_road_that_is_held_back(pair: Sheet) -> None:
    """Else both signals of a pair would go on sending vehicles, each until the other one stops."""
    controller = Controller(pair)
    shown = dict.fromkeys(pair.group, Aspect.RED) | {"a": Aspect.GREEN, "b": Aspect.GREEN}
    state = JunctionState.first_seen(pair, 0, shown)
    seen = {lane.id: list[VehicleSeen]() for lane in pair.lanes}
    seen["lane-c"] = [VehicleSeen(f"c-{place}", "lane-c", 1.0 + 7.0 * place, 0.0, None) for place in range(8)]
    heard = Hears(held_back=frozenset({"west"}), sent_to=frozenset({"lane-a"}))
    for second in range(10):
        state = state.observe(second, shown, controller.hear(second, {}, shown, seen, heard))
    decision = controller.decide(state)

    assert isinstance(decision, Ask)
    assert [name for name, aspect in decision.request.steps[-1].aspects.items() if aspect in GREENS] == ["a"]
