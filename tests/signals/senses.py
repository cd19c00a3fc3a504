"""What the controllers of a run are told: loops, or who is on the way, and what of it is dead."""

import random
from collections.abc import Mapping

from maasloop.actuation.domain.signals.traffic.area import VehicleSeen
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading
from maasloop.twin.devices.controller import OCCUPANCY_DIGITS
from maasloop.twin.street.area import Approaching, AreaDetection
from maasloop.twin.street.simulation import StreetSimulation
from maasloop.twin.street.site import Junction, lane_names

Loops = Mapping[str, LoopReading]
Seen = Mapping[str, list[VehicleSeen]]


class Senses:
    """The detectors of all junctions. A dead one is silent: loop by loop, or lane by lane where areas are watched."""

    def __init__(self, street: StreetSimulation, detection: str, *, dead: float, seed: int) -> None:
        """Draw the dead detectors by the seed."""
        draw = random.Random(f"dead-{seed}")
        self._street = street
        announced = detection == "area"
        self._area = AreaDetection(street.site, announced=announced) if detection != "loops" else None
        self._lanes = {one.id: lane_names(one.network) for one in street.site.junctions}
        names = [name for junction in street.site.junctions for name in self._detectors(junction)]
        self._dead = frozenset(draw.sample(names, round(dead * len(names))))
        self._loops: dict[str, LoopReading] = {}
        self._seen: dict[str, list[Approaching]] = {}

    def sense(self) -> None:
        """Take in the second that just passed."""
        self._loops = {
            name: LoopReading(one.count, round(one.occupancy, OCCUPANCY_DIGITS))
            for name, one in self._street.loop_readings().items()
            if name not in self._dead
        }
        if self._area is not None:
            self._seen = self._area.see()

    def loops(self, junction: Junction) -> Loops:
        """Return what the loops of a junction saw; where areas are watched, only the exits have loops."""
        own = (loop.id for loop in junction.loops if self._area is None or loop.kind == "exit")
        return {name: self._loops[name] for name in (*own, *junction.feeders) if name in self._loops}

    def seen(self, junction: Junction) -> Seen | None:
        """Return who is on the way to each lane that is watched."""
        if self._area is None:
            return None
        names = self._lanes[junction.id]
        found: dict[str, list[VehicleSeen]] = {
            lane: [] for lane in names.values() if f"{junction.id}/{lane}" not in self._dead
        }
        for one in self._seen[junction.id]:
            lane = names[one.lane]
            if lane in found:
                found[lane].append(
                    VehicleSeen(one.vehicle, lane, one.distance_m, one.speed_mps, one.group, onward=one.onward)
                )
        return found

    def _detectors(self, junction: Junction) -> list[str]:
        if self._area is None:
            return [loop.id for loop in junction.loops]
        exits = [loop.id for loop in junction.loops if loop.kind == "exit"]
        return [*exits, *(f"{junction.id}/{lane}" for lane in self._lanes[junction.id].values())]
