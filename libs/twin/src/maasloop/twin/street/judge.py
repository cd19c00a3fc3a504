"""An independent reader of what the signals showed: every second, whoever asked for it.

It derives conflicts, clearances and minimum green afresh from the network file, and shares no code with the kernel nor
with the extraction of the data sheets: what one gets wrong the other must find.
"""

import math
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .scenario import unpacked

MINIMUM_GREEN_S = 5
ALL_RED_S = 1
YELLOW_S = 4
WALKING_MPS = 1.2
_UNLISTED = -1
"""Of a second stop line, in the middle of a junction, the network does not list the foes."""


@dataclass(frozen=True)
class Violation:
    """A rule broken at a junction (as the network names it) in a second of the scenario's clock; links by index."""

    second: int
    junction: str
    rule: str
    groups: tuple[int, ...]


@dataclass
class _Rules:
    """What the network file says about one signal programme."""

    phases: list[tuple[str, float]]
    yellow_s: dict[int, float] = field(default_factory=dict)
    crossings_m: dict[int, float] = field(default_factory=dict)
    """Links that are for people on foot, and how far they have to walk."""
    foes: set[tuple[int, int]] = field(default_factory=set)
    never_together: set[tuple[int, int]] = field(default_factory=set)

    def green_s(self, link: int) -> float:
        """Return the shortest green: who walks gets over half of the crossing in it."""
        return max(MINIMUM_GREEN_S, math.ceil(round(self.crossings_m.get(link, 0.0) / 2 / WALKING_MPS, 3)))

    def clear_s(self, link: int) -> float:
        """Return the seconds of red after which a foe may start."""
        if link in self.crossings_m:
            return max(ALL_RED_S, math.ceil(round(self.crossings_m[link] / WALKING_MPS, 3)))
        return ALL_RED_S


def judge_run(net: Path, states: Path) -> list[Violation]:
    """Return every violation in a recorded file of signal states (SUMO's ``SaveTLSStates``)."""
    return judge_records(net, read_states(states))


def judge_records(net: Path, records: Iterable[tuple[int, str, str]]) -> list[Violation]:
    """Return every violation in the states of all junctions, given as (second, junction, state) with rising seconds."""
    rules = _read_rules(net)
    watches: dict[str, _Watch] = {}
    found: list[Violation] = []
    for second, junction, state in records:
        if junction in rules:
            watch = watches.setdefault(junction, _Watch(junction, rules[junction]))
            found.extend(watch.see(second, state))
    return found


def judge_states(net: Path, junction: str, states: Iterable[tuple[int, str]]) -> list[Violation]:
    """Return every violation in the states of one junction, given as (second, state) one a second."""
    watch = _Watch(junction, _read_rules(net)[junction])
    return [violation for second, state in states for violation in watch.see(second, state)]


def read_states(states: Path) -> Iterator[tuple[int, str, str]]:
    """Read second, junction and state from a recorded file."""
    for _, element in ET.iterparse(states):  # noqa: S314 - a local file that this run's SUMO wrote
        if element.tag == "tlsState":
            yield round(float(element.attrib["time"])), element.attrib["id"], element.attrib["state"]
            element.clear()


def seconds_recorded(states: Path) -> Counter[str]:
    """Return for how many seconds the states of each junction were recorded: what was not cannot be judged."""
    return Counter(junction for _, junction, _ in read_states(states))


class _Watch:
    """Follows one junction: for each link what it shows, since when, and when its yellow ended."""

    def __init__(self, junction: str, rules: _Rules) -> None:
        self.junction = junction
        self.rules = rules
        self.last = ""
        self.sound = False
        self.since: list[float] = []
        self.red_from: list[float] = []

    def see(self, second: int, state: str) -> Iterator[Violation]:
        if not self.last:
            # What began before the record is taken as long enough.
            self.since = [-math.inf] * len(state)
            self.red_from = [-math.inf] * len(state)
        else:
            for i in range(len(state)):
                yield from self._change(second, i, _kind(self.last[i]), _kind(state[i]))
        if state != self.last or not self.sound:
            # What was in order a second ago still is while nothing changes.
            found = list(self._together(second, state))
            self.sound = not found
            yield from found
        self.last = state

    def _change(self, second: int, i: int, was: str, now: str) -> Iterator[Violation]:
        if was == now:
            return
        lasted = second - self.since[i]
        if was == "green" and lasted < self.rules.green_s(i):
            yield Violation(second, self.junction, "minimum green", (i,))
        if was == "green" and now != "yellow" and i not in self.rules.crossings_m:
            yield Violation(second, self.junction, "green without yellow after it", (i,))
        if was == "yellow" and i not in self.rules.crossings_m and lasted < self.rules.yellow_s.get(i, YELLOW_S):
            yield Violation(second, self.junction, "yellow too short", (i,))
        if was == "yellow" and now == "green":
            yield Violation(second, self.junction, "green straight after yellow", (i,))
        if was == "red" and now == "yellow":
            yield Violation(second, self.junction, "yellow without green before it", (i,))
        if now == "red":
            self.red_from[i] = second
        self.since[i] = second

    def _together(self, second: int, state: str) -> Iterator[Violation]:
        for i, j in self.rules.foes:
            one, other = _kind(state[i]), _kind(state[j])
            if one == "red" or other == "red":
                if (i, j) in self.rules.never_together:
                    yield from self._cleared(second, i, j, one, other)
                elif self._on_crossing(second, i, state[j]) or self._on_crossing(second, j, state[i]):
                    yield Violation(second, self.junction, "protected over a crossing", (i, j))
            elif (i, j) in self.rules.never_together:
                yield Violation(second, self.junction, "conflict", (i, j))
            elif self._protected(state, i) and self._protected(state, j):
                yield Violation(second, self.junction, "both protected", (i, j))

    def _cleared(self, second: int, i: int, j: int, one: str, other: str) -> Iterator[Violation]:
        for starting, ended, now in ((i, j, one), (j, i, other)):
            just_started = now == "green" and self.since[starting] == second
            if just_started and second - self.red_from[ended] < self.rules.clear_s(ended):
                yield Violation(second, self.junction, "intergreen", (ended, starting))

    def _protected(self, state: str, link: int) -> bool:
        """Tell whether a link shows a green that need not give way; nobody on foot does."""
        return state[link] == "G" or (state[link] == "g" and link in self.rules.crossings_m)

    def _on_crossing(self, second: int, walking: int, shown: str) -> bool:
        """Tell whether somebody may still be on a crossing while a foe shows a green that need not give way."""
        if walking not in self.rules.crossings_m or shown != "G":
            return False
        return second - self.red_from[walking] < self.rules.clear_s(walking)


