"""What junctions in a row tell one another: where somebody is stuck, where nobody finds room, and who is about to come.

Which junctions are in a row follows from their sheets: one names an exit loop of the other as its feeder.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from maasloop.actuation.domain.signals.sheet import DetectorPosition, Sheet

from .estimate import Expected, LaneEstimate

ASK_STUCK_S = 90.0
"""Who has stood so long on the way, with a free road ahead, is stuck at a place without signals."""
ASK_LOST = 12
"""When so many announced vehicles in a row did not come, nobody gets through."""
ASK_S = 15.0
ASK_PAUSE_S = 30.0

Coming = Mapping[str, tuple[Expected, ...]]
"""Exit, or lane that it leads to, to those who are about to go there, first in first out."""


@dataclass(frozen=True, slots=True)
class Says:
    """What one junction tells the others in one second."""

    stuck: frozenset[str] = frozenset()
    """Lanes on the way to which somebody is stuck: those before them are to hold back."""
    closed: frozenset[str] = frozenset()
    """Lanes of short roads on which whoever came would have to stand: the same."""
    standing: frozenset[str] = frozenset()
    """Those of them on which somebody does."""
    leaving: Coming = field(default_factory=dict)
    """By exits to short roads: who is on the way to the lines before them."""
    sending: frozenset[str] = frozenset()
    """Exits to short roads that vehicles are let go to, or were a moment ago."""
    opening: frozenset[str] = frozenset()
    """Those that vehicles are let go to as soon as the sequence is over that is asked for."""

    def __bool__(self) -> bool:
        """Tell whether anything is said."""
        return bool(self.stuck or self.closed or self.leaving or self.sending or self.opening)


@dataclass(frozen=True, slots=True)
class Hears:
    """What the others of its district tell one junction."""

    held_back: frozenset[str] = frozenset()
    """Exits that nobody is to be let into."""
    standing: frozenset[str] = frozenset()
    """Those of them where somebody stands on the short road behind."""
    coming: Coming = field(default_factory=dict)
    """By lanes of short roads: who has the signal before to pass first; each when he is at its line if nothing holds him up."""
    sent_to: frozenset[str] = frozenset()
    """Lanes of short roads that the signal before lets vehicles go to."""
    opened_to: frozenset[str] = frozenset()
    """Those that it is about to."""


NOTHING_HEARD = Hears()


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
        self._behind: dict[tuple[str, str], list[tuple[str, str, float]]] = {}
        """Exit to the lanes that it leads to, with the share of each."""
        for sheet in sheets:
            lanes = self._before[sheet.junction] = {}
            for detector in sheet.detectors:
                if detector.position is DetectorPosition.FEEDER and detector.id in exits:
                    junction, name = exits[detector.id]
                    self._between.setdefault((junction, sheet.junction), set()).add(name)
                    for lane, _ in detector.serves:
                        lanes.setdefault(lane, set()).add((junction, name))
                        share = 1.0 / len(detector.serves)
                        self._behind.setdefault((junction, name), []).append((sheet.junction, lane, share))

    def pass_on(self, says: Mapping[str, Says]) -> Mapping[str, Hears]:
        """Return what each junction hears of what the others say.

        Where somebody is stuck both sides hold back: whom nobody lets in may have to cross either direction.
        """
        held_back: dict[str, set[str]] = {}
        standing: dict[str, set[str]] = {}
        coming: dict[str, dict[str, tuple[Expected, ...]]] = {}
        for junction, one in says.items():
            lanes = self._before.get(junction, {})
            for lane in one.stuck | one.closed:
                for before, name in lanes.get(lane, ()):
                    held_back.setdefault(before, set()).add(name)
                    if lane in one.standing:
                        standing.setdefault(before, set()).add(name)
                    if lane in one.stuck:
                        held_back.setdefault(junction, set()).update(self._between.get((junction, before), ()))
        leaving = {(junction, name): who for junction, one in says.items() for name, who in one.leaving.items()}
        for (junction, name), who in leaving.items():
            for behind, lane, share in self._behind.get((junction, name), ()):
                shared = (Expected(one.at_s, one.weight * share) for one in who)
                coming.setdefault(behind, {})[lane] = (*coming.get(behind, {}).get(lane, ()), *shared)
        sent_to = self._lanes_behind({junction: one.sending for junction, one in says.items()})
        opened_to = self._lanes_behind({junction: one.opening for junction, one in says.items()})
        return {
            junction: Hears(
                held_back=frozenset(held_back.get(junction, ())),
                standing=frozenset(standing.get(junction, ())),
                coming=coming.get(junction, {}),
                sent_to=frozenset(sent_to.get(junction, ())),
                opened_to=frozenset(opened_to.get(junction, ())),
            )
            for junction in (held_back.keys() | coming.keys() | sent_to.keys() | opened_to.keys())
        }

    def _lanes_behind(self, exits: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
        """Return by junction its lanes to which exits of the others lead."""
        found: dict[str, set[str]] = {}
        for junction, names in exits.items():
            for name in names:
                for behind, lane, _ in self._behind.get((junction, name), ()):
                    found.setdefault(behind, set()).add(lane)
        return found


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
