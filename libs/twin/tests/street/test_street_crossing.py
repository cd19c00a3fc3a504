"""A network with crossings and cycle signals: what is read from it, and that people on foot have the time they need."""

from collections import Counter
from pathlib import Path

import pytest

from maasloop.twin.street.judge import judge_states
from maasloop.twin.street.network import Crossing, Group, Link, Phase, SignalNetwork
from maasloop.twin.street.programme import Step, local_programme
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.signals import Answer, Sequence, SignalDevice
from maasloop.twin.street.site import Junction, Site, read_site

CONFIG = Path(__file__).parents[4] / "examples" / "crossing" / "crossing.sumocfg"
CLEARANCE_S = 8
SIDE = "GgGgrrrrGgGgrrrrrGrG"
SIDE_CLEARING = "GgGgrrrrGgGgrrrrrrrr"
MAIN = "rrrrGgGgrrrrGgGgGrGr"
MAIN_CLEARING = "rrrrGgGgrrrrGgGgrrrr"
YELLOW = ("rrrryyyyrrrryyyyrrrr", "rrrrryyyrrrrryyyrrrr", "r" * 20)


@pytest.fixture(scope="module")
def site() -> Site:
    """Read the example."""
    return read_site(load_scenario(str(CONFIG)))


def judged(site: Site, junction: Junction, *runs: tuple[str, int]) -> set[str]:
    """Return the rules that states shown for so many seconds break."""
    states = [state for state, length in runs for _ in range(length)]
    return {one.rule for one in judge_states(site.scenario.net, junction.tls, list(enumerate(states)))}


def test_every_kind_of_road_user_has_its_groups(site: Site) -> None:
    """Each junction has four crossings, four cycle signals, and twelve groups for the others."""
    assert [junction.tls for junction in site.junctions] == ["A", "B"]
    for junction in site.junctions:
        groups = junction.network.groups
        assert Counter(group.kind for group in groups) == {"vehicle": 12, "cycle": 4, "pedestrian": 4}
        assert {group.yellow_s for group in groups if group.kind == "cycle"} == {4}
        assert {group.wait_max_s for group in groups if group.kind != "vehicle"} == {90}
        assert {(group.yellow_s, group.clearance_s) for group in groups if group.kind == "pedestrian"} == {(0, 8)}


def test_a_sheet_states_what_people_on_foot_need(site: Site) -> None:
    """Each crossing has a kerb, a button there, and a clearance that covers it; nobody on foot gives way."""
    for junction in site.junctions:
        sheet = junction.sheet
        walkers = {group["id"]: group for group in sheet["groups"] if group["kind"] == "pedestrian"}
        kerbs = [lane for group in walkers.values() for lane in group["lanes"]]
        buttons = [one["serves"][0][0] for one in sheet["detectors"] if one["position"] == "button"]
        assert sorted(kerbs) == sorted(buttons) == ["w0", "w1", "w2", "w3"]
        assert all(row[2] == CLEARANCE_S for row in sheet["intergreens"] if row[0] in walkers)
        assert not any(minor in walkers for minor, _ in sheet["yields"])
        assert any(major in walkers for _, major in sheet["yields"])


def test_the_plan_is_the_network_s_own(site: Site) -> None:
    """The example's plan is in order as it is: its local programme is the same, and no rule is broken in three cycles."""
    for junction in site.junctions:
        own = [(phase.state, round(phase.duration_s)) for phase in junction.network.phases]
        assert [(step.state, step.duration_s) for step in junction.local.steps] == own
        device = SignalDevice(junction)
        assert judged(site, junction, *((device.tick(second), 1) for second in range(240))) == set()


@pytest.mark.parametrize("stage", [MAIN, MAIN_CLEARING, SIDE, SIDE_CLEARING])
@pytest.mark.parametrize("held_s", [5, 17, 33])
def test_the_way_back_to_the_plan_is_in_order(site: Site, stage: str, held_s: int) -> None:
    """Whatever is shown when a sequence expires, people on foot have left before a foe starts."""
    junction = site.junctions[0]
    device = SignalDevice(junction)
    shown = [device.tick(second) for second in range(5)]
    before = shown[-1]
    ends_s = 5 + CLEARANCE_S
    clearing = [(0, "rrrryyyyrrrryyyyrrrr"), (4, "r" * 20), (CLEARANCE_S, stage)]
    steps = tuple(clearing) if stage in (SIDE, SIDE_CLEARING) else ((0, before), (CLEARANCE_S, stage))
    answer = device.accept(Sequence("away", before, 5, ends_s + held_s, steps))
    shown += [device.tick(second) for second in range(5, 200)]
    assert answer is Answer.ACCEPTED
    assert shown[ends_s] == stage
    assert judged(site, junction, *((state, 1) for state in shown)) == set()


