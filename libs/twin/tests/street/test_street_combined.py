"""A junction at which people on foot and cyclists share signals, and cyclists turn left in two goes."""

import gzip
from pathlib import Path

import pytest

from maasloop.twin.street.judge import judge_states
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.signals import SignalDevice
from maasloop.twin.street.site import Junction, Site, read_site

NET = Path(__file__).parent / "combined.net.xml"
SHARED = ("g1", "g7", "g13", "g19")
NORTH_SOUTH = "gGggGgrrrrrrgGggGgrrrrrr"
CARS_GOING = "grggGgrrrrrrgrggGgrrrrrr"
"""The same when people on foot, and who shares their signal, have to leave."""


@pytest.fixture(scope="module", params=["plain", "packed"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Read the junction, from a network file as it is and from a packed one."""
    directory = tmp_path_factory.mktemp("combined")
    net = NET
    if request.param == "packed":
        net = directory / "combined.net.xml.gz"
        net.write_bytes(gzip.compress(NET.read_bytes()))
    config = directory / "combined.sumocfg"
    config.write_text(f'<configuration><input><net-file value="{net}"/></input></configuration>')
    return read_site(load_scenario(str(config)))


@pytest.fixture
def junction(site: Site) -> Junction:
    """Return the only junction."""
    (one,) = site.junctions
    return one


def judged(site: Site, *runs: tuple[str, int]) -> set[tuple[str, tuple[int, ...]]]:
    """Return the rules that states shown for so many seconds break, and the groups concerned."""
    states = [state for state, length in runs for _ in range(length)]
    return {(one.rule, one.groups) for one in judge_states(site.scenario.net, "c", list(enumerate(states)))}


def test_a_shared_signal_is_on_foot_and_has_the_lanes_of_both(junction: Junction) -> None:
    """There is no yellow at it; cyclists are found on their lane and where they wait in the middle, walkers at the kerb."""
    groups = {group.id: group for group in junction.network.groups}
    assert {name for name, group in groups.items() if group.kind == "pedestrian"} == set(SHARED)
    for name in SHARED:
        assert groups[name].yellow_s == 0
        assert groups[name].crossing_m > 0.0
        assert len(groups[name].cycle_lanes) == 2
        assert sum(lane.startswith(":c_") for lane in groups[name].cycle_lanes) == 1
    sheet = {group["id"]: group for group in junction.sheet["groups"]}
    assert all(len(sheet[name]["lanes"]) == 3 for name in SHARED)
    cycling = {lane for name in SHARED for lane in sheet[name]["lanes"] if lane.startswith("l")}
    assert {lane["speed_mps"] for lane in junction.sheet["lanes"] if lane["id"] in cycling} == {5.5}


def test_a_second_stop_line_conflicts_with_all_that_is_never_shown_beside_it(junction: Junction) -> None:
    """The network lists no foes of it; what the plan shows beside it may stay."""
    for index, group in enumerate(junction.network.groups):
        if group.id in SHARED:
            shown = [phase.state for phase in junction.network.phases if phase.state[index] in "Gg"]
            beside = {other for other in range(24) if any(state[other] in "Gg" for state in shown)}
            assert all(junction.network.conflict(index, other) for other in range(24) if other not in beside)
            assert not any(junction.network.conflict(index, other) for other in beside - {index})


def test_the_local_programme_is_in_order(site: Site, junction: Junction) -> None:
    """Played for three cycles it breaks no rule."""
    device = SignalDevice(junction)
    shown = [(device.tick(second), 1) for second in range(3 * junction.local.cycle_s)]
    assert judged(site, *shown) == set()


def test_the_judge_sees_shared_signals_and_second_stop_lines(site: Site) -> None:
    """Two shared signals may be green together where the plan shows it, and may not where it never does."""
    assert judged(site, (NORTH_SOUTH, 20)) == set()
    crossed = NORTH_SOUTH[:7] + "G" + NORTH_SOUTH[8:]
    assert ("conflict", (1, 7)) in judged(site, (NORTH_SOUTH, 20), (crossed, 9))
    hurried = "r" * 7 + "G" + "r" * 16
    assert ("intergreen", (1, 7)) in judged(site, (NORTH_SOUTH, 20), (CARS_GOING, 2), (hurried, 9))
