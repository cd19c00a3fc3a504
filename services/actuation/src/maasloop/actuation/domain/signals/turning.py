"""Learns which way the vehicles of a lane go: from what was green when they left, and from the loops of the exits.

A loop cannot tell where a vehicle wants to go, and most lanes serve more than one signal group. But whoever left under a
single green went that way, and whoever left under several is seen again a few seconds later in an exit.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .sheet import Sheet

CROSSING_MIN_S = 2.0
CROSSING_MAX_S = 12.0
TURN_TRUST = 10.0
TURN_FADE = 0.985
PENDING_MAX = 64
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

    def departed(self, second_s: float, lane: str, ways: tuple[str, ...]) -> None:
        """Note a vehicle that left a lane while these of its groups were green."""
        if len(ways) == 1:
            self.credit(lane, ways[0])
            self._pending.append(_Departure(second_s, "", ways))
        elif ways:
            self._pending.append(_Departure(second_s, lane, ways))

    def known(self, second_s: float, ways: tuple[str, ...]) -> None:
        """Note a vehicle that left and of which nothing is to be learned: its way was announced."""
        if ways:
            self._pending.append(_Departure(second_s, "", ways))

    def seen(self, second_s: float, exits: Iterable[str]) -> list[str]:
        """Note vehicles over the loops of these exits, each the oldest departure that it can be; return the others."""
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
        """Learn that a vehicle of this lane went this way."""
        found, stated = self._found[lane], self._stated[lane]
        for known in found:
            found[known] *= TURN_FADE
        found[way] += 1.0
        base = sum(found.values()) + TURN_TRUST
        for known, count in found.items():
            self.shares[lane][known] = (count + TURN_TRUST * stated[known]) / base


def assumed_turns(sheet: Sheet, lane: str) -> dict[str, float]:
    """Return the shares of a lane that are assumed before anything is known of it."""
    weights = {group.id: TURN_WEIGHTS.get(group.turn, 0.5) for group in sheet.groups if lane in group.lanes}
    total = sum(weights.values()) or 1.0
    return {name: weight / total for name, weight in weights.items()}
