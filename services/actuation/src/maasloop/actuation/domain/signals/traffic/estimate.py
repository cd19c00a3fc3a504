"""What the loops tell about one lane: who is on the way, who stands at the line, how fast they come.

A loop gives counts and occupancy, no more. Vehicles counted about 80 m upstream are expected at the line after free
travel; who leaves over the stop line is taken off; a stop line that stays empty shows that the rest went elsewhere.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from .upstream_shares import UpstreamShares

STANDING_OCCUPANCY = 0.95
STANDING_S = 2
EMPTY_S = 3
LATE_S = 3.0
SOONER_S = 2.0
"""Nobody is at the line so much sooner than free travel lets expect: who is there is somebody else."""
SPACE_PER_VEHICLE_M = 7.0
SETTING_OFF_MPS = 6.4
"""A queue sets off from its first vehicle to its last at this speed: each one 1.1 s after the one ahead."""
RATE_MEMORY_S = 180.0
ANNOUNCED_MAX = 64
ANNOUNCED_TOLERANCE_S = 6.0
"""A vehicle is taken for an announced one that was expected at most so much sooner or later."""
CAME_AT_FIRST = 0.5
"""As long as nothing is known, every second one of those announced for a lane is taken to come to it."""
CAME_STEP = 0.02
"""What one announced vehicle adds to the share of those that come to the lane they were announced for, or takes from it."""
BEYOND_MAX = 12.0
SILENT_S = 30.0
"""A loop that has said nothing for so long has failed."""
STUCK_S = 300
"""A loop that has been covered for so long without a vehicle leaving it has failed."""
FLUTTER_RATE = 1.2
"""No lane carries so many vehicles a second, averaged over ``FLUTTER_MEMORY_S``: a loop that counts them flutters."""
FLUTTER_MEMORY_S = 20.0
PASSED_BY_MAX = 30.0
"""A loop that has missed so many vehicles in a row that passed another one has failed."""
DISTRUST_S = 300.0
"""A loop that was stuck or fluttered is not believed for so long after the last sign of it."""
DOUBT_S = 8.0
"""Who was given up is remembered for so long: a queue may set off slowly, or have a gap where a road joins."""
WANTS_OTHER_S = 4
"""Who has stood for so long at a green may want another one."""
UNWANTED_MIN = 1e-6
"""However long somebody has stood at a green, it may be that he wants it and cannot go."""
FREE_SPEED_SHARE = 0.95
"""Whom nobody holds up drives at so much of the free speed."""
_SPARE = 1e-6
_PARTS_OF_A_SECOND = 1024


@dataclass(frozen=True)
class LoopReading:
    """What one loop saw in one second: vehicles that left it, and the share of the second it was covered (0 to 1)."""

    count: float
    occupancy: float


@dataclass
class LoopMemory:
    """How long a loop has been covered or empty, when it last spoke, and whether it can be believed."""

    covered_s: int = 0
    stuck_s: int = 0
    """Seconds that it has been covered without counting anybody."""
    empty_s: int = 0
    heard_s: float = -math.inf
    passed_by: float = 0.0
    """Vehicles since its last count that must have passed it, as other loops tell."""
    flow: float = 0.0
    distrusted_until_s: float = -math.inf

    def hear(self, second_s: float, reading: LoopReading) -> None:
        """Take in one reading."""
        covered = reading.occupancy >= STANDING_OCCUPANCY
        empty = reading.occupancy <= 0.0 and reading.count <= 0
        self.covered_s = self.covered_s + 1 if covered else 0
        self.stuck_s = self.stuck_s + 1 if covered and reading.count <= 0 else 0
        self.empty_s = self.empty_s + 1 if empty else 0
        self.heard_s = second_s
        self.flow += (reading.count - self.flow) / FLUTTER_MEMORY_S
        if reading.count > 0:
            self.passed_by = 0.0
        if self.stuck_s >= STUCK_S or self.flow > FLUTTER_RATE:
            self.distrusted_until_s = second_s + DISTRUST_S

    def failed(self, second_s: float) -> bool:
        """Tell whether the loop is silent, or says what cannot be: stuck, fluttering, or blind to who passes it."""
        silent = second_s - self.heard_s > SILENT_S
        return silent or second_s < self.distrusted_until_s or self.passed_by >= PASSED_BY_MAX

    @property
    def standing(self) -> bool:
        """Tell whether a vehicle stands on the loop."""
        return self.covered_s >= STANDING_S


@dataclass
class Expected:
    """A vehicle, or a share of one, and the loop or the movement that announced it."""

    at_s: float
    """When it is at the line if nothing holds it up from now on."""
    weight: float
    source: UpstreamShares | None = None
    group: str | None = None
    standing: bool = False
    """It stands, and sets off only when the one ahead has."""


def _due(vehicle: Expected) -> float:
    return vehicle.at_s


@dataclass
class LaneEstimate:
    """One lane: expected vehicles, first in first out, and what the head wants."""

    id: str
    speed_mps: float
    headway_s: float
    storage_m: float
    shares: dict[str, float]
    """Group to the share of the lane's vehicles that want it."""
    vehicles: deque[Expected] = field(default_factory=deque)
    announced: list[Expected] = field(default_factory=list)
    """Those that a feeder told of and no loop of this lane has seen yet, by when they should be at the line."""
    onward: list[Expected] = field(default_factory=list)
    """Those who have the signal before a short road to pass first, as the junction there says; none where vehicles tell."""
    rate: float = 0.02
    """Vehicles a second, averaged over some minutes."""
    stuck_s: float = 0.0
    """Seconds that somebody on the way has stood with a free road ahead."""
    lost: int = 0
    """Announced vehicles that did not come in time, since the last that came."""
    came: float = CAME_AT_FIRST
    """The share of the announced ones that came to this lane, of late."""
    watched: bool = False
    """Each vehicle's place and speed are known, and so what setting off takes it."""
    standing: bool = False
    empty_s: int = 0
    """Seconds that the stop line has been empty."""
    covered_s: int = 0
    """Seconds that somebody has stood on the loop at the stop line."""
    locked_s: int = 0
    """Seconds of full green in which a vehicle stood and none left, since the last one left."""
    stood_s: int = 0
    """Seconds that the head has stood while at least one of the lane's groups was green."""
    stalled_until_s: float = 0.0
    unwanted: dict[str, float] = field(default_factory=dict)
    """Groups that the head does not seem to want, with how likely it would have stood so long while they were green if it did."""
    beyond: float = 0.0
    left_s: float = -math.inf
    """When the last vehicle left over the line."""
    arrived: float = 0.0
    """Vehicles announced this second."""
    doubted: list[Expected] = field(default_factory=list)
    """Those given up in green of late, first in first out."""
    doubted_until_s: float = -math.inf

    @property
    def expected(self) -> bool:
        """Tell whether anybody is on the lane, on the way to it, or announced."""
        return bool(self.vehicles or self.announced or self.onward or self.beyond)

    @property
    def queue(self) -> float:
        """Return the vehicles on the lane and on their way to it."""
        return self.counted + self.beyond

    @property
    def counted(self) -> float:
        """Return the vehicles between the upstream loop and the line, as far as these loops tell."""
        return sum(vehicle.weight for vehicle in self.vehicles)

    def due(self, second_s: float) -> float:
        """Return how many of them should be at the line by now."""
        return sum(vehicle.weight for vehicle in takewhile(lambda one: one.at_s <= second_s, self.vehicles))

    @property
    def room(self) -> float:
        """Return how many can stand there at most: who stands on the upstream loop is counted when he leaves it."""
        return self.storage_m / SPACE_PER_VEHICLE_M - 1.0

    def travel_s(self, distance_m: float) -> float:
        """Return the seconds to the line from so far back, if nobody holds the vehicle up."""
        return on_the_clock(distance_m / (self.speed_mps * FREE_SPEED_SHARE))

    def arrive(self, at_s: float, weight: float, source: UpstreamShares | None = None) -> None:
        """Expect a vehicle, or a share of one, at the line."""
        if weight > 0:
            self.arrived += weight
            self.vehicles.append(Expected(at_s, weight, source))

    def arrive_unconfirmed(self, at_s: float, weight: float, source: UpstreamShares) -> None:
        """Expect a vehicle at a line that is blind: as nobody will confirm it, the share of the lane stays what it was."""
        source.found(self.id, weight)
        self.arrive(at_s, weight)

    def pile_up(self, at_s: float, weight: float) -> None:
        """Expect a small share of a vehicle, together with those before it up to a whole one."""
        last = self.vehicles[-1] if self.vehicles else None
        if last is None or last.source is not None or last.weight + weight > 1.0:
            self.arrive(at_s, weight)
        else:
            self.arrived += weight
            last.weight += weight

    def announce(self, vehicle: Expected) -> None:
        """Expect a vehicle that left the junction before."""
        insort(self.announced, vehicle, key=_due)
        del self.announced[ANNOUNCED_MAX:]

    def confirm(self, at_s: float, beside: Iterable["LaneEstimate"] = ()) -> None:
        """Take a vehicle that a loop of this lane saw for the announced one that is due at about that time.

        Where none was announced here, one announced for a lane ``beside`` is it.
        """
        self.lost = 0
        for lane in (self, *beside):
            for index, vehicle in enumerate(lane.announced):
                if abs(vehicle.at_s - at_s) <= ANNOUNCED_TOLERANCE_S:
                    del lane.announced[index]
                    lane.came += CAME_STEP * ((lane is self) - lane.came)
                    if vehicle.source is not None:
                        vehicle.source.found(self.id, 1.0)
                    return

    def overdue(self, due_s: float) -> list[Expected]:
        """Take out the announced vehicles that were due at the line before ``due_s``."""
        late = bisect_left(self.announced, due_s, key=_due)
        gone, self.announced = self.announced[:late], self.announced[late:]
        self.lost += len(gone)
        self.came *= (1.0 - CAME_STEP) ** len(gone)
        return gone

    def stand(self, second_s: float, weight: float, source: UpstreamShares | None) -> None:
        """Note somebody at the line whom nobody had expected: he is the first."""
        self.arrived += weight
        self.vehicles.appendleft(Expected(second_s, weight, source))

    def stay(self, second_s: float, weight: float) -> None:
        """Expect somebody at the line again who was taken to have left."""
        self.vehicles.appendleft(Expected(second_s, weight))

    def depart(self, count: float, second_s: float = math.inf) -> float:
        """Take vehicles that left over the line off the front; return how many of them no loop had announced here.

        Who cannot be at the line in ``second_s`` has not left.
        """
        left, unannounced = count, 0.0
        while left > _SPARE and self.vehicles and self.vehicles[0].at_s <= second_s + SOONER_S:
            first = self.vehicles[0]
            taken = min(left, first.weight)
            first.weight -= taken
            left -= taken
            if first.source is not None:
                first.source.found(self.id, taken)
            else:
                unannounced += taken
            if first.weight <= _SPARE:
                self.vehicles.popleft()
        return unannounced + left if unannounced + left > _SPARE else 0.0

    def missing(self, second_s: float, *, going: bool) -> list[Expected]:
        """Take out and return those who should have come to the line by now, while it is empty: they went elsewhere.

        Who is ``going`` may have left a gap, and the more are expected behind it, the likelier that is: half are given up.
        """
        if self.empty_s < EMPTY_S:
            return []
        late = sum(1 for _ in takewhile(lambda vehicle: vehicle.at_s < second_s - LATE_S, self.vehicles))
        return [self.vehicles.popleft() for _ in range((late + 1) // 2 if going else late)]

    def doubt(self, vehicle: Expected, second_s: float) -> None:
        """Give up a vehicle that should have come in green, but keep it in mind for a while."""
        if second_s > self.doubted_until_s:
            self.doubted.clear()
        self.doubted.append(vehicle)
        self.doubted_until_s = second_s + DOUBT_S

    def recall(self, second_s: float) -> bool:
        """Expect those who were given up a moment ago again, as somebody came whom nobody expected; tell whether any were."""
        recalled = bool(self.doubted) and second_s <= self.doubted_until_s
        if recalled:
            self.vehicles.extendleft(reversed(self.doubted))
        self.doubted.clear()
        return recalled

    def lacking(self, second_s: float) -> float:
        """Bring forward whom the occupied line shows to be there; return what of one vehicle nobody had expected."""
        lacking = 1.0
        for vehicle in self.vehicles:
            if vehicle.at_s > second_s + SOONER_S:
                break
            vehicle.at_s = min(vehicle.at_s, second_s)
            lacking -= vehicle.weight
            if lacking <= _SPARE:
                return 0.0
        return lacking

    def give_up(self, second_s: float) -> Expected | None:
        """Take out the first vehicle that should be at the line by now, for a lane beside that has one too many."""
        if self.empty_s < EMPTY_S or not self.vehicles or self.vehicles[0].at_s > second_s - 1.0:
            return None
        return self.vehicles.popleft()

    def take_in(self, vehicle: Expected, second_s: float) -> None:
        """Take a vehicle that did not come to a lane beside, unless it already stands here unannounced."""
        for known in self.vehicles:
            if known.source is None:
                known.source = vehicle.source
                return
        self.vehicles.append(Expected(second_s, vehicle.weight, vehicle.source))

    def reach_upstream(self, second_s: float, left: float, *, blocked: bool) -> None:
        """Note how many left over the line, and whether the queue covers the upstream loop: then more wait behind it.

        The lane is full as well, unless some have left of late and the last ones have not set off yet.
        """
        if left > 0.0:
            self.left_s = second_s
        if not blocked:
            self.beyond = max(0.0, self.beyond - self.arrived) * 0.98
            return
        self.beyond = min(BEYOND_MAX, self.beyond + self.rate)
        if second_s - self.left_s <= self.storage_m / SETTING_OFF_MPS:
            return
        lacking = self.room - self.counted
        at_s = self.vehicles[-1].at_s if self.vehicles else 0.0
        while lacking > 0:
            self.vehicles.append(Expected(at_s, min(1.0, lacking)))
            lacking -= 1.0

    def next_head(self) -> None:
        """Note that the first has left: nothing is known yet of who is the first now."""
        self.unwanted.clear()
        self.stalled_until_s = 0.0
        self.locked_s = self.stood_s = 0

    def wait_at_green(self, gaps_s: Mapping[str, float]) -> None:
        """Note that the first stands one more second: the longer he does at a green, the surer it is another that he wants.

        Who wants one of the greens in ``gaps_s`` would leave after so many seconds in the mean.
        """
        self.stood_s = self.stood_s + 1 if gaps_s else 0
        if self.stood_s < WANTS_OTHER_S:
            return
        seconds = WANTS_OTHER_S if self.stood_s == WANTS_OTHER_S else 1
        for name, gap_s in gaps_s.items():
            self.unwanted[name] = max(UNWANTED_MIN, self.unwanted.get(name, 1.0) * (1.0 - 1.0 / gap_s) ** seconds)

    def head_chances(self) -> Mapping[str, float]:
        """Return what the vehicle at the line may want, given what it did not take."""
        if not self.unwanted:
            return self.shares
        left = {name: share * self.unwanted.get(name, 1.0) for name, share in self.shares.items()}
        total = sum(left.values())
        return {name: share / total for name, share in left.items()} if total > 0 else self.shares


def on_the_clock(travel_s: float) -> float:
    """Return a duration that is added to a clock without rounding: the same traffic has the same outcome at any hour."""
    return round(travel_s * _PARTS_OF_A_SECOND) / _PARTS_OF_A_SECOND
