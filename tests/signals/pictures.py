"""Pictures of what a bench of signal controllers kept: delays, waits, a corridor and a junction over time."""

import math
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from tests.signals.drawing import Axes, round_steps
from tests.signals.plan import UNDETECTED

COLORS = {
    "fixed": "#8d8d8d",
    "actuated": "#e08a00",
    "maxpressure": "#7a5cc7",
    "maasloop": "#0a7d3e",
    "maasloop-bands": "#1f6fd1",
    "maasloop-no-priority": "#b0338f",
}
OTHER = "#333333"
ASPECTS = {"g": "#2aa84a", "y": "#f2c200", "r": "#d9534f"}
SHARES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
ALONG, FROM_BESIDE = "#1d3557", "#9bb3cc"
WINDOW_S = 600
ROW = 22

type States = Mapping[str, Sequence[tuple[int, str]]]
"""By junction: second and the links' states."""


def delays(scenarios: Sequence[Mapping[str, Any]]) -> str:
    """Draw the mean delay of every controller on every network, each with its 95 % interval; a cross-bar says gridlock."""
    rows = list(reversed(scenarios))
    highest = max(one["mean_delay_s"] + (one["interval_95_s"] or 0.0) for one in rows)
    axes = Axes(
        "Mean delay a trip, with 95 % intervals", (0.0, highest * 1.03), (-0.7, len(rows) - 0.3), 90 + ROW * len(rows)
    )
    names = {}
    for place, one in enumerate(rows):
        color, mean_s, half_s = COLORS.get(one["controller"], OTHER), one["mean_delay_s"], one["interval_95_s"] or 0.0
        axes.line([(max(0.0, mean_s - half_s), place), (mean_s + half_s, place)], color)
        locks = f", {one['gridlocks']} of {one['runs']} runs locked" if one["gridlocks"] else ""
        told = f"{one['scenario']}, {one['controller']}, {one['detection']}: {mean_s} ± {half_s} s{locks}"
        axes.dot(mean_s, place, color, told)
        seen = "" if one["controller"] in UNDETECTED else f" {one['detection']}"
        names[float(place)] = f"{Path(one['scenario']).stem}{seen}{' ✕' if locks else ''}"
    axes.ticks_y(names)
    axes.ticks_x(round_steps(highest), "seconds; ✕ = a run of these locked")
    axes.legend({name: color for name, color in COLORS.items() if any(one["controller"] == name for one in rows)})
    return axes.svg()


def waits(scenario: str, waits_s: Mapping[str, Sequence[float]]) -> str:
    """Draw which share of the trips of each controller stood for longer than so long."""
    longest = max(max(each, default=0.0) for each in waits_s.values())
    axes = Axes(f"{scenario}: share of trips that stood for longer", (0.0, longest or 1.0), (-3.0, 0.0), 420)
    for controller, found_s in waits_s.items():
        ordered = sorted(found_s, reverse=True)
        points = [(ordered[min(len(ordered) - 1, int(share * len(ordered)))], _decades(share)) for share in SHARES]
        axes.line([(0.0, 0.0), *points], COLORS.get(controller, OTHER), 2.5)
    axes.ticks_y({_decades(share): f"{share:.1%}" for share in (1.0, 0.1, 0.01, 0.001)})
    axes.ticks_x(round_steps(longest), "seconds of standing in the whole trip")
    axes.legend({name: COLORS.get(name, OTHER) for name in waits_s})
    return axes.svg()


def timeline(title: str, states: Sequence[tuple[int, str]], from_s: int) -> str:
    """Draw what every link of one junction showed for ten minutes."""
    inside = [(second - from_s, state) for second, state in states if from_s <= second < from_s + WINDOW_S]
    links = len(inside[0][1])
    axes = Axes(title, (0.0, WINDOW_S), (-0.7, links - 0.3), 90 + ROW * links)
    for link in range(links):
        for first_s, last_s, aspect in _stretches([(second, state[link]) for second, state in inside]):
            axes.bar((first_s, last_s), links - 1 - link, ASPECTS[aspect], ROW * 0.6)
    axes.ticks_y({float(links - 1 - link): f"link {link}" for link in range(links)})
    axes.ticks_x(range(0, WINDOW_S + 1, 60), "seconds")
    axes.legend({"green": ASPECTS["g"], "yellow": ASPECTS["y"], "red": ASPECTS["r"]})
    return axes.svg()


