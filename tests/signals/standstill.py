"""Watches a running street for a gridlock: somebody stands too long, or a queue does not leave under its own green."""

import math

from maasloop.twin.street.site import Site
from maasloop.twin.street.sumo import libsumo

STANDS_MAX_S = 300
GREEN_WITHOUT_DEPARTURE_MAX_S = 180
LOOK_EVERY_S = 10
GREEN = "Gg"


class Standstill:
    """Call ``see`` once after every second; ``found`` says what stood still first, and since when."""

    def __init__(self, site: Site) -> None:
        """Know which signal links each controlled lane has."""
        self.found = ""
        self._lanes = [
            (junction.tls, lane, lane.rpartition("_")[0], [i for i, by in links if by == lane])
            for junction in site.junctions
            for links in [[(i, link.lane) for i, group in enumerate(junction.network.groups) for link in group.links]]
            for lane in dict.fromkeys(by for _, by in links)
        ]
        self._queued: dict[str, frozenset[str]] = {}
        self._green_s: dict[str, int] = {}

    def see(self, second: int) -> None:
        """Look at the second that just passed."""
        if second % LOOK_EVERY_S == 0 and not self.found:
            longest_s, who = max(
                ((libsumo.vehicle.getWaitingTime(name), name) for name in libsumo.vehicle.getIDList()),
                default=(-math.inf, ""),
            )
            if longest_s > STANDS_MAX_S:
                where = libsumo.vehicle.getLaneID(who)
                self.found = f"a vehicle stands on {where} for {longest_s:.0f} s in second {second}"
        states: dict[str, str] = {}
        for tls, lane, edge, links in self._lanes:
            if tls not in states:
                states[tls] = libsumo.trafficlight.getRedYellowGreenState(tls)
            self._see_lane(second, lane, edge, green=any(states[tls][link] in GREEN for link in links))

    def _see_lane(self, second: int, lane: str, edge: str, *, green: bool) -> None:
        if not libsumo.lane.getLastStepVehicleNumber(lane):
            self._queued.pop(lane, None)
            self._green_s.pop(lane, None)
            return
        here = frozenset(libsumo.lane.getLastStepVehicleIDs(lane))
        gone = self._queued.get(lane, frozenset()) - here
        self._queued[lane] = here
        if any(_left(name, edge) for name in gone):
            self._green_s[lane] = 0
        elif green and libsumo.lane.getLastStepHaltingNumber(lane):
            self._green_s[lane] = self._green_s.get(lane, 0) + 1
            if self._green_s[lane] > GREEN_WITHOUT_DEPARTURE_MAX_S and not self.found:
                self.found = f"nobody left {lane} in {self._green_s[lane]} s of green until second {second}"


def _left(name: str, edge: str) -> bool:
    """Tell whether a vehicle left the edge, rather than changed to a lane beside."""
    try:
        return bool(libsumo.vehicle.getRoadID(name) != edge)
    except libsumo.TraCIException:
        return True
