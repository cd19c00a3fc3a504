"""Turns the loops of one junction, second by second, into what its controller needs: lanes, calls and full exits."""

from collections.abc import Mapping, Sequence

from .area import STALL_MEMORY_S, STALL_S, STALL_YIELDING_S, AreaMemory, Box, VehicleSeen, waiting_groups
from .aspects import GREENS, Aspect, Aspects
from .estimate import (
    BLIND_AFTER_S,
    BLIND_RATE,
    RATE_MEMORY_S,
    Expected,
    LaneEstimate,
    LoopMemory,
    LoopReading,
    UpstreamShares,
    on_the_clock,
)
from .sheet import Detector, DetectorPosition, Sheet
from .turning import TurnShares

EXIT_STANDING_S = 4
LOCK_S = 45
LOCKED_LANES_MIN = 2
WANTS_OTHER_S = 4
CALL_CHANCE_MIN = 0.04
BLOCKING_SHARE_MIN = 0.3
TURN_WEIGHTS = {"s": 3.0, "r": 1.0, "l": 1.0}
_FREE_SPEED_SHARE = 0.95
_GOING = GREENS | {Aspect.YELLOW}


class Perception:
    """The estimate of one junction; ``hear`` brings it one second on."""

    def __init__(self, sheet: Sheet) -> None:
        """Begin with empty lanes."""
        self.sheet = sheet
        self.lanes: dict[str, LaneEstimate] = {}
        self.groups_of: dict[str, tuple[str, ...]] = {}
        self.exits_of = {group.id: group.exits for group in sheet.groups}
        self._turns = TurnShares({lane.id: _assumed_turns(sheet, lane.id) for lane in sheet.lanes}, self.exits_of)
        for lane in sheet.lanes:
            shares = self._turns.shares[lane.id]
            self.lanes[lane.id] = LaneEstimate(lane.id, lane.speed_mps, lane.headway_s, lane.storage_m, shares)
            self.groups_of[lane.id] = tuple(shares)
        self.full_exits: set[str] = set()
        self._areas: dict[str, AreaMemory] = {}
        self._waiting: set[str] = set()
        self._box = Box()
        self._loops = {detector.id: LoopMemory() for detector in sheet.detectors}
        self._stops = _by_lane(sheet, DetectorPosition.STOP_LINE, DetectorPosition.BUTTON)
        self._upstream = _by_lane(sheet, DetectorPosition.UPSTREAM)
        self._exits = _by_lane(sheet, DetectorPosition.EXIT)
        self._sources = {
            detector.id: UpstreamShares(dict(detector.serves))
            for detector in sheet.detectors
            if detector.position is DetectorPosition.UPSTREAM
        }
        self._distances_m = {detector.id: detector.distance_m for detector in sheet.detectors}
        self._beside = {
            lane: sorted(
                {other for source in self._sources.values() if lane in source.shares for other in source.shares}
                - {lane}
            )
            for lane in self.lanes
        }

    def hear(
        self,
        second_s: float,
        readings: Mapping[str, LoopReading],
        aspects: Aspects,
        seen: Mapping[str, Sequence[VehicleSeen]] | None = None,
    ) -> None:
        """Take in the readings of one second, what the signals showed in it, and who was seen on the lanes watched."""
        for name, reading in readings.items():
            memory = self._loops.get(name)
            if memory is not None:
                memory.hear(second_s, reading)
        self.full_exits = {
            name
            for name, detectors in self._exits.items()
            if any(self._loops[one.id].covered_s >= EXIT_STANDING_S for one, _ in detectors)
        }
        self._hear_upstream(second_s, readings)
        self._turns.seen(second_s, self._exits_passed(readings))
        watched = seen or {}
        self._waiting = {group for vehicles in watched.values() for group in waiting_groups(vehicles)}
        self._box.hear(second_s, [one for vehicles in watched.values() for one in vehicles])
        for lane in self.lanes.values():
            if lane.id in watched:
                self._areas.setdefault(lane.id, AreaMemory()).hear(lane, second_s, watched[lane.id], aspects)
            else:
                self._hear_lane(lane, second_s, readings, aspects)

    def called(self, aspects: Aspects) -> frozenset[str]:
        """Return the red groups that somebody waits for: a vehicle stands at the line and may want them."""
        found = {name for name in self._waiting if aspects[name] not in GREENS}
        for lane in self.lanes.values():
            first = lane.vehicles[0].group if lane.vehicles else None
            if lane.standing and first is None:
                chances = lane.head_chances()
                found.update(
                    name
                    for name in self.groups_of[lane.id]
                    if aspects[name] not in GREENS and chances[name] >= CALL_CHANCE_MIN
                )
        return frozenset(found)

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
        """Tell whether at least one exit of a group has room."""
        exits = self.exits_of[group]
        return not exits or not all(name in self.full_exits for name in exits)

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
        lane.watched = False
        stops = [detector for detector, _ in self._stops.get(lane.id, ())]
        left = sum(readings[one.id].count for one in stops if one.id in readings)
        unexpected = lane.depart(left) if left > 0 else 0.0
        if left > 0:
            going = tuple(name for name in self.groups_of[lane.id] if aspects[name] in _GOING)
            for _ in range(round(left)):
                self._turns.departed(second_s, lane.id, going)
        self._from_beside(lane, unexpected, second_s, left_already=True)
        upstream = self._upstream.get(lane.id, ())
        lane.rate += ((lane.arrived if upstream else left) - lane.rate) / RATE_MEMORY_S
        stop = self._stop_memory(stops)
        lane.standing = stop is not None and stop.standing
        lane.empty_s = stop.empty_s if stop is not None else 0
        if lane.standing:
            self._from_beside(lane, lane.lacking(second_s), second_s, left_already=False)
        for vehicle in lane.missing(second_s):
            self._to_beside(lane, vehicle, second_s)
        blocked = any(
            self._loops[one.id].standing and self._sources[one.id].shares[lane.id] >= BLOCKING_SHARE_MIN
            for one, _ in upstream
        )
        lane.reach_upstream(blocked=blocked)
        self._blind(lane, second_s, stop)
        self._stall(lane, second_s, left, aspects)

    def _hear_upstream(self, second_s: float, readings: Mapping[str, LoopReading]) -> None:
        for lane in self.lanes.values():
            lane.arrived = 0.0
        for name, source in self._sources.items():
            reading = readings.get(name)
            for _ in range(round(reading.count) if reading is not None else 0):
                chosen = source.assign()
                if chosen is not None:
                    lane = self.lanes[chosen]
                    travel_s = self._distances_m[name] / (lane.speed_mps * _FREE_SPEED_SHARE)
                    lane.arrive(second_s + on_the_clock(travel_s), 1.0, source)

    def _exits_passed(self, readings: Mapping[str, LoopReading]) -> list[str]:
        return [
            name
            for name, detectors in self._exits.items()
            for one, _ in detectors
            for _ in range(round(readings[one.id].count) if one.id in readings else 0)
        ]

    def _from_beside(self, lane: LaneEstimate, count: float, second_s: float, *, left_already: bool) -> None:
        """Account for a vehicle nobody had expected on this lane: one expected on a lane beside is it, if overdue."""
        if count <= 0.0:
            return
        given = (self.lanes[name].give_up(second_s) for name in self._beside[lane.id])
        vehicle = next((one for one in given if one is not None), None)
        source = vehicle.source if vehicle is not None else None
        if not left_already:
            lane.arrive(second_s, count, source)
        elif source is not None:
            source.found(lane.id, count)
        else:
            own = [self._sources[detector.id] for detector, _ in self._upstream.get(lane.id, ())]
            total = sum(one.stated(lane.id) for one in own)
            for one in own:
                one.found(lane.id, count * one.stated(lane.id) / total)

    def _to_beside(self, lane: LaneEstimate, vehicle: Expected, second_s: float) -> None:
        """Move a vehicle that did not come here to a lane beside where somebody stands; else it went elsewhere."""
        for name in self._beside[lane.id]:
            other = self.lanes[name]
            if other.standing and vehicle.source is not None and name in vehicle.source.shares:
                other.take_in(vehicle, second_s)
                return

    def _stop_memory(self, stops: list[Detector]) -> LoopMemory | None:
        memories = [self._loops[one.id] for one in stops]
        if len(memories) <= 1:
            return memories[0] if memories else None
        return LoopMemory(
            covered_s=max(one.covered_s for one in memories),
            empty_s=min(one.empty_s for one in memories),
            heard_s=min(one.heard_s for one in memories),
        )

    @staticmethod
    def _blind(lane: LaneEstimate, second_s: float, stop: LoopMemory | None) -> None:
        """Assume a modest demand on a lane whose stop line is silent, so that it is served at all."""
        if stop is None or second_s - stop.heard_s > BLIND_AFTER_S:
            lane.arrive(second_s, BLIND_RATE)
            lane.standing = True
            while lane.queue > lane.storage_m / 7.0:
                lane.depart(1.0)

    def _stall(self, lane: LaneEstimate, second_s: float, left: float, aspects: Aspects) -> None:
        """Notice a head that stands under green: it wants another group, or it cannot go."""
        shown = [aspects[name] for name in self.groups_of[lane.id]]
        if left > 0:
            lane.excluded.clear()
            lane.stalled_until_s = 0.0
            lane.locked_s = 0
        if left > 0 or not lane.standing or not any(aspect in GREENS for aspect in shown):
            lane.stood_s = 0
            return
        lane.stood_s += 1
        lane.locked_s += all(aspect is Aspect.GREEN for aspect in shown)
        if lane.stood_s >= WANTS_OTHER_S:
            green = {name for name in self.groups_of[lane.id] if aspects[name] is Aspect.GREEN and self.free(name)}
            lane.excluded |= green
        limit_s = STALL_YIELDING_S if Aspect.YIELDING in shown else STALL_S
        if lane.stood_s >= limit_s and all(aspect in GREENS for aspect in shown):
            lane.stalled_until_s = second_s + STALL_MEMORY_S


def _assumed_turns(sheet: Sheet, lane: str) -> dict[str, float]:
    weights = {group.id: TURN_WEIGHTS.get(group.turn, 0.5) for group in sheet.groups if lane in group.lanes}
    total = sum(weights.values()) or 1.0
    return {name: weight / total for name, weight in weights.items()}


def _by_lane(sheet: Sheet, *positions: DetectorPosition) -> dict[str, list[tuple[Detector, float]]]:
    found: dict[str, list[tuple[Detector, float]]] = {}
    for detector in sheet.detectors:
        if detector.position in positions:
            for lane, share in detector.serves:
                found.setdefault(lane, []).append((detector, share))
    return found
