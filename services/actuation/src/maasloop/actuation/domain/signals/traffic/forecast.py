"""How many vehicles a stage would let go, and when: first in, first out, at saturation headway, until one must wait."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .estimate import Expected, LaneEstimate

START_LOSS_S = 1.5
REACTION_S = 1.1
NEXT_S = (1.5, 1.0, 2.0, 5.0)
"""In green the first who should be at the line by now passes it after so long, by the seconds that its loop has been empty.

Medians of what places and speeds told of such lanes: whoever is on the loop, or sets off behind him, or has left a gap.
"""
NEXT_STANDING_S = 2.0
"""The same for one who stands on it."""
MOST_SHARE = 0.9
"""A lane whose groups start one after the other flows as soon as so many of its vehicles find green."""
BEHIND_HORIZON_MAX = 24
GAP_CRITICAL_S = 5.0
GAP_FOLLOW_S = 2.5
GAP_BEFORE_S = 4.0
GAP_AFTER_S = 1.0
_CHANCE_MIN = 0.02
_RATE_MIN = 0.005
_GAP_HEADWAY_MAX_S = 30.0

Departure = tuple[float, float, str | None]
"""Seconds from now, expected vehicles, and the group where it was announced."""


@dataclass(frozen=True)
class LaneOutlook:
    """What a stage means for one lane."""

    ways: tuple[tuple[str, float], ...]
    """The lane's groups that are green and whose exit is free, and the seconds from now until each is."""
    yielding: tuple[str, ...]
    """Those among them that must give way."""
    goes: float
    """Share of the lane's vehicles whose group is green and whose exit is free."""
    yields: float
    """Share among all of those that must give way."""
    head_goes: float
    """The same as ``goes`` for the vehicle at the line."""
    start_s: float
    """Seconds from now until the lane's first group is green."""
    moving: bool
    """The lane is discharging already: no start-up loss."""
    released_s: float
    """Seconds from now until those who must give way find the others' queue gone."""
    opposing_rate: float
    """Vehicles a second that they give way to after that."""
    pockets: tuple[str, ...] = ()
    """Those that give way and have room for one to wait inside the junction."""
    opposing: tuple[float, ...] = ()
    """Seconds from now at which known vehicles cross that have the right of way, rising."""


def departures(lane: LaneEstimate, outlook: LaneOutlook, now_s: float, horizon_s: float) -> list[Departure]:
    """Return the departures of one lane within the horizon, in order."""
    if outlook.goes <= 0.0:
        return []
    if lane.watched and not any(vehicle.group is None for vehicle in lane.vehicles):
        return _announced(lane, outlook, now_s, horizon_s)
    return _assumed(lane, outlook, now_s, horizon_s)


def _announced(lane: LaneEstimate, outlook: LaneOutlook, now_s: float, horizon_s: float) -> list[Departure]:
    """Each vehicle's place, speed and movement is known: who is first in a line that may not go holds up the others."""
    events: list[Departure] = []
    starts, pockets = dict(outlook.ways), set(outlook.pockets)
    line = _Line(outlook.start_s, outlook.start_s)
    for vehicle in lane.vehicles:
        start_s = starts.get(vehicle.group) if vehicle.group is not None else None
        if start_s is None:
            break
        travel_s = vehicle.at_s - now_s
        ready_s = line.ready_s(vehicle, travel_s)
        if start_s > outlook.start_s:
            ready_s = max(ready_s, start_s + (0.0 if events else travel_s))
        if vehicle.group in pockets:
            # It waits inside, out of the way of those behind, and leaves in a gap or when the others' green ends.
            pockets.discard(vehicle.group)
        elif vehicle.group in outlook.yielding:
            ready_s = _gap(ready_s, outlook.opposing)
        if ready_s > horizon_s:
            break
        events.append((ready_s, 1.0, vehicle.group))
        line.clock_s = ready_s + lane.headway_s
    return events


