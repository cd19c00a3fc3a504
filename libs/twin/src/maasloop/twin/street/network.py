"""Reads from a SUMO network what the data sheet of a signalled junction states: groups, conflicts, clearances.

Two links conflict if the network lists them as foes and either both are shown protected green together, or no phase of
the network's own programme shows both green. Foes that a phase shows green together may be green together as long as
the minor one yields. Of a second stop line in the middle of a junction (cyclists who turn left in two goes) the network
lists no foes: it conflicts with all that no phase shows green beside it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import sumolib

from maasloop.core.ids import to_id

YELLOW_MIN_S = 4
ALL_RED_S = 1
GREEN_MIN_S = 5
GREEN_MAX_S = 90
WAIT_MAX_S = 120
WAIT_SLOW_MAX_S = 90
"""Who walks or cycles is to wait for less than the hard limit, which is the same for everybody."""
GREEN = "Gg"
WALKING_MPS = 1.2
CYCLING_MPS = 5.5
_KMH = 3.6

Kind = Literal["vehicle", "bus", "cycle", "pedestrian", "unused"]


@dataclass(frozen=True)
class Link:
    """One way through the junction; several share a group where the network says so."""

    lane: str
    exit_lane: str
    speed_mps: float
    direction: str


@dataclass(frozen=True)
class Crossing:
    """A way for people on foot; ``edge`` is the crossing itself as the network names it."""

    edge: str
    length_m: float


@dataclass(frozen=True)
class Group:
    """What one character of the signal state rules: ways for vehicles, crossings, or both; with a crossing it is on foot."""

    id: str
    links: tuple[Link, ...]
    yellow_s: int
    """Seconds between green and red; none for people on foot, nor for cyclists at the same signal."""
    kind: Kind = "vehicle"
    crossings: tuple[Crossing, ...] = ()

    @property
    def crossing_m(self) -> float:
        """Return the length of the longest crossing in metres; 0 for vehicles."""
        return max((crossing.length_m for crossing in self.crossings), default=0.0)

    @property
    def cycle_lanes(self) -> tuple[str, ...]:
        """Return the lanes for bicycles alone."""
        cycling = self.kind == "cycle" or (self.kind == "pedestrian" and self.yellow_s == 0)
        return tuple(link.lane for link in self.links) if cycling else ()

    @property
    def green_min_s(self) -> int:
        """Return the shortest green: for people on foot it takes them over half of the crossing."""
        return max(GREEN_MIN_S, _walking_s(self.crossing_m / 2))

    @property
    def wait_max_s(self) -> int:
        """Return how long a called group may be red."""
        return WAIT_SLOW_MAX_S if self.kind in ("cycle", "pedestrian") else WAIT_MAX_S

    @property
    def clearance_s(self) -> int:
        """Return the seconds after its last yellow, or its green where there is none, until a foe may start."""
        if self.kind == "pedestrian":
            return max(ALL_RED_S, _walking_s(self.crossing_m))
        return ALL_RED_S


@dataclass(frozen=True)
class Phase:
    """A phase of the network's own programme."""

    state: str
    duration_s: float


@dataclass(frozen=True)
class SignalNetwork:
    """The facts of one signalled junction; pairs hold indices of groups."""

    tls: str
    id: str
    groups: tuple[Group, ...]
    phases: tuple[Phase, ...]
    offset_s: float
    conflicts: frozenset[tuple[int, int]]
    yields: frozenset[tuple[int, int]]
    unsafe_pairs: tuple[tuple[int, int], ...]

    def conflict(self, first: int, second: int) -> bool:
        """Tell whether two groups may not be green together."""
        return (min(first, second), max(first, second)) in self.conflicts


def load_network(path: Path) -> Any:
    """Parse a network file with its programmes, connections and the lanes inside its junctions."""
    return sumolib.net.readNet(str(path), withPrograms=True, withConnections=True, withInternal=True)


def signal_networks(net: Any) -> list[SignalNetwork]:
    """Return the facts of every signalled junction, ordered by its identifier in the network."""
    lights = sorted(net.getTrafficLights(), key=lambda light: str(light.getID()))
    return [_signal_network(light) for light in lights if light.getPrograms() and light.getConnections()]


def yellow_for(speed_mps: float) -> int:
    """Return whole seconds of yellow: 50 km/h 3.5 s, 70 km/h 4.5 s, on at that slope (80 km/h 5 s), at least 4 s."""
    by_speed = 3.5 + (speed_mps * _KMH - 50.0) * 0.05
    return max(YELLOW_MIN_S, math.ceil(by_speed - 1e-6))


def _signal_network(light: Any) -> SignalNetwork:
    program = next(iter(light.getPrograms().values()))
    phases = tuple(Phase(phase.state, float(phase.duration)) for phase in program.getPhases())
    size = max(len(phase.state) for phase in phases)
    connections = _connections(light, size)
    own_yellow = _own_yellow(phases, size)
    conflicts, yields, unsafe = _relations(connections, phases)
    return SignalNetwork(
        tls=light.getID(),
        id=to_id(light.getID()),
        groups=tuple(_group(index, found, own_yellow[index]) for index, found in enumerate(connections)),
        phases=phases,
        offset_s=float(program.getOffset()),
        conflicts=conflicts,
        yields=yields,
        unsafe_pairs=unsafe,
    )


