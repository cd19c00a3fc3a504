"""What is read from a network: conflicts, clearances, plans and loops, against the judge's own reading."""

from itertools import pairwise
from pathlib import Path

import pytest

from maasloop.core.ids import valid_id
from maasloop.twin.street.feeders import only_from_feeders
from maasloop.twin.street.judge import judge_states
from maasloop.twin.street.loops import place_loops
from maasloop.twin.street.network import load_network, signal_networks, yellow_for
from maasloop.twin.street.scenario import load_scenario, scenario_names
from maasloop.twin.street.signals import SignalDevice
from maasloop.twin.street.site import Junction, Site, lane_names, read_site

SCENARIOS = ("cologne1", "cologne3", "cologne8", "ingolstadt1", "ingolstadt7", "ingolstadt21", "grid4x4")


def site_of(name: str) -> Site:
    """Read the site of a scenario of the wheel."""
    return read_site(load_scenario(name))


def test_scenarios_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    """Every directory of the wheel is a scenario, and so is any .sumocfg; an unknown name says what there is."""
    assert set(SCENARIOS) <= set(scenario_names())
    by_name = load_scenario("cologne1")
    config = tmp_path / "other.sumocfg"
    config.write_text(f'<configuration><input><net-file value="{by_name.net}"/></input></configuration>')
    assert load_scenario(str(config)).net == by_name.net
    with pytest.raises(LookupError, match="cologne1"):
        load_scenario("nowhere")


@pytest.mark.parametrize(("kmh", "seconds"), [(30, 4), (50, 4), (60, 4), (70, 5), (80, 5), (100, 6)])
def test_yellow_follows_the_speed(kmh: int, seconds: int) -> None:
    """Yellow is at least 4 s and grows with the speed, in whole seconds."""
    assert yellow_for(kmh / 3.6) == seconds


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_local_programme_is_in_order(name: str) -> None:
    """Every junction's local programme, played for three cycles by its device, passes the judge."""
    site = site_of(name)
    for junction in site.junctions:
        device = SignalDevice(junction)
        states = [(second, device.tick(second)) for second in range(3 * junction.local.cycle_s)]
        assert judge_states(site.scenario.net, junction.tls, states) == []
        assert device.conflicts_seen == 0


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_cycle_is_kept_and_greens_are_long_enough(name: str) -> None:
    """The stretched plan keeps the network's cycle where the minimum greens leave room."""
    for junction in site_of(name).junctions:
        own = round(sum(phase.duration_s for phase in junction.network.phases))
        stages = [step.duration_s for step in junction.local.steps if step.stage]
        assert min(stages) >= 5
        assert junction.local.cycle_s == own or all(length == 5 for length in stages)


def test_an_unsafe_plan_is_named() -> None:
    """Where the network's own plan shows two foes in protected green, the minor yields and the sheet says so."""
    junction = next(one for one in site_of("ingolstadt7").junctions if one.tls == "gneJ210")
    assert junction.network.unsafe_pairs
    assert all("yields" in note for note in junction.sheet["notes"])
    for minor, major in junction.network.unsafe_pairs:
        assert not any(step.state[minor] == "G" and step.state[major] == "G" for step in junction.local.steps)


@pytest.mark.parametrize("name", SCENARIOS)
def test_ids_and_loops_are_sound(name: str) -> None:
    """Ids are ids of the city, every controlled lane has a stop-line loop, upstream loops lie about 80 m away at most."""
    site = site_of(name)
    for junction in site.junctions:
        assert valid_id(junction.id)
        stops = {loop.serves[0][0] for loop in junction.loops if loop.kind == "stop-line"}
        assert stops == {link.lane for group in junction.network.groups for link in group.links}
        for loop in junction.loops:
            assert valid_id(loop.id)
            assert loop.kind != "upstream" or loop.distance_m <= 81
            assert 0.0 < sum(share for _, share in loop.serves) < 1.01
    assert len(site.loops) == sum(len(junction.loops) for junction in site.junctions)


def test_a_lane_that_is_too_short_has_its_loop_in_the_node_before_it() -> None:
    """Three lanes of 0.8 m follow a node of 8.2 m: each has a loop of its own, 2.5 m before the line."""
    loops = [
        loop for junction in site_of("ingolstadt7").junctions for loop in junction.loops if loop.kind == "stop-line"
    ]
    found = {loop.serves[0][0]: (loop.lane, loop.position_m) for loop in loops if loop.lane.startswith(":")}

    assert found == {f"124812856#1_{lane}": (f":1387938626_0_{lane - 1}", 6.45) for lane in (1, 2, 3)}