@dataclass(frozen=True)
class Corridor:
    """A way through the network: its edges, where each ends, and the link that the signal at its end shows for it."""

    edges: tuple[str, ...]
    ends_m: tuple[float, ...]
    signals: Mapping[int, tuple[str, int]]
    """By place of the edge: junction and link."""


def corridor(net: Any, journeys: Iterable[tuple[tuple[str, ...], Sequence[float]]]) -> Corridor:  # noqa: ANN401 - sumolib has no types
    """Return the way that most vehicle-metres were driven on, of those with two signals or more; else the most driven."""
    ways = Counter(edges for edges, _ in journeys)

    def worth(edges: tuple[str, ...]) -> tuple[bool, float]:
        signals = sum(bool(net.getEdge(edge).getTLS()) for edge in edges[:-1])
        return signals >= 2, ways[edges] * sum(net.getEdge(edge).getLength() for edge in edges)

    edges = max(ways, key=worth)
    signals = {}
    for place, (edge, onward) in enumerate(pairwise(edges)):
        for connections in net.getEdge(edge).getOutgoing().items():
            if connections[0].getID() == onward and connections[1][0].getTLSID():
                signals[place] = (connections[1][0].getTLSID(), connections[1][0].getTLLinkIndex())
    return Corridor(edges, tuple(accumulate(net.getEdge(edge).getLength() for edge in edges)), signals)


def space_time(
    title: str, way: Corridor, journeys: Iterable[tuple[tuple[str, ...], Sequence[float]]], states: States, from_s: int
) -> str:
    """Draw who drove along a corridor in ten minutes, and what its signals showed: a slope is a speed, a step is a stop."""
    axes = Axes(title, (0.0, WINDOW_S), (0.0, way.ends_m[-1]), 520)
    for place, (junction, link) in way.signals.items():
        shown = [
            (second - from_s, state[link])
            for second, state in states.get(junction, ())
            if from_s <= second < from_s + WINDOW_S
        ]
        for first_s, last_s, aspect in _stretches(shown):
            axes.bar((first_s, last_s), way.ends_m[place], ASPECTS[aspect], 5.0)
    stretch_m = dict(zip(way.edges, pairwise((0.0, *way.ends_m)), strict=True))
    for edges, exits_s in journeys:
        for (entered_s, left_s), (before, edge) in zip(pairwise(exits_s), pairwise(edges), strict=True):
            if edge in stretch_m and from_s <= entered_s and left_s <= from_s + WINDOW_S:
                start_m, end_m = stretch_m[edge]
                color = ALONG if before in stretch_m else FROM_BESIDE
                axes.line([(entered_s - from_s, start_m), (left_s - from_s, end_m)], color, 0.9)
    axes.ticks_y({way.ends_m[place]: junction[:22] for place, (junction, _) in way.signals.items()})
    axes.ticks_x(
        range(0, WINDOW_S + 1, 60), "seconds; metres from the start upwards; lighter = turned in from another road"
    )
    return axes.svg()


def read_journeys(routes: Path) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Read which edges each vehicle drove on and when it left each (SUMO's vehroutes with exit times)."""
    found = []
    for _, route in ET.iterparse(routes):  # noqa: S314 - a local file that this bench's SUMO wrote
        if route.tag == "route" and route.get("exitTimes"):
            exits_s = tuple(float(each) for each in route.attrib["exitTimes"].split())
            edges = tuple(route.attrib["edges"].split())
            # Of a trip that was not over, the edges ahead have no time.
            driven = sum(exit_s >= 0 for exit_s in exits_s)
            found.append((edges[:driven], exits_s[:driven]))
    return [(edges, exits_s) for edges, exits_s in found if edges]


def by_junction(records: Iterable[tuple[int, str, str]]) -> dict[str, list[tuple[int, str]]]:
    """Return recorded states by junction."""
    found: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for second, junction, state in records:
        found[junction].append((second, state))
    return dict(found)


def _stretches(shown: Sequence[tuple[int, str]]) -> list[tuple[int, int, str]]:
    """Return from when to when which colour was shown."""
    found: list[tuple[int, int, str]] = []
    for second, state in shown:
        aspect = state.lower() if state.lower() in ASPECTS else "r"
        if found and found[-1][2] == aspect and found[-1][1] == second:
            found[-1] = (found[-1][0], second + 1, aspect)
        else:
            found.append((second, second + 1, aspect))
    return found


def _decades(share: float) -> float:
    return math.log10(share)
