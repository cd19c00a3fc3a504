"""Turns the loops of one junction, second by second, into what its controller needs: lanes, calls and full exits."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from maasloop.actuation.domain.signals.aspects import GOING, GREENS, Aspect, Aspects
from maasloop.actuation.domain.signals.sheet import DetectorPosition, GroupKind, Sheet, SignalGroup

from .area import STALL_MEMORY_S, STALL_S, STALL_YIELDING_S, AreaMemory, Box, VehicleSeen, waiting_groups
from .coming_out import ComingOut
from .crossing import HELD_UP_S, Crossing
from .detectors import Detectors
from .estimate import RATE_MEMORY_S, LaneEstimate, LoopReading
from .feeders import Feeders
from .gaps import headways_s
from .neighbourhood import NOTHING_HEARD, Asking, Hears, Says
from .short_roads import ShortRoads
from .turning import TurnShares, assumed_turns
from .unseen import UnseenLanes
from .upstream import Upstream
from .walkers import Walkers

LOCK_S = 45
LOCKED_LANES_MIN = 2
PRESSED_S = 15.0
CALL_CHANCE_MIN = 0.04
SELDOM = 1.0 / 60.0
"""Vehicles a second; a movement that is wanted less often becomes green on demand only."""
QUEUE_M = 20.0
"""A loop in an exit nearer than this is half way to the next line: two who wait there cover it, and others find room."""
STOP_LINE, UPSTREAM = DetectorPosition.STOP_LINE, DetectorPosition.UPSTREAM


class Perception:
    """The estimate of one junction; ``hear`` brings it one second on."""

    def __init__(self, sheet: Sheet) -> None:
        """Begin with empty lanes."""
        self.sheet = sheet
        self.lanes: dict[str, LaneEstimate] = {}
        self.groups_of: dict[str, tuple[str, ...]] = {}
        self.exits_of = {group.id: group.exits for group in sheet.groups}
        self._turns = TurnShares({lane.id: assumed_turns(sheet, lane.id) for lane in sheet.lanes}, self.exits_of)
        for lane in sheet.lanes:
            shares = self._turns.shares[lane.id]
            self.lanes[lane.id] = LaneEstimate(lane.id, lane.speed_mps, lane.headway_s, lane.storage_m, shares)
            self.groups_of[lane.id] = tuple(shares)
        self.full_exits: set[str] = set()
        self._full_roads: set[str] = set()
        self._pressed_s: dict[str, tuple[float, float]] = {}
        self._waiting: set[str] = set()
        self.walkers = Walkers(sheet)
        self._box = Box()
        self.crossing = Crossing(self.exits_of, self.lanes)
        self._blind: frozenset[str] = frozenset()
        self._counted: frozenset[str] = frozenset()
        self._followed: frozenset[str] = frozenset()
        self._dark: frozenset[str] = frozenset()
        self._asking = Asking()
        self.says = Says()
        self.short_roads = ShortRoads(sheet)
        self._areas = {name: AreaMemory(onward_s=self.short_roads.onward_s(name)) for name in self.lanes}
        self._coming_out = ComingOut(sheet, self._turns)
        self._out: Mapping[str, float] = {}
        self._loops = Detectors(sheet)
        self._unseen = UnseenLanes(sheet, self.lanes, self._loops, self._turns)
        self._upstream = Upstream(sheet, self.lanes, self._loops)
        self._feeders = Feeders(sheet, self.lanes, self._loops)

    def hear(
        self,
        second_s: float,
        readings: Mapping[str, LoopReading],
        aspects: Aspects,
        seen: Mapping[str, Sequence[VehicleSeen]] | None = None,
        heard: Hears = NOTHING_HEARD,
    ) -> None:
        """Take in the readings of one second, what the signals showed in it, and who was seen on the lanes watched.

        Exits that the others want held back count as full.
        """
        believed = self._loops.hear(second_s, readings)
        self.short_roads.hear(heard)
        self.full_exits = self._loops.full_exits() | heard.held_back
        self._full_roads = self._loops.full_exits(QUEUE_M)
        self._pressed_s = {
            lane: (since_s, until_s) for lane, (since_s, until_s) in self._pressed_s.items() if second_s < until_s
        }
        for name in self._loops.backed_up():
            since_s, _ = self._pressed_s.get(name, (second_s, second_s))
            self._pressed_s[name] = since_s, second_s + PRESSED_S
        watched = seen or {}
        told = {name: self._told(name, vehicles) for name, vehicles in watched.items()}
        self._tell_apart(watched)
        self._unseen.hear([name for name in self.lanes if name not in self._blind])
        self._upstream.hear(second_s, believed, self._blind, self._feeders)
        self._feeders.hear(second_s, believed, watched, self._counted, self._blind)
        passed = self._loops.exits_passed(believed)
        silent = self._loops.silent_exits(self.sheet.exits)
        self.crossing.hear(second_s, aspects, passed, silent)
        blind = {name: self.lanes[name] for name in self._blind}
        self._out = self._coming_out.hear(second_s, aspects, passed, silent, blind)
        self._waiting = {group for vehicles in told.values() for group in waiting_groups(vehicles)}
        self._box.hear(second_s, [one for vehicles in told.values() for one in vehicles])
        for one in self._box.entered:
            ways = (one.group,) if one.group is not None else self._going(one.lane, aspects)
            self._turns.known(second_s, ways)
        for lane in self.lanes.values():
            if lane.id in watched:
                lane.announced.clear()
                later_s = self.short_roads.later_s(lane.id)
                self._areas[lane.id].hear(lane, second_s, told[lane.id], aspects, later_s=later_s)
                self._unseen.learn(lane.id, lane.arrived)
                if lane.standing and lane.vehicles[0].group is None:
                    self._wait_at_green(lane, second_s, aspects)
            else:
                self._hear_lane(lane, second_s, believed, aspects)
        if self.walkers.kerbs:
            self._hear_turners(aspects)
        stuck = self._asking.hear(second_s, self.lanes.values())
        closed = self.short_roads.closed(self.lanes, watched, self._box.stuck(), aspects)
        self.short_roads.expect(second_s, self.lanes, watched, aspects)
        leaving, sending = self.short_roads.leaving(second_s, self.lanes), self.short_roads.sending(second_s, aspects)
        self.says = Says(stuck, closed, self.short_roads.standing, leaving, sending, self.short_roads.opening())

    def _tell_apart(self, watched: Collection[str]) -> None:
        """Note of which lanes nobody tells who leaves, and of which of them it is known all the same who comes."""
        self._blind = frozenset(
            name for name in self.lanes if name not in watched and not self._loops.working(STOP_LINE, name)
        )
        self._counted = frozenset(name for name in self.lanes if self._upstream.counts(name))
        self._followed = frozenset(
            name for name in self._blind - self._counted if self._feeders.tell_all(name) and self._unseen.followed(name)
        )
        self._dark = self._blind - self._counted - self._followed

    def _hear_turners(self, aspects: Aspects) -> None:
        held = self._box.held().union(*map(self._standing_at_green, self.lanes.values()))
        self.walkers.hear(held, self._box.groups.union(*map(self._coming, self.lanes.values())), aspects)

    def _standing_at_green(self, lane: LaneEstimate) -> Sequence[str]:
        """Return the groups that the first of a lane may want, who has stood at their green for a while."""
        stood_s = self._areas[lane.id].stood_s if lane.watched else lane.stood_s
        if stood_s < HELD_UP_S:
            return ()
        head = lane.vehicles[0].group if lane.vehicles else None
        return (head,) if head is not None else self.groups_of[lane.id]

    def _coming(self, lane: LaneEstimate) -> set[str]:
        """Return the groups that those on a lane, or on the way to it, may want."""
        wanted = {vehicle.group for vehicle in lane.vehicles}
        known = {group for group in wanted if group is not None}
        return known.union(self.groups_of[lane.id]) if None in wanted or lane.standing else known

    def _told(self, lane: str, vehicles: Sequence[VehicleSeen]) -> Sequence[VehicleSeen]:
        """Return the vehicles seen on a lane with what they announce: a lane that leads one way tells it for them."""
        groups = self.groups_of[lane]
        if len(groups) > 1 or all(one.group is not None for one in vehicles):
            return vehicles
        return [one if one.group is not None else replace(one, group=groups[0]) for one in vehicles]

    def called(self, aspects: Aspects) -> frozenset[str]:
        """Return the red groups that somebody waits for: a vehicle stands at the line and may want them.

        Where nobody tells who stands at the line, somebody always may.
        """
        found = {name for name in self._waiting if aspects[name] not in GREENS}
        for lane in self.lanes.values():
            first = lane.vehicles[0].group if lane.vehicles else None
            unseen = lane.id in self._blind and not self._nobody(lane)
            if (lane.standing or unseen) and first is None:
                chances = lane.head_chances()
                found.update(
                    name
                    for name in self.groups_of[lane.id]
                    if aspects[name] not in GREENS and chances[name] >= CALL_CHANCE_MIN
                )
        return frozenset(found)

    def idle(self) -> frozenset[str]:
        """Return the groups that nobody wants: who does is in sight, and few ever do. On foot, somebody is at the kerb or nobody is.

        On a lane that is not watched somebody may always come.
        """
        return frozenset(group.id for group in self.sheet.groups if group.lanes and self._idle(group))

    def _idle(self, group: SignalGroup) -> bool:
        lanes = [self.lanes[name] for name in group.lanes]
        if group.kind is GroupKind.PEDESTRIAN:
            return not any(lane.expected or lane.standing for lane in lanes)
        return all(
            (lane.watched or self._nobody(lane))
            and lane.rate * lane.shares[group.id] < SELDOM
            and not any(one.group in {group.id, None} for one in lane.vehicles)
            for lane in lanes
        )

    def _nobody(self, lane: LaneEstimate) -> bool:
        """Tell whether it is known of a lane that nobody sees that nobody waits there."""
        return lane.id in self._followed and self._unseen.nobody(lane)

    def locked(self) -> tuple[str, ...]:
        """Return the lanes that stand although they had their green again and again, and start counting anew.

        One such lane alone is no lock: its first vehicle may only wish to change lanes.
        """
        lanes = tuple(lane.id for lane in self.lanes.values() if lane.locked_s >= LOCK_S)
        if len(lanes) < LOCKED_LANES_MIN:
            return ()
        for lane in self.lanes.values():
            lane.locked_s = 0
        return lanes

    def free(self, group: str) -> bool:
        """Tell whether at least one exit of a group has room, and nobody asks to keep it out of a short road."""
        return not self._leads_into(group, self.full_exits) and not self.short_roads.shut(group)

    def shut(self, group: str) -> bool:
        """Tell whether whoever a group lets go would have to stop in the junction, or on a short road behind it."""
        return self._leads_into(group, self._full_roads) or self.short_roads.shut(group)

    def _leads_into(self, group: str, exits: Collection[str]) -> bool:
        """Tell whether a group leads to these exits only."""
        own = self.exits_of[group]
        return bool(own) and all(name in exits for name in own)

    def pressed_s(self, lane: str, second_s: float) -> float | None:
        """Return for how long the queue of a lane has reached the junction before; nothing where it does not."""
        pressed = self._pressed_s.get(lane)
        return second_s - pressed[0] if pressed is not None else None

    def unseen(self) -> float:
        """Return the share of the lanes of which nobody tells who comes or who leaves."""
        return len(self._dark) / len(self.lanes) if self.lanes else 0.0

    def inside(self) -> frozenset[str]:
        """Return the announced groups of vehicles in the junction, moving or not."""
        return self._box.groups

    def held(self) -> frozenset[str]:
        """Return the groups of which somebody in the junction has found no gap for a while."""
        return self._box.held()

    def stuck(self) -> frozenset[str]:
        """Return the groups of vehicles that are stuck in the junction; all of its lane where none was announced."""
        found: set[str] = set()
        for one in self._box.stuck():
            found.update((one.group,) if one.group is not None else self.groups_of[one.lane])
        return frozenset(found)

    def _hear_lane(
        self, lane: LaneEstimate, second_s: float, readings: Mapping[str, LoopReading], aspects: Aspects
    ) -> None:
        lane.watched, lane.stuck_s = False, 0.0
        if lane.id in self._blind:
            self._hear_blind(lane, second_s, aspects)
            return
        covered_s = lane.covered_s
        stops = self._loops.working(STOP_LINE, lane.id)
        left = sum(readings[one.id].count for one in stops if one.id in readings)
        unexpected = lane.depart(left, second_s) if left > 0 else 0.0
        going = self._going(lane.id, aspects)
        if left > 0:
            for _ in range(round(left)):
                self._turns.departed(second_s, lane.id, going)
                self.crossing.passed(lane.id, going, aspects)
        self._upstream.explain(lane, unexpected, second_s, left_already=True)
        stop = self._loops.merged(stops)
        lane.standing = stop is not None and stop.standing
        lane.empty_s, lane.covered_s = (stop.empty_s, stop.covered_s) if stop is not None else (0, 0)
        counted = lane.id in self._counted
        if counted or not self._loops.declared(UPSTREAM, lane.id):
            came = lane.arrived if counted else left
            lane.rate += (came - lane.rate) / RATE_MEMORY_S
            self._unseen.learn(lane.id, came)
        else:
            self._unseen.hear_uncounted(
                lane, second_s, left, green=bool(going), announced=self._feeders.arrived[lane.id]
            )
        if lane.standing:
            self._upstream.explain(lane, lane.lacking(second_s), second_s, left_already=False)
        missing = lane.missing(second_s, going=bool(going))
        for vehicle in missing:
            if not self._upstream.move(lane, vehicle, second_s) and going:
                lane.doubt(vehicle, second_s)
        self._upstream.compare(lane, left, len(missing), stops)
        lane.reach_upstream(second_s, left, blocked=self._upstream.reached(lane, aspects))
        self._stall(lane, second_s, left, aspects, covered_s)

    def _hear_blind(self, lane: LaneEstimate, second_s: float, aspects: Aspects) -> None:
        """Nobody tells who leaves: known arrivals, or the usual demand, leave as the green lets them."""
        counted, out = lane.id in self._counted, self._out.get(lane.id, 0.0)
        announced = self._feeders.arrived[lane.id]
        if lane.id in self._followed:
            self._unseen.hear_followed(lane, second_s, aspects, out, announced=announced)
        else:
            self._unseen.hear_blind(lane, second_s, aspects, out, counted=counted, announced=announced)
        self.crossing.not_seen(lane.id, self.groups_of[lane.id], aspects, lane.due(second_s), out)
        # That some have left is only assumed here: a covered loop upstream says more.
        lane.reach_upstream(second_s, 0.0, blocked=self._upstream.reached(lane, aspects))
        lane.empty_s = lane.stood_s = lane.locked_s = 0

    def _going(self, lane: str, aspects: Aspects) -> tuple[str, ...]:
        return tuple(name for name in self.groups_of[lane] if aspects[name] in GOING)

    def _stall(self, lane: LaneEstimate, second_s: float, left: float, aspects: Aspects, covered_s: int) -> None:
        """Notice a head that stands under green: it wants another group, or it cannot go."""
        groups = self.groups_of[lane.id]
        shown = [aspects[name] for name in groups]
        green = not GREENS.isdisjoint(shown)
        if left > 0:
            if green:
                self.crossing.moves(lane.id)
            else:
                self.crossing.sets_off(lane.id, groups, covered_s)
            lane.next_head()
            return
        if not lane.standing:
            if green:
                self.crossing.moves(lane.id)
            lane.stood_s = 0
            return
        # Nobody is counted who leaves a kerb: others who come press the button all through the green.
        lane.locked_s += lane.id not in self.walkers.kerbs and all(aspect is Aspect.GREEN for aspect in shown)
        self._wait_at_green(lane, second_s, aspects)
        if all(self.free(name) for name in groups):
            self.crossing.stands(lane.id, groups, aspects, lane.stood_s)
        limit_s = STALL_YIELDING_S if Aspect.YIELDING in shown else STALL_S
        if lane.stood_s >= limit_s and all(aspect in GREENS for aspect in shown):
            lane.stalled_until_s = second_s + STALL_MEMORY_S

    def _wait_at_green(self, lane: LaneEstimate, second_s: float, aspects: Aspects) -> None:
        gaps_s = headways_s(self.sheet, self.lanes, lane, second_s, aspects)
        lane.wait_at_green({name: gap_s if self.free(name) else math.inf for name, gap_s in gaps_s.items()})
