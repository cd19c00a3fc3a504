"""What buses of a line and ambulances announce over the air: which signal they come to, and when."""

from collections.abc import Iterator

from maasloop.actuation.domain.signals.priority import PriorityLevel, PriorityRequest
from maasloop.actuation.domain.signals.traffic.area import free_travel_s
from maasloop.twin.street.site import Junction, Site
from maasloop.twin.street.sumo import libsumo

BUS_REACH_M = 250.0
EMERGENCY_REACH_M = 600.0
LASTING_S = 2.0


class Announcements:
    """Hears the requests of a running simulation."""

    def __init__(self, site: Site) -> None:
        """Know the junctions."""
        self._junctions = {junction.tls: junction for junction in site.junctions}
        self._levels: dict[str, PriorityLevel | None] = {}
        self._limits_mps: dict[str, float] = {}

    def hear(self, second: int) -> Iterator[tuple[Junction, PriorityRequest]]:
        """Return every request of this second with the junction that it is for."""
        for name in libsumo.vehicle.getIDList():
            vehicle = str(name)
            if vehicle not in self._levels:
                self._levels[vehicle] = _level(vehicle)
            level = self._levels[vehicle]
            if level is not None:
                yield from self._requests(vehicle, level, second)

    def _requests(self, vehicle: str, level: PriorityLevel, second: int) -> Iterator[tuple[Junction, PriorityRequest]]:
        emergency = level is PriorityLevel.EMERGENCY
        if not emergency and _stops_before_line(vehicle):
            return
        speed = float(libsumo.vehicle.getSpeed(vehicle))
        # Within a junction it is slower for a moment; behind it, it goes on as before.
        limit = max(float(libsumo.vehicle.getAllowedSpeed(vehicle)), self._limits_mps.get(vehicle, 0.0))
        self._limits_mps[vehicle] = limit
        ahead = libsumo.vehicle.getNextTLS(vehicle)
        for tls, link, distance_m, _ in ahead if emergency else ahead[:1]:
            junction = self._junctions.get(tls)
            if junction is not None and distance_m <= (EMERGENCY_REACH_M if emergency else BUS_REACH_M):
                eta_s = second + free_travel_s(float(distance_m), speed, limit)
                group = junction.network.groups[int(link)].id
                yield junction, PriorityRequest(vehicle, group, level, eta_s, second + LASTING_S)


def _level(vehicle: str) -> PriorityLevel | None:
    kind = libsumo.vehicle.getVehicleClass(vehicle)
    if kind == "emergency":
        return PriorityLevel.EMERGENCY
    return PriorityLevel.CONDITIONAL if kind == "bus" and libsumo.vehicle.getLine(vehicle) else None


def _stops_before_line(vehicle: str) -> bool:
    """Tell whether the vehicle still stops on the road it is on: until it leaves, nobody knows when it comes."""
    stops = libsumo.vehicle.getStops(vehicle, 1)
    return bool(stops) and stops[0].lane.rpartition("_")[0] == libsumo.vehicle.getRoadID(vehicle)