def _kind(shown: str) -> str:
    return "green" if shown in "Gg" else "yellow" if shown in "yY" else "red"


def _read_rules(net: Path) -> dict[str, _Rules]:
    with unpacked(net) as file:
        root = ET.parse(file).getroot()  # noqa: S314 - a local file that the user names
    rules: dict[str, _Rules] = {}
    for logic in root.iter("tlLogic"):
        phases = [(phase.attrib["state"], float(phase.attrib["duration"])) for phase in logic.iter("phase")]
        rules.setdefault(logic.attrib["id"], _Rules(phases))
    lanes = {lane.attrib["id"]: lane for lane in root.iter("lane")}
    inside = {node.attrib["id"]: node.get("intLanes", "").split() for node in root.iter("junction")}
    foes_of = {
        node.attrib["id"]: {int(row.attrib["index"]): row.attrib["foes"] for row in node.iter("request")}
        for node in root.iter("junction")
    }
    ways: dict[str, list[tuple[int, str, int]]] = {}
    for connection in root.iter("connection"):
        tls, via = connection.get("tl"), connection.get("via")
        if tls not in rules:
            continue
        link = int(connection.attrib["linkIndex"])
        if via:
            node, edge, lane = via[1:].rsplit("_", 2)
            second_line = connection.attrib["from"].startswith(":")
            ways.setdefault(tls, []).append((link, node, _UNLISTED if second_line else int(edge) + int(lane)))
            _note_yellow(rules[tls], link, lanes[f"{connection.attrib['from']}_{connection.attrib['fromLane']}"])
        elif connection.attrib["to"].startswith(":"):
            crossing = f"{connection.attrib['to']}_{connection.attrib['toLane']}"
            node = crossing[1:].rsplit("_", 2)[0]
            ways.setdefault(tls, []).append((link, node, inside[node].index(crossing)))
            length_m = float(lanes[crossing].attrib["length"])
            rules[tls].crossings_m[link] = max(length_m, rules[tls].crossings_m.get(link, 0.0))
    for tls, found in ways.items():
        _note_foes(rules[tls], found, foes_of)
    return rules


def _note_yellow(rules: _Rules, link: int, lane: ET.Element) -> None:
    kmh = float(lane.attrib["speed"]) * 3.6
    needed = max(YELLOW_S, 3.5 + (kmh - 50) / 20, _longest_yellow(rules.phases, link))
    # Speeds in the file are rounded: 13.89 m/s is 50.004 km/h.
    rules.yellow_s[link] = max(rules.yellow_s.get(link, 0.0), round(needed, 2))


def _longest_yellow(phases: list[tuple[str, float]], link: int) -> float:
    best = run = 0.0
    for state, duration in phases + phases:
        run = run + duration if state[link] == "y" else 0.0
        best = max(best, run)
    return best if any(state[link] != "y" for state, _ in phases) else 0.0


def _note_foes(rules: _Rules, ways: list[tuple[int, str, int]], foes_of: dict[str, dict[int, str]]) -> None:
    for link, node, index in ways:
        for other, other_node, other_index in ways:
            if link >= other:
                continue
            together = any(state[link] in "Gg" and state[other] in "Gg" for state, _ in rules.phases)
            if index in foes_of[node] and other_index in foes_of[other_node]:
                row = foes_of[node][index]
                foes = node == other_node and row[len(row) - 1 - other_index] == "1"
            else:
                foes = not together
            # Cyclists who share the signals of people on foot look out for one another.
            on_foot = link in rules.crossings_m and other in rules.crossings_m
            if foes and not (together and on_foot):
                rules.foes.add((link, other))
                if not together:
                    rules.never_together.add((link, other))


def main(arguments: list[str]) -> None:
    """Judge the files named on the command line: network, recorded states."""
    found = judge_run(Path(arguments[0]), Path(arguments[1]))
    for violation in found[:100]:
        sys.stdout.write(f"{violation.second} {violation.junction}: {violation.rule} {violation.groups}\n")
    sys.stdout.write(f"{len(found)} violations\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
