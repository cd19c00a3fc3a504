"""What a receiver of vehicle messages, a radar or a camera tells about one lane: each vehicle, where it is, how fast.

The announced movement (the signal group that a vehicle is going to use) is known where vehicles send it, and missing
where they are only watched.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from maasloop.actuation.domain.signals.aspects import GREENS, Aspect, Aspects

from .estimate import RATE_MEMORY_S, Expected, LaneEstimate, on_the_clock

ACCELERATION_MPS2 = 2.0
FREE_ROAD_M = 25.0
STANDING_MPS = 0.5
AT_LINE_M = 12.0
STALL_S = 6
STALL_YIELDING_S = 25
STALL_ONWARD_S = 12
"""Before a short road that he enters only at green, who has the other signal to pass first is waited for until that one has changed."""
STALL_MEMORY_S = 20.0
TURN_GAIN = 0.03
STUCK_MPS = 3.0
LEAVING_MPS = 6.0
"""Who was stuck is on its way out only at this speed: what starts meanwhile would stop it again."""
BOX_PATIENCE_S = 60.0


@dataclass(frozen=True)
class VehicleSeen:
    """One vehicle on its way to the stop line: metres to it by road, and the group it announced.

    A negative distance is that of a vehicle past the line that is in the junction still.
    """

    id: str
    lane: str
    distance_m: float
    speed_mps: float
    group: str | None
    onward: bool = False
    """It has another signal to pass before, close by."""


@dataclass
class AreaMemory:
    """What one lane's watching remembers between seconds."""

    onward_s: int = STALL_S
    """Seconds that the first, with another signal to pass before, may stand under this green."""
    known: frozenset[str] = frozenset()
    head: str = ""
    heard_s: float = -math.inf
    stood_s: int = field(default=0)
    standing_s: dict[str, float] = field(default_factory=dict)
    """Since when each vehicle that stands has stood."""

    def hear(
        self,
        lane: LaneEstimate,
        second_s: float,
        seen: Sequence[VehicleSeen],
        aspects: Aspects,
        *,
        later_s: float = 0.0,
    ) -> None:
        """Replace the lane's estimate by what is seen; who has another signal to pass before comes so much ``later_s``."""
        ordered = sorted((one for one in seen if one.distance_m >= 0.0), key=lambda one: (one.distance_m, one.id))
        ids = frozenset(one.id for one in ordered)
        came = len(ids - self.known)
        left = bool(self.known - ids)
        for one in ordered:
            if one.id not in self.known and one.group in lane.shares:
                for way, share in lane.shares.items():
                    lane.shares[way] = share + ((way == one.group) - share) * TURN_GAIN
        lane.rate += (came - lane.rate) / RATE_MEMORY_S
        lane.arrived = float(came)
        lane.beyond = 0.0
        lane.watched = True
        lane.vehicles.clear()
        lane.vehicles.extend(
            Expected(
                second_s
                + on_the_clock(
                    free_travel_s(one.distance_m, one.speed_mps, lane.speed_mps) + (later_s if one.onward else 0.0)
                ),
                1.0,
                group=one.group,
                standing=one.speed_mps < STANDING_MPS,
            )
            for one in ordered
        )
        lane.stuck_s = self._stuck_on_the_way_s(second_s, ordered)
        self.known, self.heard_s = ids, second_s
        head = ordered[0] if ordered else None
        lane.standing = head is not None and head.speed_mps < STANDING_MPS and head.distance_m < AT_LINE_M
        lane.empty_s = 0 if head is not None and head.distance_m < AT_LINE_M else lane.empty_s + 1
        self._stall(lane, second_s, head, aspects, left=left)

    def _stuck_on_the_way_s(self, second_s: float, ordered: Sequence[VehicleSeen]) -> float:
        """Return for how long somebody has stood with a free road ahead, as at a node without signals."""
        since_s = {
            one.id: self.standing_s.get(one.id, second_s)
            for one in ordered
            if one.speed_mps < STANDING_MPS and not one.onward
        }
        self.standing_s = since_s
        longest_s, ahead_m = 0.0, 0.0
        for one in ordered:
            if one.id in since_s and one.distance_m - ahead_m > FREE_ROAD_M:
                longest_s = max(longest_s, second_s - since_s[one.id])
            ahead_m = one.distance_m
        return longest_s

    def _stall(
        self, lane: LaneEstimate, second_s: float, head: VehicleSeen | None, aspects: Aspects, *, left: bool
    ) -> None:
        """Notice a head that stands under its own green: for the time being, green there serves nobody.

        It need not be at the line: one that waits to change to a lane beside holds up those behind it from further back.
        """
        ways = (head.group,) if head is not None and head.group is not None else tuple(lane.shares)
        shown = [aspects[way] for way in ways]
        moved = head is None or head.id != self.head
        self.head = head.id if head is not None else ""
        if moved:
            lane.next_head()
        elif left:
            lane.stalled_until_s = 0.0
            lane.locked_s = 0
        if moved or head is None or head.speed_mps >= STANDING_MPS or not all(one in GREENS for one in shown):
            self.stood_s = 0
            return
        self.stood_s += 1
        lane.locked_s += not head.onward and all(aspect is Aspect.GREEN for aspect in shown)
        limit_s = STALL_YIELDING_S if Aspect.YIELDING in shown else self.onward_s if head.onward else STALL_S
        if self.stood_s >= limit_s:
            lane.stalled_until_s = second_s + STALL_MEMORY_S


