"""What is seen around the junctions: every vehicle within 150 m of its next stop line by road, upstream edges included.

A vehicle that sends messages announces which signal group it is going to use; radar and cameras only see where it is.
People on foot are seen at the kerb.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

from maasloop.twin.street.sumo import libsumo

from .loops import road_of
from .site import Junction, Site
from .walkers import Kerbs

REACH_M = 150.0
DIRECTION = 6
"""Where SUMO tells of a connection which way it turns."""
CLOSE_M = 60.0
"""Who is on the way to a signal counts for the next one as well where that is so near behind it."""


@dataclass(frozen=True)
class Approaching:
    """One vehicle on its way to the stop line of a controlled lane, or past it in the junction (negative distance).

    A person at the kerb is one as well, at a distance of 0.
    """

    vehicle: str
    lane: str
    """As the network names it; the crossing for people on foot."""
    distance_m: float
    speed_mps: float
    group: str | None
    onward: bool = False
    """It has another signal to pass before."""


class AreaDetection:
    """Sees the vehicles of a running simulation; with ``announced`` it hears which group each is going to use."""

    def __init__(self, site: Site, *, announced: bool) -> None:
        """Know the ways through every junction."""
        self._junctions = {junction.tls: junction for junction in site.junctions}
        self._ways = {junction.tls: _ways(junction) for junction in site.junctions}
        self._cycling = {
            lane for junction in site.junctions for group in junction.network.groups for lane in group.cycle_lanes
        }
        self._beside = {junction.tls: _beside(junction) for junction in site.junctions}
        self._announced = announced
        self._led: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}
        self._kerbs = Kerbs(site)
        self._last: dict[str, tuple[Junction, Approaching]] = {}

    def see(self) -> dict[str, list[Approaching]]:
        """Return by junction who is on the way to it or in it.

        A vehicle counts for the first signal ahead of it, and where it announces its way for the second one that follows
        closely.
        """
        seen: dict[str, tuple[Junction, Approaching]] = {}
        onward: list[tuple[Junction, Approaching]] = []
        for name in libsumo.vehicle.getIDList():
            vehicle, here = str(name), str(libsumo.vehicle.getLaneID(name))
            one = self._inside(vehicle) if here.startswith(":") else None
            one = one or self._approaching(vehicle, here)
            if one is not None:
                seen[vehicle] = one
                after = self._onward(vehicle, here, *one) if self._announced else None
                onward += [after] if after is not None else []
        self._last = seen
        found: dict[str, list[Approaching]] = {junction.id: [] for junction in self._junctions.values()}
        for junction, approaching in (*seen.values(), *onward):
            found[junction.id].append(approaching)
        for walker in self._kerbs.see():
            at_kerb = Approaching(walker.person, walker.crossing, 0.0, walker.speed_mps, walker.group)
            found[walker.junction.id].append(at_kerb)
        return found

    def _inside(self, vehicle: str) -> tuple[Junction, Approaching] | None:
        """Return a vehicle that passed a stop line and is in the junction still."""
        last = self._last.get(vehicle)
        if last is None:
            return None
        junction, before = last
        if before.lane in self._cycling:
            # Slower than cars at all times: its pace says nothing about being stuck, and its clearance lets it out.
            return None
        ahead = libsumo.vehicle.getNextTLS(vehicle)
        if before.distance_m >= 0.0 and ahead and ahead[0][0] == junction.tls and ahead[0][2] <= before.distance_m:
            # Within another, unsignalled junction on the way.
            return None
        speed_mps = float(libsumo.vehicle.getSpeed(vehicle))
        past_m = min(0.0, before.distance_m) - speed_mps
        return junction, Approaching(vehicle, before.lane, min(past_m, -0.1), speed_mps, before.group)

    def _approaching(self, vehicle: str, here: str) -> tuple[Junction, Approaching] | None:
        ahead = libsumo.vehicle.getNextTLS(vehicle)
        return self._towards(vehicle, here, ahead[0]) if ahead else None

    def _onward(
        self, vehicle: str, here: str, junction: Junction, first: Approaching
    ) -> tuple[Junction, Approaching] | None:
        """Return the signal that follows closely on the one that a vehicle is on the way to."""
        after = libsumo.vehicle.getNextTLS(vehicle)[1:2]
        near = after and first.distance_m >= 0.0 and after[0][2] < first.distance_m + CLOSE_M
        found = self._towards(vehicle, here, after[0]) if near else None
        if found is None or found[0] is junction:
            return None
        return found[0], replace(found[1], onward=True)

    def _towards(self, vehicle: str, here: str, ahead: Any) -> tuple[Junction, Approaching] | None:
        tls, link, distance_m, _ = ahead
        if distance_m > REACH_M or tls not in self._junctions:
            return None
        lanes = self._ways[tls].get(int(link), ())
        if not lanes:
            return None
        junction = self._junctions[tls]
        if not self._announced:
            beside = self._beside[tls][lanes[0]]
            lanes = self._led_to(here, beside) or beside
        # Where several lanes lead there and none is chosen yet, they are taken to be used alike.
        lane = here if here in lanes else lanes[crc32(vehicle.encode()) % len(lanes)]
        group = junction.network.groups[int(link)].id if self._announced else None
        speed_mps = float(libsumo.vehicle.getSpeed(vehicle))
        return junction, Approaching(vehicle, lane, max(0.0, float(distance_m)), speed_mps, group)

    def _led_to(self, here: str, lanes: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of some lanes that one comes to who keeps to the lane he is on, straight on where he can."""
        found = self._led.get((here, lanes))
        if found is None:
            found = self._led[here, lanes] = tuple(_ahead(here, frozenset(lanes)))
        return found


def _ahead(here: str, lanes: frozenset[str]) -> Iterator[str]:
    """Yield the lanes that one lane leads to within sight of the line."""
    pending, known = deque([(here, -float(libsumo.lane.getLength(here)))]), {here}
    while pending:
        lane, begins_m = pending.popleft()
        if lane in lanes:
            yield lane
            continue
        ends_m = begins_m + float(libsumo.lane.getLength(lane))
        links = libsumo.lane.getLinks(lane) if ends_m < REACH_M else ()
        straight = [link for link in links if link[DIRECTION] == "s"]
        ahead = dict.fromkeys(str(link[0]) for link in straight or links)
        pending.extend((one, ends_m) for one in ahead if one not in known)
        known.update(ahead)


def _ways(junction: Junction) -> dict[int, tuple[str, ...]]:
    """Return, for each signal link, the lanes it is reached from."""
    return {
        index: tuple(dict.fromkeys(link.lane for link in group.links))
        for index, group in enumerate(junction.network.groups)
    }


def _beside(junction: Junction) -> dict[str, tuple[str, ...]]:
    """Return, for each controlled lane, the controlled lanes of its road."""
    lanes = dict.fromkeys(link.lane for group in junction.network.groups for link in group.links)
    return {lane: tuple(one for one in lanes if road_of(one) == road_of(lane)) for lane in lanes}
