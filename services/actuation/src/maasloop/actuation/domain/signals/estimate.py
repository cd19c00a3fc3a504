"""What the loops tell about one lane: who is on the way, who stands at the line, how fast they come.

A loop gives counts and occupancy, no more. Vehicles counted about 80 m upstream are expected at the line after free
travel; who leaves over the stop line is taken off; a stop line that stays empty shows that the rest went elsewhere.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

STANDING_OCCUPANCY = 0.95
STANDING_S = 2
EMPTY_S = 4
LATE_S = 4.0
SPACE_PER_VEHICLE_M = 7.0
RATE_MEMORY_S = 180.0
BEYOND_MAX = 12.0
BLIND_AFTER_S = 30.0
BLIND_RATE = 0.08
_SPARE = 1e-6


@dataclass(frozen=True)
class LoopReading:
    """What one loop saw in one second: vehicles that left it, and the share of the second it was covered (0 to 1)."""

    count: float
    occupancy: float


@dataclass
class LoopMemory:
    """How long a loop has been covered or empty, and when it last spoke."""

    covered_s: int = 0
    empty_s: int = 0
    heard_s: float = 0.0

    def hear(self, second_s: float, reading: LoopReading) -> None:
        """Take in one reading."""
        covered = reading.occupancy >= STANDING_OCCUPANCY
        empty = reading.occupancy <= 0.0 and reading.count <= 0
        self.covered_s = self.covered_s + 1 if covered else 0
        self.empty_s = self.empty_s + 1 if empty else 0
        self.heard_s = second_s

    @property
    def standing(self) -> bool:
        """Tell whether a vehicle stands on the loop."""
        return self.covered_s >= STANDING_S


@dataclass
class LaneEstimate:
    """One lane: expected vehicles as (second at the line, weight), first in first out, and what the head wants."""

    id: str
    speed_mps: float
    headway_s: float
    storage_m: float
    shares: dict[str, float]
    """Group to the share of the lane's vehicles that want it."""
    vehicles: deque[list[float]] = field(default_factory=deque)
    rate: float = 0.02
    """Vehicles a second, averaged over some minutes."""
    standing: bool = False
    stood_s: int = 0
    """Seconds that the head has stood while at least one of the lane's groups was green."""
    stalled_until_s: float = 0.0
    excluded: set[str] = field(default_factory=set)
    """Groups that the head does not seem to want: it stood while they were green."""
    beyond: float = 0.0

    @property
    def queue(self) -> float:
        """Return the vehicles on the lane and on their way to it."""
        return sum(weight for _, weight in self.vehicles) + self.beyond

    def arrive(self, at_s: float, weight: float) -> None:
        """Expect a vehicle, or a share of one, at the line."""
        if weight > 0:
            self.vehicles.append([at_s, weight])

    def depart(self, count: float) -> None:
        """Take vehicles that left over the line off the front."""
        left = count
        while left > _SPARE and self.vehicles:
            taken = min(left, self.vehicles[0][1])
            self.vehicles[0][1] -= taken
            left -= taken
            if self.vehicles[0][1] <= _SPARE:
                self.vehicles.popleft()

    def settle(self, second_s: float, stop: LoopMemory | None) -> None:
        """Bring expectation and stop line together: who stands is there, who should have come and is not, went off."""
        self.standing = stop is not None and stop.standing
        if self.standing:
            self._stand_at_line(second_s)
        elif stop is not None and stop.empty_s >= EMPTY_S:
            while self.vehicles and self.vehicles[0][0] < second_s - LATE_S:
                self.vehicles.popleft()

    def _stand_at_line(self, second_s: float) -> None:
        """Whoever stands at the line is the first of those expected, or one that no loop announced."""
        lacking = 1.0
        for vehicle in self.vehicles:
            vehicle[0] = min(vehicle[0], second_s)
            lacking -= vehicle[1]
            if lacking <= 0:
                return
        self.vehicles.append([second_s, lacking])

    def reach_upstream(self, *, blocked: bool, arrivals: float) -> None:
        """Note whether the queue covers the upstream loop: then the lane is full, and more wait behind it."""
        if blocked:
            lacking = self.storage_m / SPACE_PER_VEHICLE_M - sum(weight for _, weight in self.vehicles)
            if lacking > 0:
                at_s = self.vehicles[-1][0] if self.vehicles else 0.0
                self.vehicles.append([at_s, lacking])
            self.beyond = min(BEYOND_MAX, self.beyond + self.rate)
        else:
            self.beyond = max(0.0, self.beyond - arrivals) * 0.98

    def head_chances(self) -> Mapping[str, float]:
        """Return what the vehicle at the line may want, given what it did not take."""
        if not self.excluded:
            return self.shares
        left = {name: share * (0.05 if name in self.excluded else 1.0) for name, share in self.shares.items()}
        total = sum(left.values())
        return {name: share / total for name, share in left.items()} if total > 0 else self.shares
