"""A scenario as the city knows it: its signalled junctions, their loops, and the data sheet each controller carries.

The sheet is plain JSON data, because it travels as the configuration of the controller's device in the registry.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .bands import FREE, call_input, hold_input, plans_of
from .feeders import only_from_feeders, place_feeders
from .loops import Loop, ordered_crossings, ordered_exits, ordered_lanes, place_loops, road_of
from .network import (
    CYCLING_MPS,
    GREEN_MAX_S,
    WALKING_MPS,
    Group,
    SignalNetwork,
    load_network,
    signal_networks,
)
from .programme import LocalProgramme, local_programme
from .scenario import Scenario

CYCLE_MAX_S = 120
DEAD_MAN_S = 60
"""The shortest time-out of bands that RSMP knows: it counts whole minutes."""


WALKERS_HEADWAY_S = 0.5
KERB_M = 20.0
"""Room of those who wait at a crossing; there is as much as is needed."""


@dataclass(frozen=True)
class Junction:
    """One signalled junction: ``id`` in the city, ``tls`` in the network, its loops, its own plan and its data sheet."""

    id: str
    tls: str
    network: SignalNetwork
    loops: tuple[Loop, ...]
    local: LocalProgramme
    position_m: tuple[float, float]
    feeders: tuple[str, ...]
    """Exit loops of other junctions that announce who comes from there."""
    sheet: dict[str, Any]


@dataclass(frozen=True)
class Site:
    """Everything the twin needs to know about a scenario before it runs."""

    scenario: Scenario
    junctions: tuple[Junction, ...]

    @cached_property
    def loops(self) -> dict[str, Loop]:
        """Return every loop by its device id."""
        return {loop.id: loop for junction in self.junctions for loop in junction.loops}


def read_site(scenario: Scenario) -> Site:
    """Read the network of a scenario and derive junctions, loops and data sheets."""
    net = load_network(scenario.net)
    networks = signal_networks(net)
    loops = {network.id: place_loops(net, network) for network in networks}
    feeders = place_feeders(net, networks, loops)
    told = only_from_feeders(net, networks, loops)
    found = (_junction(net, network, loops[network.id], feeders[network.id], told) for network in networks)
    return Site(scenario, tuple(found))


def _junction(
    net: Any, network: SignalNetwork, loops: list[Loop], feeders: list[Loop], told: frozenset[str]
) -> Junction:
    local = local_programme(network)
    lanes = [net.getLane(lane_id) for lane_id in ordered_lanes(network)]
    x, y = lanes[0].getEdge().getToNode().getCoord()
    return Junction(
        id=network.id,
        tls=network.tls,
        network=network,
        loops=tuple(loops),
        local=local,
        position_m=(float(x), float(y)),
        feeders=tuple(loop.id for loop in feeders),
        sheet=_sheet(network, loops, feeders, local, lanes, told),
    )


def _sheet(
    network: SignalNetwork,
    loops: list[Loop],
    feeders: list[Loop],
    local: LocalProgramme,
    lanes: list[Any],
    told: frozenset[str],
) -> dict[str, Any]:
    lane_ids = lane_names(network)
    exit_ids = {lane_id: f"x{number}" for number, lane_id in enumerate(ordered_exits(network))}
    roads = {road: f"r{number}" for number, road in enumerate(dict.fromkeys(map(road_of, exit_ids)))}
    names = [group.id for group in network.groups]
    ways = lane_ids | exit_ids
    told &= {lane for feeder in feeders for lane, _ in feeder.serves}
    cycling = {lane for group in network.groups for lane in group.cycle_lanes}
    return {
        "junction": network.id,
        "groups": [_group(group, lane_ids, exit_ids) for group in network.groups],
        "compatible": [[names[i], names[j]] for i, j in _compatible(network)],
        "conflicts": [[names[i], names[j]] for i, j in sorted(network.conflicts)],
        "yields": [[names[i], names[j]] for i, j in sorted(network.yields)],
        "intergreens": [
            [names[a], names[b], network.groups[a].clearance_s]
            for i, j in sorted(network.conflicts)
            for a, b in ((i, j), (j, i))
        ],
        "lanes": [
            *(
                _lane(lane, lane_ids[lane.getID()], loops, cycling=lane.getID() in cycling)
                | ({"only_from_feeders": True} if lane.getID() in told else {})
                for lane in lanes
            ),
            *(_kerb(lane_ids[crossing]) for crossing in ordered_crossings(network)),
        ],
        "exits": [{"id": exit_id, "road": roads[road_of(lane)]} for lane, exit_id in exit_ids.items()],
        "detectors": [
            {
                "id": loop.id,
                "position": loop.kind,
                "distance_m": loop.distance_m,
                "serves": [[(exit_ids if loop.kind == "exit" else ways)[lane], share] for lane, share in loop.serves],
            }
            for loop in (*loops, *feeders)
        ],
        "local": {
            "offset_s": local.offset_s,
            "steps": [{"state": step.state, "duration_s": step.duration_s} for step in local.steps],
        },
        **_bands(network, local),
        "notes": [
            f"{names[minor]} yields to {names[major]}: the network's own plan shows both in protected green"
            for minor, major in network.unsafe_pairs
        ],
    }


def _bands(network: SignalNetwork, local: LocalProgramme) -> dict[str, Any]:
    """Return what the junction's free plan leaves open to a supervisor that works by plans and bands, if anything."""
    free = plans_of(network, local).get(FREE)
    if free is None:
        return {}
    bands = {
        "plan": FREE,
        "stages": [
            {
                "state": stage.state,
                "green_s": stage.green_s,
                "band_s": stage.band_s,
                "band_max_s": stage.band_max_s,
                "call_input": call_input(number),
                "hold_input": hold_input(number),
                "called": stage.called,
            }
            for number, stage in enumerate(free.stages, start=1)
        ],
        "cycle_max_s": max(CYCLE_MAX_S, local.cycle_s),
        "dead_man_s": DEAD_MAN_S,
        "interval_s": 1,
    }
    return {"bands": bands}


