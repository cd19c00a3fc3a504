"""Who holds back for whom: junctions in a row keep traffic out of a road between them on which somebody is stuck.

Which junctions are in a row follows from their sheets: one names an exit loop of the other as its feeder.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .estimate import LaneEstimate
from .sheet import DetectorPosition, Sheet

ASK_STUCK_S = 90.0
"""Who has stood so long on the way, with a free road ahead, is stuck at a place without signals."""
ASK_LOST = 12
"""When so many announced vehicles in a row did not come, nobody gets through."""
ASK_S = 15.0
ASK_PAUSE_S = 30.0

Exits = Mapping[str, frozenset[str]]
"""Junction to the exits that it is asked to let nobody into."""


@dataclass(frozen=True, slots=True)
class Asks:
    """The lanes of one junction for which those before it are to hold back."""

    stuck: frozenset[str] = frozenset()
    """On the way to them somebody is stuck."""
    closed: frozenset[str] = frozenset()
    """They belong to a short road, and whoever came would have to stand on it."""

    def __bool__(self) -> bool:
        """Tell whether anything is asked for."""
        return bool(self.stuck or self.closed)


class Neighbourhood:
    """The junctions of a district, as far as they feed one another."""

    def __init__(self, sheets: Iterable[Sheet]) -> None:
        """Find from the sheets which exit of which junction leads to which lane of another."""
        sheets = tuple(sheets)
        exits = {
            detector.id: (sheet.junction, name)
            for sheet in sheets
            for detector in sheet.detectors
            if detector.position is DetectorPosition.EXIT
            for name, _ in detector.serves
        }
        self._before: dict[str, dict[str, set[tuple[str, str]]]] = {}
        self._between: dict[tuple[str, str], set[str]] = {}
        for sheet in sheets:
            lanes = self._before[sheet.junction] = {}
            for detector in sheet.detectors:
                if detector.position is DetectorPosition.FEEDER and detector.id in exits:
                    junction, name = exits[detector.id]
                    self._between.setdefault((junction, sheet.junction), set()).add(name)
                    for lane, _ in detector.serves:
                        lanes.setdefault(lane, set()).add((junction, name))

    def hold_back(self, asks: Mapping[str, Asks]) -> Exits:
        """Return who has to hold back, from what each junction asks for.

        Where somebody is stuck on both sides: whom nobody lets in may have to cross either direction.
        """
        asked: dict[str, set[str]] = {}
        for junction, one in asks.items():
            lanes = self._before.get(junction, {})
            for lane in one.stuck | one.closed:
                for before, name in lanes.get(lane, ()):
                    asked.setdefault(before, set()).add(name)
                    if lane in one.stuck:
                        asked.setdefault(junction, set()).update(self._between.get((junction, before), ()))
        return {junction: frozenset(names) for junction, names in asked.items()}


class Asking:
    """On which lanes of one junction others are to hold back: for some seconds, and then not for some."""

    def __init__(self) -> None:
        """Begin with nobody asked."""
        self._since_s: dict[str, float] = {}

    def hear(self, second_s: float, lanes: Iterable[LaneEstimate]) -> frozenset[str]:
        """Return the lanes for which others are to hold back in this second."""
        return frozenset(lane.id for lane in lanes if self._asks(lane, second_s))

    def _asks(self, lane: LaneEstimate, second_s: float) -> bool:
        for_s = second_s - self._since_s.get(lane.id, -math.inf)
        if for_s < ASK_S:
            return True
        if for_s < ASK_S + ASK_PAUSE_S or (lane.stuck_s < ASK_STUCK_S and lane.lost < ASK_LOST):
            return False
        lane.lost = 0
        self._since_s[lane.id] = second_s
        return True