def waiting_groups(seen: Iterable[VehicleSeen]) -> set[str]:
    """Return the groups that standing vehicles announced."""
    return {
        one.group
        for one in seen
        if one.group is not None and one.speed_mps < STANDING_MPS and one.distance_m >= 0.0 and not one.onward
    }


def wanted_here(seen: Iterable[VehicleSeen]) -> set[str]:
    """Return the groups announced by those on the road itself."""
    return {one.group for one in seen if one.group is not None and one.distance_m >= 0.0 and not one.onward}


def wanted_next(seen: Iterable[VehicleSeen]) -> set[str]:
    """Return the group announced by the next who comes to the road from the signal before."""
    coming = sorted((one for one in seen if one.onward), key=lambda one: (one.distance_m, one.id))
    return {one.group for one in coming[:1] if one.group is not None}


class Box:
    """Who is in the junction and does not get out: those that conflict with them had better not start."""

    def __init__(self) -> None:
        """Begin with an empty junction."""
        self.groups: frozenset[str] = frozenset()
        self.entered: list[VehicleSeen] = []
        """Who passed the line in the last second."""
        self._inside: frozenset[str] = frozenset()
        self._since_s: dict[str, float] = {}
        self._stuck: dict[str, VehicleSeen] = {}
        self._second_s = -math.inf

    def hear(self, second_s: float, seen: Iterable[VehicleSeen]) -> None:
        """Take in everybody seen."""
        inside = [one for one in seen if one.distance_m < 0.0]
        self.entered = [one for one in inside if one.id not in self._inside]
        self._inside = frozenset(one.id for one in inside)
        self.groups = frozenset(one.group for one in inside if one.group is not None)
        self._stuck = {
            one.id: one for one in inside if one.speed_mps < (LEAVING_MPS if one.id in self._stuck else STUCK_MPS)
        }
        self._since_s = {name: self._since_s.get(name, second_s) for name in self._stuck}
        self._second_s = second_s

    def held(self) -> frozenset[str]:
        """Return the announced groups of which somebody inside finds no gap: nobody follows while the others go on."""
        return frozenset(
            one.group
            for name, one in self._stuck.items()
            if one.group is not None and self._second_s - self._since_s[name] >= STALL_S
        )

    def stuck(self) -> list[VehicleSeen]:
        """Return who is stuck; who has been for very long will not be helped by waiting."""
        return [one for name, one in self._stuck.items() if self._second_s - self._since_s[name] <= BOX_PATIENCE_S]


def free_travel_s(distance_m: float, speed_mps: float, free_speed_mps: float) -> float:
    """Return the seconds to the line for a vehicle that accelerates to free speed and is held up by nobody."""
    if distance_m <= 0.0:
        return 0.0
    speed = min(max(0.0, speed_mps), free_speed_mps)
    rise_s = (free_speed_mps - speed) / ACCELERATION_MPS2
    rise_m = (speed + free_speed_mps) / 2.0 * rise_s
    if rise_m >= distance_m:
        return (math.sqrt(speed * speed + 2.0 * ACCELERATION_MPS2 * distance_m) - speed) / ACCELERATION_MPS2
    return rise_s + (distance_m - rise_m) / free_speed_mps
