"""What a run meant for each kind of road user, where there are others than cars: waits, delays, and an ambulance's way."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.signals.records import Trip, Trips, trip_of

from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.twin.street.scenario import Scenario, unpacked
from maasloop.twin.street.site import Junction, Site
from maasloop.twin.street.sumo import libsumo
from maasloop.twin.street.walkers import Kerbs

KINDS = {"bicycle": "cycle", "bus": "bus", "emergency": "emergency", "pedestrian": "walker"}
DEFAULT_TYPES = {"DEFAULT_BIKETYPE": "cycle", "DEFAULT_PEDTYPE": "walker"}
BEFORE_LINE_M = 150.0
BRAKING_M = 50.0
STANDING_MPS = 0.1
GREEN = "Gg"
FAVOURED = ("bus", "emergency")
SLOW = {"cycle": "cycle", "pedestrian": "walker"}


@dataclass
class Passage:
    """An emergency vehicle at one junction."""

    vehicle: str
    junction: str
    held_s: int = 0
    """Seconds that it stood before a signal that was not green, or had to brake for one."""
    passed_s: int | None = None
    waiting: set[str] = field(default_factory=set)
    """Groups that were called when it had passed, and have not been green since."""
    back_s: int | None = None
    """Seconds from its passing until each of them had been green."""


class RoadUsers:
    """Call ``see`` once after every second, with the states of the junctions where somebody decides."""

    def __init__(self, site: Site) -> None:
        """Know the junctions and their crossings."""
        self._junctions = {junction.tls: junction for junction in site.junctions}
        self._kerbs = Kerbs(site)
        self._stood_s: dict[tuple[str, str], int] = {}
        self._red_s: dict[str, float] = {}
        self._classes: dict[str, str] = {}
        self._passages: dict[tuple[str, str], Passage] = {}

    def see(self, second: int, states: Mapping[str, JunctionState]) -> None:
        """Look at the second that just passed."""
        for walker in self._kerbs.see():
            key = walker.person, walker.crossing
            self._stood_s[key] = self._stood_s.get(key, 0) + walker.standing
        coming: set[tuple[str, str]] = set()
        for name in libsumo.vehicle.getIDList():
            if name not in self._classes:
                self._classes[name] = libsumo.vehicle.getVehicleClass(name)
            if self._classes[name] == "emergency":
                coming.update(self._emergency(str(name)))
        for key, passage in self._passages.items():
            if passage.passed_s is None and key not in coming:
                passage.passed_s = second
                state = states.get(passage.junction)
                groups = state.groups if state is not None else {}
                passage.waiting = {name for name, group in groups.items() if group.called_since_s is not None}
            if passage.passed_s is not None and passage.back_s is None:
                self._follow(passage, second)
        self._watch_reds(states)

    def _watch_reds(self, states: Mapping[str, JunctionState]) -> None:
        for junction in self._junctions.values():
            state = states.get(junction.id)
            for group in junction.network.groups if state is not None else ():
                if state is None or group.kind not in SLOW:
                    continue
                shown = state.groups[group.id]
                if shown.called_since_s is not None:
                    red_s = state.second_s - max(shown.since_s, shown.called_since_s)
                    kind = SLOW[group.kind]
                    self._red_s[kind] = max(red_s, self._red_s.get(kind, 0.0))

    def told(self, scenario: Scenario, tripinfo: Path) -> dict[str, dict[str, float]]:
        """Return the figures by kind of road user; nothing where there are only cars."""
        rows = trips_by_kind(scenario, tripinfo)
        if set(rows) <= {"vehicle"}:
            return {}
        found = {kind: _figures(trips) for kind, trips in sorted(rows.items())}
        others = [trip for kind, trips in rows.items() if kind not in FAVOURED for trip in trips.rows]
        found["others"] = _figures(Trips(tuple(others)))
        stood = list(self._stood_s.values())
        if stood:
            found["walker"]["mean_wait_s"] = sum(stood) / len(stood)
            found["walker"]["max_wait_s"] = max(stood)
        for kind, red_s in self._red_s.items():
            found.setdefault(kind, {})["red_called_s"] = red_s
        passages = [one for one in self._passages.values() if one.passed_s is not None]
        if passages:
            found["emergency"]["met_green"] = float(all(one.held_s == 0 for one in passages))
            found["emergency"]["back_s"] = max((one.back_s or 0 for one in passages), default=0)
        return found

    def _emergency(self, vehicle: str) -> list[tuple[str, str]]:
        coming = []
        for index, (tls, _, distance_m, state) in enumerate(libsumo.vehicle.getNextTLS(vehicle)):
            junction = self._junctions.get(tls)
            if junction is None:
                continue
            key = vehicle, junction.id
            coming.append(key)
            passage = self._passages.setdefault(key, Passage(vehicle, junction.id))
            standing = libsumo.vehicle.getSpeed(vehicle) < STANDING_MPS
            near = distance_m <= BRAKING_M or (standing and distance_m <= BEFORE_LINE_M)
            passage.held_s += index == 0 and near and state not in GREEN
        return coming

    def _follow(self, passage: Passage, second: int) -> None:
        junction = next(one for one in self._junctions.values() if one.id == passage.junction)
        shown = libsumo.trafficlight.getRedYellowGreenState(junction.tls)
        passage.waiting -= _green(junction, shown)
        if not passage.waiting and passage.passed_s is not None:
            passage.back_s = second - passage.passed_s


def _green(junction: Junction, shown: str) -> set[str]:
    return {group.id for group, one in zip(junction.network.groups, shown, strict=True) if one in GREEN}


def _figures(trips: Trips) -> dict[str, float]:
    return {
        "trips": len(trips.rows),
        "mean_delay_s": trips.mean_delay_s,
        "mean_wait_s": trips.mean_wait_s,
        "max_wait_s": trips.max_wait_s,
    }


def trips_by_kind(scenario: Scenario, tripinfo: Path) -> dict[str, Trips]:
    """Read the trips of vehicles and walkers by kind."""
    kinds = _kinds(scenario)
    found: dict[str, list[Trip]] = {}
    for _, row in ET.iterparse(tripinfo):  # noqa: S314 - a local file that this bench's SUMO wrote
        if row.tag == "tripinfo":
            found.setdefault(kinds.get(row.get("vType", ""), "vehicle"), []).append(trip_of(row.attrib))
        elif row.tag == "personinfo" and float(row.get("depart", "-1")) >= 0.0:
            # Nothing holds people on foot back: who has not departed was not to depart yet.
            found.setdefault("walker", []).append(trip_of(row.attrib))
    return {kind: Trips(tuple(rows)) for kind, rows in found.items()}


def _kinds(scenario: Scenario) -> dict[str, str]:
    found = dict(DEFAULT_TYPES)
    for path in (*scenario.routes, *scenario.additional):
        with unpacked(path) as file:
            for _, row in ET.iterparse(file):  # noqa: S314 - a local file that the user names
                if row.tag == "vType":
                    found[row.attrib["id"]] = KINDS.get(row.get("vClass", ""), "vehicle")
    return found


def summary(runs: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return the figures of several runs together: means of means, largest of largest, sums of trips."""
    kinds = dict.fromkeys(kind for run in runs for kind in run)
    found: dict[str, dict[str, float]] = {}
    for kind in kinds:
        rows = [run[kind] for run in runs if kind in run]
        found[kind] = {
            name: round(_together(name, [row[name] for row in rows if name in row]), 2)
            for name in dict.fromkeys(name for row in rows for name in row)
        }
    return found


def _together(name: str, values: list[float]) -> float:
    if name.startswith(("mean", "met")):
        return sum(values) / len(values)
    return sum(values) if name == "trips" else max(values)
