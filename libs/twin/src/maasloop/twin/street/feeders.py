"""Which exit loops of other junctions announce the traffic of a controlled lane, long before its own loops do.

The way back from a stop line is followed over unsignalled nodes to the exits of the signals before it.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .loops import Loop, ordered_lanes, road_of
from .network import SignalNetwork

FEEDER_MAX_M = 400.0
FEEDER_SHARE = 0.8
"""At first so much of what passes a feeder is taken to come, shared alike among the lanes it leads to."""
_EDGES_WALKED_MAX = 40


def place_feeders(
    net: Any, networks: Iterable[SignalNetwork], loops: Mapping[str, list[Loop]]
) -> dict[str, list[Loop]]:
    """Return, by the id of a junction, the exit loops of others that lead there, with their distance and shares."""
    exits: dict[str, list[Loop]] = {}
    for placed in loops.values():
        for loop in placed:
            if loop.kind == "exit":
                exits.setdefault(road_of(loop.lane), []).append(loop)
    return {network.id: _feeders(net, network, loops[network.id], exits) for network in networks}


def only_from_feeders(net: Any, networks: Iterable[SignalNetwork], loops: Mapping[str, list[Loop]]) -> frozenset[str]:
    """Return the controlled lanes to which nobody comes who has not passed a feeder, and stayed on his lane since.

    No road without a signal leads there, and every way into the road leads to each of its lanes: nobody has to change them.
    """
    counted = {lane for placed in loops.values() for loop in placed if loop.kind == "exit" for lane, _ in loop.serves}
    return frozenset(
        lane
        for network in networks
        for lane in ordered_lanes(network)
        if _only_from(net.getEdge(road_of(lane)), counted)
    )


def _only_from(edge: Any, counted: Collection[str]) -> bool:
    """Tell whether every way to the end of an edge begins in an exit of a junction, one that has a loop, and on any lane."""
    pending, seen = [(edge, 0.0)], {edge.getID()}
    for _ in range(_EDGES_WALKED_MAX):
        if not pending:
            return True
        here, walked_m = pending.pop(0)
        walked_m += float(here.getLength())
        into = [c for lane in here.getLanes() for c in lane.getIncomingConnections() if not _is_turn(c)]
        if not into or walked_m > FEEDER_MAX_M or not _on_any_lane(into):
            return False
        if any(c.getTLSID() and c.getToLane().getID() not in counted for c in into):
            return False
        before = {c.getFromLane().getEdge() for c in into if not c.getTLSID()}
        pending.extend((one, walked_m) for one in before if one.getID() not in seen)
        seen.update(one.getID() for one in before)
    return False


def _on_any_lane(into: list[Any]) -> bool:
    """Tell whether each of the roads that lead into one leads to all of its lanes that any of them leads to."""
    reached: dict[str, set[str]] = {}
    for connection in into:
        road = connection.getFromLane().getEdge().getID()
        reached.setdefault(road, set()).add(connection.getToLane().getID())
    return all(lanes == set().union(*reached.values()) for lanes in reached.values())


def _is_turn(connection: Any) -> bool:
    internal = connection.getFromLane().getEdge().getFunction() == "internal"
    return internal or bool(connection.getDirection() == connection.LINKDIR_TURN)


def _feeders(net: Any, network: SignalNetwork, own: list[Loop], exits: Mapping[str, list[Loop]]) -> list[Loop]:
    mine = {loop.id for loop in own}
    lanes: dict[str, list[str]] = {}
    for lane_id in ordered_lanes(network):
        lanes.setdefault(road_of(lane_id), []).append(lane_id)
    reached: dict[str, tuple[Loop, float, list[str]]] = {}
    for edge_id, lane_ids in lanes.items():
        for loop, distance_m in _before(net.getEdge(edge_id), exits):
            if loop.id not in mine:
                # A loop on a controlled lane itself leaves no time to change lanes.
                onward = [loop.lane] if loop.lane in lane_ids else lane_ids
                reached.setdefault(loop.id, (loop, distance_m, []))[2].extend(onward)
    return [
        Loop(loop.id, loop.lane, loop.position_m, "feeder", round(distance_m, 1), _shares(lane_ids))
        for loop, distance_m, lane_ids in reached.values()
    ]


def _shares(lane_ids: list[str]) -> tuple[tuple[str, float], ...]:
    return tuple((lane_id, round(FEEDER_SHARE / len(lane_ids), 4)) for lane_id in lane_ids)


def _before(edge: Any, exits: Mapping[str, list[Loop]]) -> list[tuple[Loop, float]]:
    """Return the exit loops upstream of an edge's end with the metres from there, nearest first."""
    found: list[tuple[Loop, float]] = []
    pending, seen = [(edge, 0.0)], {edge.getID()}
    for _ in range(_EDGES_WALKED_MAX):
        if not pending:
            break
        here, walked_m = pending.pop(0)
        length_m = float(here.getLength())
        for loop in exits.get(here.getID(), ()):
            distance_m = walked_m + length_m - loop.position_m
            if distance_m <= FEEDER_MAX_M:
                found.append((loop, distance_m))
        if walked_m + length_m < FEEDER_MAX_M:
            before = [one for one in _unsignalled(here) if one.getID() not in seen]
            seen.update(one.getID() for one in before)
            pending.extend((one, walked_m + length_m) for one in before)
    return found


def _unsignalled(edge: Any) -> list[Any]:
    return [
        before
        for before, connections in edge.getIncoming().items()
        if before.getFunction() != "internal"
        and any(c.getDirection().lower() != c.LINKDIR_TURN and not c.getTLSID() for c in connections)
    ]
