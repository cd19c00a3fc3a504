"""Where the induction loops of a signalled junction lie: at the stop line, about 80 m upstream, and in the exits.

People on foot have a button at each crossing.

A controlled lane may be one metre long, so every loop is placed by walking along the lanes, over edges where needed,
and never across another signal.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .network import SignalNetwork

UPSTREAM_M = 80.0
STOP_LINE_M = 2.5
EXIT_M = 25.0
EXIT_STORAGE_MIN_M = 7.5
# A vehicle is inserted with its whole length on the lane: a loop nearer to the beginning would not see it pass.
LANE_START_M = 6.0
UPSTREAM_MIN_M = 12.0
OWN_LANE_MIN_M = 30.0
"""Where a lane parts further away than this, the upstream loop lies just behind that place: before it, a loop does not know
which way somebody takes.
"""
CHANGING_SHARE = 0.05
TURN_WEIGHTS = {"s": 3.0, "t": 0.02}
"""How often lanes are used each way, as long as nothing is known of them: straight on, turning round; else 1."""
_PREFIX_MAX = 40
_LANES_WALKED_MAX = 30

Position = Literal["stop-line", "upstream", "exit", "button", "feeder"]


@dataclass(frozen=True)
class Loop:
    """A loop on a lane of the network, and what share of what passes it each controlled lane gets.

    A button has the crossing in the place of a lane.
    """

    id: str
    lane: str
    position_m: float
    kind: Position
    distance_m: float
    serves: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Spot:
    """A place on a lane."""

    lane: Any
    position_m: float
    distance_m: float
    share: float = 1.0
    """The part of those who pass here that is taken to come, as some turn off on the way."""


def place_loops(net: Any, network: SignalNetwork) -> list[Loop]:
    """Return every loop of one junction; ``serves`` names SUMO lanes (for an exit the exit lane itself)."""
    prefix = network.id if len(network.id) <= _PREFIX_MAX else f"{network.id[:30].rstrip('-')}-{network.id[-8:]}"
    lanes = ordered_lanes(network)
    return [
        *_stop_line_loops(net, prefix, lanes),
        *_upstream_loops(net, prefix, lanes),
        *_exit_loops(net, prefix, ordered_exits(network)),
        *(
            Loop(f"{prefix}-w{number}-button", crossing, 0.0, "button", 0.0, ((crossing, 1.0),))
            for number, crossing in enumerate(ordered_crossings(network))
        ),
    ]


def ordered_lanes(network: SignalNetwork) -> list[str]:
    """Return the controlled lanes in the order of the groups they belong to."""
    return list(dict.fromkeys(link.lane for group in network.groups for link in group.links))


def ordered_exits(network: SignalNetwork) -> list[str]:
    """Return the lanes that traffic leaves by, in the order of the groups that lead there."""
    return list(dict.fromkeys(link.exit_lane for group in network.groups for link in group.links))


def ordered_crossings(network: SignalNetwork) -> list[str]:
    """Return the crossings in the order of the groups they belong to."""
    return list(dict.fromkeys(crossing.edge for group in network.groups for crossing in group.crossings))


def road_of(lane_id: str) -> str:
    """Return the road (SUMO's edge) that a lane belongs to."""
    return lane_id.rpartition("_")[0]


def _stop_line_loops(net: Any, prefix: str, lanes: list[str]) -> Iterator[Loop]:
    for number, lane_id in enumerate(lanes):
        spots = list(_spots_at_line(net, net.getLane(lane_id)))
        for part, spot in enumerate(spots):
            suffix = "" if len(spots) == 1 else f"-{part}"
            serves = ((lane_id, 1.0),)
            name = f"{prefix}-l{number}-stop{suffix}"
            yield Loop(name, spot.lane.getID(), spot.position_m, "stop-line", spot.distance_m, serves)


def _spots_at_line(net: Any, lane: Any) -> Iterator[Spot]:
    """Where the lane itself is too short, look for room in the node before it: whoever is first stands there."""
    left_m = STOP_LINE_M - float(lane.getLength())
    before = [one for one in lane.getIncomingConnections() if one.getFromLane().getEdge().getFunction() != "internal"]
    through = [net.getLane(one.getViaLaneID()) for one in before if one.getViaLaneID() and not one.getTLSID()]
    if left_m > 0.0 and len(through) == len(before) > 0 and all(one.getLength() >= left_m for one in through):
        for one in through:
            yield Spot(one, round(float(one.getLength()) - left_m, 2), STOP_LINE_M)
        return
    yield from _spots_upstream(lane, STOP_LINE_M)


def _upstream_loops(net: Any, prefix: str, lanes: list[str]) -> Iterator[Loop]:
    found: dict[str, tuple[Spot, dict[str, float]]] = {}
    for lane_id in lanes:
        for spot in _spots_upstream(net.getLane(lane_id), UPSTREAM_M, own_lane_m=OWN_LANE_MIN_M):
            if spot.distance_m >= UPSTREAM_MIN_M:
                found.setdefault(spot.lane.getID(), (spot, {}))[1][lane_id] = spot.share
    by_edge: dict[str, list[str]] = {}
    for lane_id in lanes:
        by_edge.setdefault(net.getLane(lane_id).getEdge().getID(), []).append(lane_id)
    for number, (spot, served) in enumerate(found.values()):
        near = {other for lane_id in served for other in by_edge[net.getLane(lane_id).getEdge().getID()]}
        serves = _shares(served, [lane_id for lane_id in lanes if lane_id in near and lane_id not in served])
        yield Loop(f"{prefix}-u{number}", spot.lane.getID(), spot.position_m, "upstream", spot.distance_m, serves)


def _shares(straight: Mapping[str, float], beside: list[str]) -> tuple[tuple[str, float], ...]:
    """Share what passes: most drive straight on, some change to a lane beside. The controller learns the true shares."""
    changing = CHANGING_SHARE * sum(straight.values()) if beside else 0.0
    kept = 1.0 - CHANGING_SHARE if beside else 1.0
    shares = [(lane, round(share * kept, 4)) for lane, share in straight.items()]
    return (*shares, *((lane, round(changing / len(beside), 4)) for lane in beside if changing > 0))


def _exit_loops(net: Any, prefix: str, exits: list[str]) -> Iterator[Loop]:
    for number, lane_id in enumerate(exits):
        spot, room_m = _spot_downstream(net.getLane(lane_id))
        if room_m >= EXIT_STORAGE_MIN_M:
            name = f"{prefix}-x{number}"
            yield Loop(name, spot.lane.getID(), spot.position_m, "exit", spot.distance_m, ((lane_id, 1.0),))


def _spots_upstream(lane: Any, distance_m: float, own_lane_m: float = math.inf) -> Iterator[Spot]:
    """Walk upstream along every lane that leads here; stop at a signal or where the road begins.

    At ``own_lane_m`` or further, stop where a lane parts as well.
    """
    pending = [(lane, distance_m, 0.0, 1.0)]
    seen = {lane.getID()}
    for _ in range(_LANES_WALKED_MAX):
        if not pending:
            return
        here, left_m, walked_m, share = pending.pop()
        length_m = float(here.getLength())
        before = [] if length_m >= left_m else [one for one in _predecessors(here) if one.getID() not in seen]
        parts = any(_leads_elsewhere(one, here) for one in before)
        if not before or (parts and walked_m + length_m >= own_lane_m):
            position_m = max(min(LANE_START_M, length_m / 2), length_m - left_m)
            yield Spot(here, round(position_m, 2), round(walked_m + length_m - position_m, 2), share)
            continue
        for lane_before in before:
            seen.add(lane_before.getID())
            onward = share * _onward_share(lane_before, here)
            pending.append((lane_before, left_m - length_m, walked_m + length_m, onward))


def _leads_elsewhere(before: Any, here: Any) -> bool:
    return any(
        connection.getToLane().getID() != here.getID() and connection.getDirection() != connection.LINKDIR_TURN
        for connection in before.getOutgoing()
    )


def _onward_share(before: Any, here: Any) -> float:
    """Return the part of a lane's traffic that is taken to go on to one of the lanes that it leads to."""
    weights = [
        (connection.getToLane().getID() == here.getID(), TURN_WEIGHTS.get(connection.getDirection(), 1.0))
        for connection in before.getOutgoing()
    ]
    total = sum(weight for _, weight in weights)
    return sum(weight for is_here, weight in weights if is_here) / total if total > 0.0 else 1.0


def _predecessors(lane: Any) -> list[Any]:
    found: list[Any] = []
    for connection in lane.getIncomingConnections():
        before = connection.getFromLane()
        if before.getEdge().getFunction() == "internal":
            continue
        if connection.getDirection() == connection.LINKDIR_TURN:
            # Who turns round at the end of a road does not announce those whose trip begins there.
            continue
        if connection.getTLSID():
            return []
        found.append(before)
    return found


def _spot_downstream(lane: Any) -> tuple[Spot, float]:
    """Return the place of an exit loop and the room before the next signal, following short lanes straight on."""
    here, walked_m = lane, 0.0
    path: list[tuple[Any, float]] = []
    for _ in range(_LANES_WALKED_MAX):
        path.append((here, walked_m))
        walked_m += float(here.getLength())
        onward = [c for c in here.getOutgoing() if c.getToLane().getEdge().getFunction() != "internal"]
        if walked_m >= 2 * EXIT_M or not onward or any(c.getTLSID() for c in onward):
            break
        here = next((c for c in onward if c.getDirection().lower() == "s"), onward[0]).getToLane()
    # Half way on a short road: one vehicle at the next line does not make it full.
    target_m = min(EXIT_M, walked_m / 2)
    for lane_there, begins_m in reversed(path):
        if begins_m <= target_m:
            return Spot(lane_there, round(target_m - begins_m, 2), round(target_m, 2)), walked_m
    return Spot(lane, round(float(lane.getLength()) / 2, 2), 0.0), walked_m
