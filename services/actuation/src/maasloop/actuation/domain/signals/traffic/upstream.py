"""Who comes, as the loops before the lines tell: each vehicle is taken to go to one of the lanes behind its loop.

What the lines show corrects it: somebody whom nobody had expected came over one of these loops, or was expected on a lane
beside; somebody who does not come went to one.
"""

from collections.abc import Collection, Mapping, Sequence

from maasloop.actuation.domain.signals.aspects import GREENS, Aspects
from maasloop.actuation.domain.signals.sheet import Detector, DetectorPosition, Sheet

from .detectors import Detectors, Readings
from .estimate import EMPTY_S, Expected, LaneEstimate
from .feeders import Feeders
from .upstream_queue import reaches
from .upstream_shares import UpstreamShares, beside

MAIN_SHARE_MIN = 0.5
UPSTREAM = DetectorPosition.UPSTREAM


class Upstream:
    """The upstream loops of one junction: ``hear`` lets who passed them arrive."""

    def __init__(self, sheet: Sheet, lanes: Mapping[str, LaneEstimate], loops: Detectors) -> None:
        """Begin with the shares that the sheet states."""
        self._lanes = lanes
        self._loops = loops
        self.sources = {
            detector.id: UpstreamShares(dict(detector.serves))
            for detector in sheet.detectors
            if detector.position is UPSTREAM
        }
        self._beside = {name: beside(self.sources.values(), name) for name in lanes}

    def hear(self, second_s: float, readings: Readings, blind: Collection[str], feeders: Feeders) -> None:
        """Begin a second; let those arrive who passed a loop in it, to the line of a ``blind`` lane unconfirmed."""
        for lane in self._lanes.values():
            lane.arrived = 0.0
        for name, source in self.sources.items():
            reading = readings.get(name)
            for _ in range(round(reading.count) if reading is not None else 0):
                chosen = source.assign()
                if chosen is None:
                    continue
                lane = self._lanes[chosen]
                at_s = second_s + lane.travel_s(self._loops.distance_m[name])
                feeders.confirm(lane, at_s)
                if chosen in blind:
                    lane.arrive_unconfirmed(at_s, 1.0, source)
                else:
                    lane.arrive(at_s, 1.0, source)

    def counts(self, lane: str) -> bool:
        """Tell whether loops count most of those who come to a lane."""
        stated = {one.id: self.sources[one.id].stated(lane) for one in self._loops.declared(UPSTREAM, lane)}
        working = sum(share for name, share in stated.items() if not self._loops.failed(name))
        return working > sum(stated.values()) * MAIN_SHARE_MIN

    def reached(self, lane: LaneEstimate, aspects: Aspects) -> bool:
        """Tell whether who stands on an upstream loop waits for this lane."""
        loops = self._loops.working(UPSTREAM, lane.id)
        covered = [self.sources[one.id].shares for one in loops if self._loops.standing(one.id)]
        if not covered:
            return False
        idle = [one for one in self._lanes.values() if one.empty_s >= EMPTY_S]
        free = {one.id for one in idle if any(aspects[way] in GREENS for way in one.shares)}
        return reaches(lane, self._lanes, covered, free)

    def compare(self, lane: LaneEstimate, left: float, missing: int, stops: Sequence[Detector]) -> None:
        """Notice a loop that misses who passes: its upstream loop counts them, or its stop line does."""
        for one in self._loops.declared(UPSTREAM, lane.id):
            if self.sources[one.id].stated(lane.id) >= MAIN_SHARE_MIN:
                self._loops.memory[one.id].passed_by += left
                # Whom nobody counted upstream the stop line cannot have missed.
                for stop in () if self._loops.failed(one.id) else stops:
                    self._loops.memory[stop.id].passed_by += missing

    def explain(self, lane: LaneEstimate, count: float, second_s: float, *, left_already: bool) -> None:
        """Account for a vehicle nobody had expected: it was given up too soon, or one overdue on a lane beside is it."""
        if count > 0.0 and lane.recall(second_s):
            count = lane.depart(count, second_s) if left_already else lane.lacking(second_s)
        if count <= 0.0:
            return
        given = (self._lanes[name].give_up(second_s) for name in self._beside[lane.id])
        vehicle = next((one for one in given if one is not None), None)
        source = vehicle.source if vehicle is not None else None
        if not left_already:
            lane.stand(second_s, count, source)
        elif source is not None:
            source.found(lane.id, count)
        else:
            own = [self.sources[one.id] for one in self._loops.declared(UPSTREAM, lane.id)]
            # It came over the loop that rather misses somebody.
            parts = [one.stated(lane.id) * one.lost() for one in own]
            for one, part in zip(own, parts, strict=True):
                one.found(lane.id, count * part / sum(parts))

    def move(self, lane: LaneEstimate, vehicle: Expected, second_s: float) -> bool:
        """Move a vehicle that did not come here to a lane beside where somebody stands; tell whether there is one."""
        for name in self._beside[lane.id]:
            other = self._lanes[name]
            there = vehicle.source is not None and name in vehicle.source.shares
            if there and other.standing and other.counted < other.room:
                other.take_in(vehicle, second_s)
                return True
        return False
