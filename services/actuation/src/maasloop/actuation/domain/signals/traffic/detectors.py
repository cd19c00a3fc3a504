"""The loops of one junction: what each has said, and which of them can be believed."""

from collections.abc import Iterable, Mapping, Sequence

from maasloop.actuation.domain.signals.sheet import Detector, DetectorPosition, Sheet

from .estimate import LoopMemory, LoopReading

EXIT_STANDING_S = 4

Readings = Mapping[str, LoopReading]


class Detectors:
    """``hear`` takes in one second; a loop that has failed is as if it were not there until it works again."""

    def __init__(self, sheet: Sheet) -> None:
        """Know which loops serve which lane or exit."""
        self.memory = {detector.id: LoopMemory() for detector in sheet.detectors}
        self.distance_m = {detector.id: detector.distance_m for detector in sheet.detectors}
        self._serving = {position: _by_lane(sheet, position) for position in DetectorPosition}
        self._serving[DetectorPosition.STOP_LINE] = _by_lane(sheet, DetectorPosition.STOP_LINE, DetectorPosition.BUTTON)
        self._failed: set[str] = set()
        self._begun = False

    def hear(self, second_s: float, readings: Readings) -> Readings:
        """Take in the readings of one second; return those that can be believed."""
        if not self._begun:
            # A loop is silent only once it has had the time to speak.
            self._begun = True
            for memory in self.memory.values():
                memory.heard_s = second_s
        for name, reading in readings.items():
            known = self.memory.get(name)
            if known is not None:
                known.hear(second_s, reading)
        self._failed = {name for name, memory in self.memory.items() if memory.failed(second_s)}
        return {name: one for name, one in readings.items() if name not in self._failed}

    def failed(self, name: str) -> bool:
        """Tell whether a loop has failed."""
        return name in self._failed

    def declared(self, position: DetectorPosition, lane: str) -> Sequence[Detector]:
        """Return the loops that the sheet gives a lane or an exit, working or not."""
        return self._serving[position].get(lane, ())

    def working(self, position: DetectorPosition, lane: str) -> list[Detector]:
        """Return those of them that can be believed."""
        return [one for one in self.declared(position, lane) if one.id not in self._failed]

    def standing(self, name: str) -> bool:
        """Tell whether a vehicle stands on a loop."""
        return self.memory[name].standing

    def full_exits(self, from_m: float = 0.0) -> set[str]:
        """Return the exits on whose loops, so far behind the junction or further, somebody has stood for some seconds."""
        return self._stood_upon(DetectorPosition.EXIT, from_m)

    def silent_exits(self, exits: Iterable[str]) -> frozenset[str]:
        """Return those of some exits where no loop tells who comes out."""
        return frozenset(name for name in exits if not self.working(DetectorPosition.EXIT, name))

    def backed_up(self) -> set[str]:
        """Return the lanes on whose feeders somebody has stood for some seconds: the queue fills the road."""
        return self._stood_upon(DetectorPosition.FEEDER)

    def exits_passed(self, readings: Readings) -> list[str]:
        """Return the exits that vehicles left by in this second, one entry a vehicle."""
        return [
            name
            for name, detectors in self._serving[DetectorPosition.EXIT].items()
            for one in detectors
            for _ in range(round(readings[one.id].count) if one.id in readings else 0)
        ]

    def merged(self, detectors: Sequence[Detector]) -> LoopMemory | None:
        """Return what several loops of one stop line mean together; nothing where there is none."""
        memories = [self.memory[one.id] for one in detectors]
        if len(memories) <= 1:
            return memories[0] if memories else None
        return LoopMemory(
            covered_s=max(one.covered_s for one in memories),
            empty_s=min(one.empty_s for one in memories),
            heard_s=min(one.heard_s for one in memories),
        )

    def _stood_upon(self, position: DetectorPosition, from_m: float = 0.0) -> set[str]:
        """Return the lanes or exits on one of whose loops somebody has stood for ``EXIT_STANDING_S``."""
        return {
            name
            for name in self._serving[position]
            if any(
                one.distance_m >= from_m and self.memory[one.id].covered_s >= EXIT_STANDING_S
                for one in self.working(position, name)
            )
        }


def _by_lane(sheet: Sheet, *positions: DetectorPosition) -> dict[str, list[Detector]]:
    found: dict[str, list[Detector]] = {}
    for detector in sheet.detectors:
        if detector.position in positions:
            for lane, _ in detector.serves:
                found.setdefault(lane, []).append(detector)
    return found