def test_who_may_turn_off_is_expected_in_part() -> None:
    """An upstream loop on a road whose traffic goes elsewhere, too, announces a part of it; the others announce all."""
    (junction,) = site_of("ingolstadt1").junctions
    found = [sum(share for _, share in loop.serves) for loop in junction.loops if loop.kind == "upstream"]

    assert [round(share, 2) for share in found] == [1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0]


def test_an_upstream_loop_lies_behind_the_place_where_lanes_part() -> None:
    """Where one lane becomes three 44 m before the line, each of the three has a loop of its own behind that place."""
    junction = next(one for one in site_of("ingolstadt7").junctions if one.tls == "gneJ143")
    near = [loop for loop in junction.loops if loop.kind == "upstream" and loop.distance_m < 45]

    assert [loop.lane for loop in near] == ["10425609#0_1", "10425609#0_2", "10425609#0_3"]
    assert [max(share for _, share in loop.serves) for loop in near] == [0.95, 0.95, 0.95]


def test_intergreen_and_conflict_go_together() -> None:
    """A sheet states an intergreen both ways for every conflict, and no pair both conflicts and fits."""
    for junction in site_of("cologne8").junctions:
        sheet = junction.sheet
        both_ways = {(row[0], row[1]) for row in sheet["intergreens"]}
        conflicts = {tuple(pair) for pair in sheet["conflicts"]}
        assert both_ways == conflicts | {pair[::-1] for pair in conflicts}
        assert not conflicts & {tuple(pair) for pair in sheet["compatible"]}


def test_clearance_follows_every_stage() -> None:
    """Between two stages of a plan whoever ends shows yellow first."""
    for junction in site_of("cologne1").junctions:
        states = [step.state for step in junction.local.steps]
        for before, after in pairwise([*states, states[0]]):
            assert not any(was in "Gg" and now == "r" for was, now in zip(before, after, strict=True))


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_junctions_before_announce_their_traffic(name: str) -> None:
    """A feeder is an exit loop of another junction, further away than the own loops; two signals in a row have one."""
    site = site_of(name)
    for junction in site.junctions:
        feeders = [one for one in junction.sheet["detectors"] if one["position"] == "feeder"]
        assert [one["id"] for one in feeders] == list(junction.feeders)
        for one in feeders:
            assert site.loops[one["id"]].kind == "exit"
            assert one["id"] not in {loop.id for loop in junction.loops}
            assert one["distance_m"] <= 400
    assert any(junction.feeders for junction in site.junctions) is (len(site.junctions) > 1)


def past_feeders_only(junction: Junction) -> list[str]:
    """Return the lanes of the network of which the data sheet says so."""
    only = {one["id"] for one in junction.sheet["lanes"] if one.get("only_from_feeders")}
    return [lane for lane, name in lane_names(junction.network).items() if name in only]


def test_a_lane_is_reached_past_feeders_only_where_its_road_begins_at_a_signal() -> None:
    """On the grid every road between two signals is such a one; a road from outside, or one that others join, is not."""
    grid, joined = site_of("grid4x4"), site_of("cologne3")
    inner = {lane for one in grid.junctions for lane in past_feeders_only(one)}
    assert len(inner) == 144
    assert not any(lane.startswith(("top", "bottom", "left", "right")) for lane in inner)
    assert any(one.feeders for one in joined.junctions)
    assert not any(map(past_feeders_only, joined.junctions))


def test_a_road_whose_beginning_no_feeder_tells_of_is_not_reached_past_feeders_only() -> None:
    """One that is longer than a feeder is looked for, and one before which a junction has no loop in its exit."""
    net = load_network(load_scenario("cologne8").net)
    networks = signal_networks(net)
    loops = {one.id: place_loops(net, one) for one in networks}
    found = only_from_feeders(net, networks, loops)
    assert found == {"-28675493_0", "-28675493_1", "297047308_0"}
    silent = {name: [one for one in placed if one.lane != "-297047308_0"] for name, placed in loops.items()}
    assert only_from_feeders(net, networks, silent) == {"297047308_0"}


def test_a_road_on_which_some_have_to_change_lanes_is_not_reached_past_feeders_only() -> None:
    """Who turns into it from the side comes to one of its lanes, whichever he wants: loops at its beginning do not tell that."""
    lanes = {lane for one in site_of("ingolstadt7").junctions for lane in past_feeders_only(one)}
    assert not any(lane.startswith(("124812857#0", "201956819#0", "201963537#1")) for lane in lanes)