def _connections(light: Any, size: int) -> list[list[Any]]:
    connections: list[list[Any]] = [[] for _ in range(size)]
    for lane_in, lane_out, index in light.getConnections():
        for connection in lane_in.getOutgoing():
            same_way = connection.getToLane() is lane_out and connection.getTLLinkIndex() == index
            if same_way and connection not in connections[index]:
                connections[index].append(connection)
    return connections


def _walking_s(length_m: float) -> int:
    return math.ceil(length_m / WALKING_MPS - 1e-6)


def _group(index: int, connections: list[Any], own_yellow_s: int) -> Group:
    crossings = tuple(
        Crossing(lane.getEdge().getID(), float(lane.getLength()))
        for lane in dict.fromkeys(connection.getToLane() for connection in connections)
        if lane.getEdge().getFunction() == "crossing"
    )
    rolling = [one for one in connections if one.getToLane().getEdge().getFunction() != "crossing"]
    kind = _kind({lane_class for connection in rolling for lane_class in _permitted(connection)})
    links = tuple(
        Link(
            lane=connection.getFromLane().getID(),
            exit_lane=connection.getToLane().getID(),
            speed_mps=float(connection.getFromLane().getSpeed()),
            direction=connection.getDirection().lower(),
        )
        for connection in rolling
    )
    by_speed = max((yellow_for(link.speed_mps) for link in links), default=YELLOW_MIN_S)
    if crossings:
        # People on foot see no yellow: who is on the crossing has the time of the clearance to leave it. So have cyclists.
        slow = kind in ("cycle", "unused")
        return Group(f"g{index}", links, 0 if slow else max(by_speed, own_yellow_s), "pedestrian", crossings)
    return Group(f"g{index}", links, max(by_speed, own_yellow_s), kind)


def _permitted(connection: Any) -> Iterable[str]:
    permitted: Iterable[str] = connection.getFromLane().getPermissions()
    return permitted


def _kind(permitted: set[str]) -> Kind:
    """Return whom a group is for, by the classes of vehicles that its lanes permit."""
    if not permitted:
        return "unused"
    if permitted <= {"bicycle"}:
        return "cycle"
    return "bus" if "bus" in permitted and "passenger" not in permitted else "vehicle"


def _own_yellow(phases: tuple[Phase, ...], size: int) -> list[int]:
    """Return the longest yellow that the network's programme shows each group, over neighbouring phases together."""
    longest = [0.0] * size
    for index in range(size):
        run = 0.0
        for phase in (*phases, *phases):
            run = run + phase.duration_s if phase.state[index] == "y" else 0.0
            longest[index] = max(longest[index], run)
    # A programme that only ever shows yellow says nothing about its length.
    cycle_s = sum(phase.duration_s for phase in phases)
    return [math.ceil(value) if value < cycle_s else 0 for value in longest]


def _relations(
    connections: list[list[Any]], phases: tuple[Phase, ...]
) -> tuple[frozenset[tuple[int, int]], frozenset[tuple[int, int]], tuple[tuple[int, int], ...]]:
    conflicts: set[tuple[int, int]] = set()
    yields: set[tuple[int, int]] = set()
    unsafe: list[tuple[int, int]] = []
    for first, second in combinations(range(len(connections)), 2):
        if not connections[first] or not connections[second]:
            conflicts.add((first, second))
            continue
        together = [phase.state for phase in phases if phase.state[first] in GREEN and phase.state[second] in GREEN]
        if not _foes(connections[first], connections[second]):
            if not together and not _listed((*connections[first], *connections[second])):
                conflicts.add((first, second))
            continue
        if not together:
            conflicts.add((first, second))
            continue
        if _on_foot(connections[first]) and _on_foot(connections[second]):
            # Cyclists who share the signals of people on foot look out for one another.
            continue
        minor, major = _minor_first(first, second, connections, together)
        yields.add((minor, major))
        if any(state[first] == "G" and state[second] == "G" for state in together):
            unsafe.append((minor, major))
    return frozenset(conflicts), frozenset(yields), tuple(unsafe)


def _listed(connections: Iterable[Any]) -> bool:
    """Tell whether the network lists the foes of all of these: not of a second stop line, which lies in the junction."""
    return all(one.getJunctionIndex() >= 0 for one in connections)


def _foes(first: Iterable[Any], second: Iterable[Any]) -> bool:
    return any(
        one.getJunction() is other.getJunction()
        and _listed((one, other))
        and one.getJunction().areFoes(one.getJunctionIndex(), other.getJunctionIndex())
        for one in first
        for other in second
    )


def _minor_first(first: int, second: int, connections: list[list[Any]], together: list[str]) -> tuple[int, int]:
    """Order two foes: who yields comes first, by the programme where it is plain, else by the junction's right of way.

    Nobody on foot yields.
    """
    if _on_foot(connections[second]):
        return first, second
    if _on_foot(connections[first]):
        return second, first
    for state in together:
        if state[first] == "g" and state[second] == "G":
            return first, second
        if state[second] == "g" and state[first] == "G":
            return second, first
    first_yields = _yields(connections[first], connections[second])
    second_yields = _yields(connections[second], connections[first])
    return (first, second) if first_yields and not second_yields else (second, first)


def _on_foot(connections: Iterable[Any]) -> bool:
    return any(connection.getToLane().getEdge().getFunction() == "crossing" for connection in connections)


def _yields(minor: Iterable[Any], major: Iterable[Any]) -> bool:
    return any(
        one.getJunction() is other.getJunction() and one.getJunction().forbids(other, one)
        for one in minor
        for other in major
    )
