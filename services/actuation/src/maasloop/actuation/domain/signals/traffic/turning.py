"""Learns which way the vehicles of a lane go: from what was green when they left, and from the loops of the exits.

A loop cannot tell where a vehicle wants to go, and most lanes serve more than one signal group. But whoever left under a
single green went that way, and whoever left under several is seen again a few seconds later in an exit.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from maasloop.actuation.domain.signals.sheet import Sheet

CROSSING_MIN_S = 2.0
CROSSING_MAX_S = 12.0
TURN_TRUST = 10.0
TURN_FADE = 0.985
PENDING_MAX = 64
UNSEEN_SHARE_MAX = 0.95
"""Where more of a lane's vehicles go where no exit tells, the others tell nothing of them."""
NOBODY: Mapping[str, float] = {}
TURN_WEIGHTS = {"s": 3.0, "r": 1.0, "R": 1.0, "l": 1.0, "L": 1.0, "t": 0.02}
"""How often lanes are used each way, as long as nothing is known of them; who turns round is rare."""


@dataclass
class _Departure:
    second_s: float
    lane: str
    """Empty where nothing is left to learn of it."""
    ways: tuple[str, ...]


class TurnShares:
    """The shares of one junction: lane to group to share."""

    def __init__(self, stated: Mapping[str, Mapping[str, float]], exits_of: Mapping[str, tuple[str, ...]]) -> None:
        """Begin with assumed shares; ``exits_of`` names the exits of each group."""
        self.shares: dict[str, dict[str, float]] = {lane: dict(ways) for lane, ways in stated.items()}
        self._stated = {lane: dict(ways) for lane, ways in stated.items()}
        self._found = {lane: dict.fromkeys(ways, 0.0) for lane, ways in stated.items()}
        self._exits_of = exits_of
        self._pending: deque[_Departure] = deque(maxlen=PENDING_MAX)
        self._silent: frozenset[str] = frozenset()
        self._seen: dict[str, float] = {}

    def see(self, lane: str, share: float | None) -> None:
        """Note which share of a lane's vehicles the exits see, where that is known better than by the shares."""
        if share is None:
            self._seen.pop(lane, None)
        else:
            self._seen[lane] = share

    def departed(self, second_s: float, lane: str, ways: tuple[str, ...]) -> None:
        """Note a vehicle that left a lane while these of its groups were green."""
        if len(ways) == 1:
            self._learn(lane, ways[0])
            self._pending.append(_Departure(second_s, "", ways))
        elif ways:
            self._pending.append(_Departure(second_s, lane, ways))

    def known(self, second_s: float, ways: tuple[str, ...]) -> None:
        """Note a vehicle that left and of which nothing is to be learned: its way was announced."""
        if ways:
            self._pending.append(_Departure(second_s, "", ways))

    def seen(self, second_s: float, exits: Iterable[str], silent: frozenset[str] = frozenset()) -> list[str]:
        """Note vehicles over the loops of these exits, each the oldest departure that it can be; return the others.

        Over the ``silent`` ones nobody is seen.
        """
        self._silent = silent
        while self._pending and second_s - self._pending[0].second_s > CROSSING_MAX_S:
            self._pending.popleft()
        return [name for name in exits if not self.explained(second_s, frozenset((name,)))]

    def explained(self, second_s: float, exits: frozenset[str]) -> bool:
        """Tell whether a departure that was to come out of one of these exits is over now; it is forgotten."""
        for departure in self._pending:
            if second_s - departure.second_s < CROSSING_MIN_S:
                return False
            ways = [way for way in departure.ways if not exits.isdisjoint(self._exits_of[way])]
            if ways:
                if departure.lane:
                    self.credit(departure.lane, ways[0])
                self._pending.remove(departure)
                return True
        return False

    def credit(self, lane: str, way: str) -> None:
        """Learn that a vehicle of this lane was seen to go this way: for each one others go where no exit tells."""
        unseen = [one for one in self._found[lane] if one != way and self._silent.issuperset(self._exits_of[one])]
        share = sum(self.shares[lane][one] for one in unseen)
        others = {}
        if 0.0 < share < UNSEEN_SHARE_MAX:
            seen = self._seen.get(lane, 1.0 - share)
            others = {one: self.shares[lane][one] / share * (1.0 - seen) / seen for one in unseen}
        self._learn(lane, way, others)

    def _learn(self, lane: str, way: str, others: Mapping[str, float] = NOBODY) -> None:
        found, stated = self._found[lane], self._stated[lane]
        for known in found:
            found[known] = found[known] * TURN_FADE + others.get(known, 0.0)
        found[way] += 1.0
        base = sum(found.values()) + TURN_TRUST
        for known, count in found.items():
            self.shares[lane][known] = (count + TURN_TRUST * stated[known]) / base


def assumed_turns(sheet: Sheet, lane: str) -> dict[str, float]:
    """Return the shares of a lane that are assumed before anything is known of it."""
    weights = {group.id: TURN_WEIGHTS.get(group.turn, 0.5) for group in sheet.groups if lane in group.lanes}
    total = sum(weights.values()) or 1.0
    return {name: weight / total for name, weight in weights.items()}