def _assumed(lane: LaneEstimate, outlook: LaneOutlook, now_s: float, horizon_s: float) -> list[Departure]:
    """What vehicles want is known by shares only: the further back, the less likely that nobody ahead must wait."""
    start_loss_s = 0.0 if outlook.moving or lane.watched else START_LOSS_S
    most_start_s = _most_start_s(lane, outlook)
    events = _before(lane, outlook, most_start_s, now_s, start_loss_s)
    gone = sum(weight for _, weight, _ in events)
    if most_start_s > outlook.start_s:
        start_loss_s = START_LOSS_S
    line = _Line(most_start_s + start_loss_s, most_start_s)
    if most_start_s <= 0.0 and outlook.moving and not lane.watched and lane.vehicles and lane.vehicles[0].at_s < now_s:
        line.clock_s += NEXT_STANDING_S if lane.standing else NEXT_S[min(lane.empty_s, len(NEXT_S) - 1)]
    yielding = min(1.0, outlook.yields / outlook.goes)
    slower_s = lane.headway_s * (1.0 - yielding) + yielding * gap_headway_s(outlook.opposing_rate, lane.headway_s)
    alive, first = 1.0, True
    # Who was announced by a feeder comes behind those that the own loops have seen, who waits at the signal before last.
    for vehicle, certainty in _in_line(lane):
        weight = vehicle.weight * certainty
        gone, weight = max(0.0, gone - weight), max(0.0, weight - gone)
        ready_s = line.ready_s(vehicle, vehicle.at_s - now_s)
        if yielding > 0.0 and ready_s < outlook.released_s:
            ready_s += yielding * (outlook.released_s - ready_s)
        # Who may not come is taken to hold up those behind him as if he did.
        alive *= _chance(vehicle, outlook, first=first)
        if ready_s > horizon_s or alive < _CHANCE_MIN:
            break
        first = False
        events.append((ready_s, weight * alive, None))
        line.clock_s = ready_s + weight * slower_s
    if lane.beyond > 0.0 and line.clock_s < horizon_s and alive >= _CHANCE_MIN:
        for _ in range(min(BEHIND_HORIZON_MAX, int(lane.beyond))):
            alive *= outlook.goes
            events.append((line.clock_s, alive, None))
            line.clock_s += slower_s
            if line.clock_s > horizon_s:
                break
    return events


def _most_start_s(lane: LaneEstimate, outlook: LaneOutlook) -> float:
    """Return the seconds from now until the groups are green that most of the lane's vehicles want."""
    reached, enough = 0.0, MOST_SHARE * sum(lane.shares[name] for name, _ in outlook.ways)
    for name, start_s in sorted(outlook.ways, key=lambda way: way[1]):
        reached += lane.shares[name]
        if reached >= enough:
            return start_s
    return outlook.start_s


def _before(
    lane: LaneEstimate, outlook: LaneOutlook, until_s: float, now_s: float, start_loss_s: float
) -> list[Departure]:
    """Return who leaves before that: all ahead of the first who wants a group that starts later."""
    events: list[Departure] = []
    sooner = [name for name, start_s in outlook.ways if start_s < until_s]
    chances: Mapping[str, float] = lane.head_chances()
    alive, clock_s = 1.0, outlook.start_s + start_loss_s
    for vehicle, certainty in _in_line(lane) if sooner else ():
        alive *= sum(chances[name] for name in sooner)
        chances = lane.shares
        clock_s = max(clock_s, vehicle.at_s - now_s)
        if clock_s >= until_s or alive < _CHANCE_MIN:
            break
        events.append((clock_s, vehicle.weight * certainty * alive, None))
        clock_s += lane.headway_s
    return events


@dataclass
class _Line:
    """A line of vehicles that begins to move: each sets off after the one ahead did."""

    clock_s: float
    setting_off_s: float

    def ready_s(self, vehicle: Expected, travel_s: float) -> float:
        ready_s = max(self.clock_s, travel_s)
        if vehicle.standing:
            ready_s = max(ready_s, self.setting_off_s + travel_s)
            self.setting_off_s += REACTION_S
        return ready_s


def _in_line(lane: LaneEstimate) -> Iterator[tuple[Expected, float]]:
    """Yield who is expected at the line, first in first out, and how sure it is that he comes to this lane."""
    for vehicle in lane.vehicles:
        yield vehicle, 1.0
    for vehicle in lane.announced:
        yield vehicle, lane.came
    for vehicle in lane.onward:
        yield vehicle, 1.0


def _chance(vehicle: Expected, outlook: LaneOutlook, *, first: bool) -> float:
    chance = outlook.head_goes if first else outlook.goes
    return chance if vehicle.weight >= 1.0 else chance**vehicle.weight


def _gap(ready_s: float, opposing: tuple[float, ...]) -> float:
    """Return when a vehicle that gives way can go: in the first gap between those who have the right of way."""
    for crossing_s in opposing:
        if crossing_s - GAP_BEFORE_S >= ready_s:
            break
        ready_s = max(ready_s, crossing_s + GAP_AFTER_S)
    return ready_s


def gap_headway_s(opposing_rate: float, headway_s: float) -> float:
    """Return the mean seconds a vehicle that gives way needs, by gap acceptance in a random opposing flow."""
    if opposing_rate <= _RATE_MIN:
        return headway_s
    capacity = opposing_rate * math.exp(-opposing_rate * GAP_CRITICAL_S)
    capacity /= 1.0 - math.exp(-opposing_rate * GAP_FOLLOW_S)
    return max(headway_s, min(_GAP_HEADWAY_MAX_S, 1.0 / max(capacity, 1e-3)))
