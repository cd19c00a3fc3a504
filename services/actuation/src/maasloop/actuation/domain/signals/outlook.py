"""What a stage would mean for each lane: which share of it may go, who must give way, and from when."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from .sheet import Sheet
from .stages import Stage
from .state import JunctionState
from .traffic.forecast import Departure, LaneOutlook, departures
from .traffic.perception import Perception

PRESSED_WEIGHT = 1.5
"""Who leaves a queue that fills the road to the junction before makes way for somebody there as well."""
PRESSED_WEIGHT_MAX = 5.0
PRESSED_RISE_S = 40.0
"""The longer a road is full, the more its queue counts: the highest rate alone would never come to a single lane."""
ONE_CROSSES = 0.5
"""So much of a vehicle, of which it is not known where it goes, is taken for one that crosses."""


@dataclass(frozen=True)
class LanePlan:
    """One lane under one stage: the groups that are green there, those that give way, and the lanes they give way to."""

    lane: str
    groups: tuple[str, ...]
    yielding: tuple[str, ...]
    opposing: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class StagePlan:
    """Every lane that a stage serves."""

    lanes: tuple[LanePlan, ...]


def plan_stage(sheet: Sheet, stage: Stage) -> StagePlan:
    """Derive from the sheet what does not change while traffic does."""
    plans = []
    for lane in sheet.lanes:
        groups = tuple(group.id for group in sheet.groups if lane.id in group.lanes and group.id in stage)
        if not groups:
            continue
        majors = {name: [major for major in sheet.majors[name] if major in stage] for name in groups}
        yielding = tuple(name for name in groups if majors[name])
        opposing: dict[str, list[str]] = {}
        for major in dict.fromkeys(one for name in yielding for one in majors[name]):
            for other in sheet.group[major].lanes:
                if other != lane.id:
                    opposing.setdefault(other, []).append(major)
        plans.append(LanePlan(lane.id, groups, yielding, tuple((name, tuple(by)) for name, by in opposing.items())))
    return StagePlan(tuple(plans))


class Prospect:
    """The departures that stages would bring at one moment; what several stages mean for a lane is worked out once."""

    def __init__(self, perception: Perception, state: JunctionState, horizon_s: float) -> None:
        """Begin with nothing worked out."""
        self._perception = perception
        self._state = state
        self._horizon_s = horizon_s
        self._known: dict[tuple[str, LaneOutlook], list[Departure]] = {}
        self._inside = perception.inside()
        self._held = perception.held()
        self._free = {name for name in perception.exits_of if perception.free(name)}

    def of(self, plan: LanePlan, starts: Mapping[str, float]) -> tuple[list[Departure], float]:
        """Return the departures of one lane under a stage, and the mean rate at which more come."""
        lane = self._perception.lanes[plan.lane]
        if lane.stalled_until_s > self._state.second_s or not lane.expected:
            return [], 0.0
        free = [
            name for name in plan.groups if name in self._free and not (name in self._held and name in plan.yielding)
        ]
        if not free:
            return [], 0.0
        outlook = self._outlook(plan, free, starts)
        found = self._departures(plan.lane, outlook)
        pressed_s = self._perception.pressed_s(plan.lane, self._state.second_s)
        if pressed_s is not None:
            urgency = min(PRESSED_WEIGHT_MAX, PRESSED_WEIGHT + pressed_s / PRESSED_RISE_S)
            found = [(at_s, weight * urgency, group) for at_s, weight, group in found]
        return found, lane.rate * outlook.goes

    def _departures(self, name: str, outlook: LaneOutlook) -> list[Departure]:
        key = (name, outlook)
        found = self._known.get(key)
        if found is None:
            lane = self._perception.lanes[name]
            found = self._known[key] = departures(lane, outlook, self._state.second_s, self._horizon_s)
        return found

    def _outlook(self, plan: LanePlan, free: list[str], starts: Mapping[str, float]) -> LaneOutlook:
        lane = self._perception.lanes[plan.lane]
        yielding = tuple(name for name in plan.yielding if name in free)
        yields = sum(lane.shares[name] for name in yielding)
        released_s, rate = 0.0, 0.0
        opposing: tuple[float, ...] = ()
        if yielding:
            announced = {vehicle.group for vehicle in lane.vehicles}
            if None in announced or lane.beyond:
                released_s, rate = self._released(plan, starts)
            if any(name in announced for name in yielding):
                opposing = self._crossings(plan, starts)
        chances = lane.head_chances()
        start_s = min(starts[name] for name in free)
        return LaneOutlook(
            ways=tuple((name, max(0.0, starts[name])) for name in free),
            yielding=yielding,
            pockets=tuple(name for name in yielding if name not in self._inside),
            goes=sum(lane.shares[name] for name in free),
            yields=yields,
            head_goes=sum(chances[name] for name in free),
            start_s=max(0.0, start_s),
            moving=start_s <= 0.0 and any(self._state.groups[name].green for name in free),
            released_s=released_s,
            opposing_rate=rate,
            opposing=opposing,
        )

    def _released(self, plan: LanePlan, starts: Mapping[str, float]) -> tuple[float, float]:
        released_s, rate = 0.0, 0.0
        for name, groups in plan.opposing:
            other = self._perception.lanes[name]
            part = sum(other.shares[group] for group in groups)
            waiting = sum(vehicle.weight for vehicle in other.vehicles if vehicle.at_s <= self._state.second_s)
            start_s = min(starts[group] for group in groups)
            released_s = max(released_s, start_s + waiting * other.headway_s * part)
            rate += other.rate * part
        return released_s, round(rate, 3)

    def _crossings(self, plan: LanePlan, starts: Mapping[str, float]) -> tuple[float, ...]:
        """Return when vehicles cross that have the right of way; that they may have to wait is left out."""
        found: list[float] = []
        for name, groups in plan.opposing:
            lane = self._perception.lanes[name]
            if not lane.expected:
                continue
            ways = tuple((group, max(0.0, starts[group])) for group in lane.shares if group in starts)
            start_s = min(start for _, start in ways)
            outlook = LaneOutlook(
                ways=ways,
                yielding=(),
                goes=sum(lane.shares[group] for group, _ in ways),
                yields=0.0,
                head_goes=1.0,
                start_s=start_s,
                moving=start_s <= 0.0,
                released_s=0.0,
                opposing_rate=0.0,
            )
            if outlook.goes > 0.0:
                part = sum(lane.shares[group] for group in groups) / outlook.goes
                found.extend(_crossing_s(self._departures(name, outlook), groups, part))
        return tuple(sorted(found))


def _crossing_s(departures: Iterable[Departure], groups: Collection[str], part: float) -> Iterator[float]:
    """Yield when vehicles of some groups leave one lane.

    Of those whose group is not known ``part`` is taken to want these: the parts are added up.
    """
    together = 0.0
    for at_s, weight, group in departures:
        if group in groups:
            yield at_s
        elif group is None:
            together += weight * part
            if together >= ONE_CROSSES:
                together -= 1.0
                yield at_s