def _group(group: Group, lane_ids: dict[str, str], exit_ids: dict[str, str]) -> dict[str, Any]:
    return {
        "id": group.id,
        "kind": group.kind,
        "lanes": list(dict.fromkeys(lane_ids[lane] for lane in _ways(group))),
        "exits": list(dict.fromkeys(exit_ids[link.exit_lane] for link in group.links)),
        "turn": group.links[0].direction if group.links else "s",
        "yellow_s": group.yellow_s,
        "all_red_s": group.clearance_s,
        "minimum_green_s": group.green_min_s,
        "maximum_green_s": GREEN_MAX_S,
        "maximum_wait_s": group.wait_max_s,
        "crossing_m": round(group.crossing_m, 2),
    }


def lane_names(network: SignalNetwork) -> dict[str, str]:
    """Return the data sheet's name of each controlled lane, and of each crossing for those who wait at it."""
    lanes = {lane: f"l{number}" for number, lane in enumerate(ordered_lanes(network))}
    return lanes | {crossing: f"w{number}" for number, crossing in enumerate(ordered_crossings(network))}


def _ways(group: Group) -> list[str]:
    return [*(link.lane for link in group.links), *(crossing.edge for crossing in group.crossings)]


def _compatible(network: SignalNetwork) -> list[tuple[int, int]]:
    size = len(network.groups)
    return [(i, j) for i in range(size) for j in range(i + 1, size) if (i, j) not in network.conflicts]


def _kerb(lane_id: str) -> dict[str, Any]:
    return {"id": lane_id, "speed_mps": WALKING_MPS, "headway_s": WALKERS_HEADWAY_S, "storage_m": KERB_M}


def _lane(lane: Any, lane_id: str, loops: list[Loop], *, cycling: bool) -> dict[str, Any]:
    speed_mps = min(float(lane.getSpeed()), CYCLING_MPS) if cycling else float(lane.getSpeed())
    upstream = [loop.distance_m for loop in loops if loop.kind == "upstream" and lane.getID() in dict(loop.serves)]
    return {
        "id": lane_id,
        "speed_mps": round(speed_mps, 2),
        # One second of reaction plus the time to drive one vehicle length and gap at the speed limit, and some loss.
        "headway_s": round(1.0 + 2.0 / speed_mps if cycling else 1.3 + 7.0 / speed_mps, 2),
        "storage_m": round(max(upstream, default=float(lane.getLength())), 1),
    }