@pytest.mark.parametrize(
    ("runs", "rule"),
    [
        (((MAIN, 9), (MAIN_CLEARING, 3), (YELLOW[0], 4), (YELLOW[2], 1), (SIDE, 9)), None),
        (((MAIN, 9), (MAIN_CLEARING, 2), (YELLOW[0], 4), (YELLOW[2], 1), (SIDE, 9)), "intergreen"),
        (((MAIN, 9), (SIDE, 9)), "intergreen"),
        (((MAIN, 9), (MAIN_CLEARING.replace("g", "G"), 9)), "protected over a crossing"),
        (((MAIN, 9), (MAIN.replace("g", "G"), 9)), "both protected"),
        (((MAIN, 9), (MAIN[:16].replace("g", "G") + "grgr", 9)), "both protected"),
        (((MAIN_CLEARING, 9), (MAIN, 4), (MAIN_CLEARING, 9)), "minimum green"),
        (((MAIN, 9), (MAIN[:16] + "GGGG", 9)), "conflict"),
        (((MAIN_CLEARING, 9), (YELLOW[0], 1), (YELLOW[1], 3)), "yellow too short"),
        (((MAIN_CLEARING, 9), (YELLOW[0], 4), (SIDE, 9)), "intergreen"),
    ],
)
def test_the_judge_sees_who_walks_and_who_cycles(
    site: Site, runs: tuple[tuple[str, int], ...], rule: str | None
) -> None:
    """Clearance, greens and yellows of people on foot and cyclists are judged as their own."""
    found = judged(site, site.junctions[0], *runs)
    assert (rule in found) if rule else not found


def with_a_crossing(length_m: float, *phases: Phase) -> SignalNetwork:
    """Return a junction of a road, a turn that gives way to a crossing, and that crossing."""
    link = Link("in", "out", 13.9, "s")
    return SignalNetwork(
        tls="x",
        id="x",
        groups=(
            Group("road", (link,), 4),
            Group("turn", (link,), 4),
            Group("walk", (), 0, "pedestrian", (Crossing(":x_c0", length_m),)),
        ),
        phases=phases,
        offset_s=0.0,
        conflicts=frozenset({(0, 1), (0, 2)}),
        yields=frozenset({(1, 2)}),
        unsafe_pairs=(),
    )


def test_a_plan_that_hurries_people_on_foot_is_lengthened() -> None:
    """Green, clearance and the right of way of people on foot are made up for where a plan lacks them."""
    network = with_a_crossing(
        14.4, Phase("rgG", 5), Phase("rGr", 5), Phase("ryr", 3), Phase("Grr", 20), Phase("yrr", 3)
    )
    steps = [Step(step.state, step.duration_s) for step in local_programme(network).steps]
    assert steps == [
        Step("rgG", 6),
        Step("rgr", 5),
        Step("ryr", 4),
        Step("rrr", 3),
        Step("Grr", 16),
        Step("yrr", 4),
        Step("rrr", 1),
    ]


def test_the_red_between_two_greens_of_a_crossing_is_as_long_as_its_clearance() -> None:
    """Who has started to walk has left before the next green, though nobody else starts in between."""
    network = with_a_crossing(24.0, Phase("rgG", 20), Phase("rgr", 6), Phase("rgG", 20), Phase("Grr", 20))
    red = next(step for step in local_programme(network).steps if step.state == "rgr")
    assert red.duration_s == network.groups[2].clearance_s == 20


@pytest.mark.parametrize("expires_s", range(20, 90, 3))
def test_the_way_back_leaves_time_to_walk(expires_s: int) -> None:
    """Whenever a sequence expires, a crossing is not shown green for less than its shortest green."""
    network = with_a_crossing(
        28.8, Phase("rgG", 30), Phase("rGr", 30), Phase("ryr", 3), Phase("Grr", 20), Phase("yrr", 3)
    )
    device = SignalDevice(Junction("x", "x", network, (), local_programme(network), (0.0, 0.0), (), {}))
    before = [device.tick(second) for second in range(5)][-1]
    shortest_s = network.groups[2].green_min_s
    assert shortest_s == 12
    steps = ((0, before), (shortest_s, "r" * 3))
    assert device.accept(Sequence("away", before, 5, 5 + shortest_s + expires_s, steps)) is Answer.ACCEPTED
    shown = [device.tick(second) for second in range(5, 300)]
    walking = "".join("G" if state[2] in "Gg" else "r" for state in shown).split("r")
    assert min(len(green) for green in walking[:-1] if green) >= shortest_s
