"""How much time the traffic has lost up to now: the figure of the living picture, not of the summary.

A vehicle at half its free speed loses half a second each second; one that waits to be let in loses all of it. The
summary reads the trips' own record instead.
"""

from maasloop.twin.street.sumo import libsumo


class DelayMeter:
    """Sums what every vehicle loses each second. Call ``see`` once after every step."""

    def __init__(self) -> None:
        """Begin at the start of a run."""
        self.lost_s = 0.0
        self._seen = 0
        self._pending = 0

    def see(self) -> None:
        """Take the second that just passed into account."""
        vehicles = libsumo.vehicle
        for vehicle in vehicles.getIDList():
            allowed = vehicles.getAllowedSpeed(vehicle)
            if allowed > 0:
                self.lost_s += max(0.0, 1.0 - vehicles.getSpeed(vehicle) / allowed)
        self._pending = len(libsumo.simulation.getPendingVehicles())
        self.lost_s += self._pending
        self._seen += int(libsumo.simulation.getDepartedNumber())

    @property
    def mean_s(self) -> float:
        """Return the mean loss of a vehicle so far, in seconds."""
        vehicles = self._seen + self._pending
        return self.lost_s / vehicles if vehicles else 0.0
