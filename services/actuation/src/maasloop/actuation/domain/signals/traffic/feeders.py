"""Who is on the way from the junctions before: the loops of their exits tell that somebody comes, not to which lane."""

from collections import Counter
from collections.abc import Collection, Mapping

from maasloop.actuation.domain.signals.sheet import Detector, DetectorPosition, Sheet

from .detectors import Detectors, Readings
from .estimate import ANNOUNCED_TOLERANCE_S, Expected, LaneEstimate
from .upstream_shares import FEEDER_TRUST, UpstreamShares, beside


class Feeders:
    """The feeders of one junction: ``hear`` announces who passed them to the lanes that they are taken to go to."""

    def __init__(self, sheet: Sheet, lanes: Mapping[str, LaneEstimate], loops: Detectors) -> None:
        """Begin with nobody on the way."""
        self._lanes = lanes
        self._loops = loops
        self._only_from_feeders = frozenset(lane.id for lane in sheet.lanes if lane.only_from_feeders)
        self._sources = {
            detector.id: self._shares(detector)
            for detector in sheet.detectors
            if detector.position is DetectorPosition.FEEDER
        }
        self._beside = {name: beside(self._sources.values(), name) for name in lanes}
        self._reach_s = {name: lane.travel_s(lane.storage_m) - ANNOUNCED_TOLERANCE_S for name, lane in lanes.items()}
        self.arrived: Counter[str] = Counter()
        """By lanes that nobody counts: how many were due in the second heard last."""

    def hear(
        self,
        second_s: float,
        readings: Readings,
        watched: Collection[str],
        counted: Collection[str],
        blind: Collection[str],
    ) -> None:
        """Take in one second, in which some lanes are ``watched``, to some who comes is ``counted``, and some are ``blind``.

        Who has not come to a lane that is told of by his time went elsewhere; to the others all are taken to come.
        """
        for name, source in self._sources.items():
            reading = readings.get(name)
            for _ in range(round(reading.count) if reading is not None else 0):
                chosen = source.assign() or self._only_way(source, counted)
                if chosen is not None and chosen not in watched:
                    lane = self._lanes[chosen]
                    lane.announce(Expected(second_s + lane.travel_s(self._loops.distance_m[name]), 1.0, source))
        self.arrived.clear()
        for name, lane in self._lanes.items():
            if name in watched or name in counted:
                lane.overdue(second_s + self._reach_s[name])
            else:
                self._let_arrive(lane, second_s, unconfirmed=name in blind)

    def tell_all(self, lane: str) -> bool:
        """Tell whether everybody who comes to a lane passes its feeders, nobody else does, and all of these work."""
        own = [name for name, source in self._sources.items() if lane in source.shares]
        alone = all(len(self._sources[name].shares) == 1 and not self._loops.failed(name) for name in own)
        return lane in self._only_from_feeders and alone

    def confirm(self, lane: LaneEstimate, at_s: float) -> None:
        """Note that a loop of a lane saw somebody who is due at its line then: he is one of those announced."""
        lane.confirm(at_s, (self._lanes[name] for name in self._beside[lane.id]))

    def _shares(self, detector: Detector) -> UpstreamShares:
        """Return the shares to begin with: on a road without another way all stay on their lane, but for those who change it."""
        lanes = [lane for lane, _ in detector.serves]
        if len(lanes) == 1 and lanes[0] in self._only_from_feeders:
            return UpstreamShares({lanes[0]: 1.0}, FEEDER_TRUST, closed=False)
        return UpstreamShares(dict(detector.serves), FEEDER_TRUST)

    def _only_way(self, source: UpstreamShares, counted: Collection[str]) -> str | None:
        """Return the lane of one who is taken to go elsewhere, where there is nowhere else and no loop tells who changes lanes."""
        for lane in source.shares:
            if lane not in counted and self.tell_all(lane):
                return lane
        return None

    def _let_arrive(self, lane: LaneEstimate, second_s: float, *, unconfirmed: bool) -> None:
        come = lane.overdue(second_s + 1.0)
        self.arrived[lane.id] = len(come)
        for vehicle in come:
            if vehicle.source is not None and unconfirmed:
                lane.arrive_unconfirmed(vehicle.at_s, vehicle.weight, vehicle.source)
            else:
                lane.arrive(vehicle.at_s, vehicle.weight)
        # Nobody tells whether they come: all are expected.
        lane.lost, lane.came = 0, 1.0
