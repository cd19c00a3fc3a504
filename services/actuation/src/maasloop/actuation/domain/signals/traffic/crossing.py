"""Who passed a line and has not come out of the junction, as the loops at the line and in the exits tell."""

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from maasloop.actuation.domain.signals.aspects import GOING, GREENS, Aspect, Aspects

from .turning import CROSSING_MAX_S, CROSSING_MIN_S

USUAL_S = 7.0
"""From the line to the loop of the exit it is taken to be so far, until it is known."""
USUAL_STEP_S = 0.25
LATE_S = 0.5
"""Who is not out so long after half of the others would be is late."""
GAVE_WAY_S = 2.0
"""Who had to give way and is so late has waited inside for a gap."""
GAVE_WAY_LANES = 2
"""Those of so many lanes leave together when their green ends, each across the way of others."""
END_S = 3.0
"""Who passed the line in the last seconds of green, or later, may meet them."""
WAIT_MAX_S = 4.0
"""Nobody waits for somebody inside who has had red for longer."""
HELD_UP_S = 4
"""Who has stood for so long at a green in which he need not give way is held up inside, and may be over his line himself."""
QUIET_S = 9
"""For so long nobody comes out of the green of a lane that is not seen, where one who gives way inside may hold up others."""
KEPT_S = 30.0
"""Who has not come out by then left where no loop lies."""
KEPT_MAX = 64
TRUST_MIN = 0.7
TRUST_STEP = 0.1
"""What one vehicle adds to the trust that those of its lane are seen when they come out, or takes from it."""


@dataclass(frozen=True, slots=True)
class _Passage:
    second_s: float
    lane: str
    groups: tuple[str, ...]
    exits: frozenset[str]
    yielding: bool
    """It may have to give way inside the junction."""


@dataclass(frozen=True, slots=True)
class _HeldUp:
    """The first of a lane, who stands at its line in a green that is his, or has left it when that was over."""

    groups: tuple[str, ...]
    left_s: float | None = None
    """When he set off, if that was after his green."""


class Crossing:
    """The passages of one junction that are not over."""

    def __init__(self, exits_of: Mapping[str, tuple[str, ...]], lanes: Iterable[str]) -> None:
        """Begin with an empty junction; ``exits_of`` names the exits of each group."""
        self._exits_of = exits_of
        self._usual_s = dict.fromkeys(lanes, USUAL_S)
        self._trust = dict.fromkeys(self._usual_s, 0.0)
        self._inside: deque[_Passage] = deque(maxlen=KEPT_MAX)
        self._green_s = dict.fromkeys(exits_of, -math.inf)
        self._going_s = dict(self._green_s)
        self._second_s = -math.inf
        self._held_up: dict[str, _HeldUp] = {}
        self._quiet_s: dict[str, int] = {}
        self._silent: Collection[str] = ()

    def hear(self, second_s: float, aspects: Aspects, out: Iterable[str], silent: Collection[str]) -> None:
        """Take in what the groups show, and the exits by which vehicles came ``out``: each is the first that it can be.

        Nobody is waited for whose exits are ``silent``: no loop tells who comes out there.
        """
        self._second_s, self._silent = second_s, silent
        self._green_s.update((name, second_s) for name, aspect in aspects.items() if aspect in GREENS)
        self._going_s.update((name, second_s) for name, aspect in aspects.items() if aspect in GOING)
        while self._inside and second_s - self._inside[0].second_s > KEPT_S:
            lane = self._inside.popleft().lane
            self._trust[lane] -= TRUST_STEP * self._trust[lane]
        for lane, one in tuple(self._held_up.items()):
            if one.left_s is not None and second_s - one.left_s > self._out_s(lane):
                del self._held_up[lane]
        for name in out:
            self._out(name)

    def passed(self, lane: str, groups: tuple[str, ...], aspects: Aspects) -> None:
        """Note a vehicle that passed its line in the second heard last, while these of its groups let it go."""
        exits = frozenset(name for group in groups for name in self._exits_of[group])
        if exits:
            yielding = any(aspects[group] is Aspect.YIELDING for group in groups)
            self._inside.append(_Passage(self._second_s, lane, groups, exits, yielding))

    def stands(self, lane: str, groups: tuple[str, ...], aspects: Aspects, stood_s: int) -> None:
        """Note for how long the first of a lane has stood at a green with free exits.

        Where all of its groups are protected it is somebody inside who holds him up, and whom the loops have lost sight of.
        """
        if stood_s >= HELD_UP_S and all(aspects[group] is Aspect.GREEN for group in groups):
            self._held_up[lane] = _HeldUp(groups)

    def not_seen(self, lane: str, groups: tuple[str, ...], aspects: Aspects, waiting: float, out: float) -> None:
        """Note how many are taken to be ``waiting`` on a lane that nobody sees, and how many of it came ``out``.

        Where somebody waits in green and for a while nobody has come out, one who gives way holds up others inside.
        """
        shown = {aspects[group] for group in groups}
        if GREENS.isdisjoint(shown):
            self._quiet_s.pop(lane, None)
            return
        self._quiet_s[lane] = 0 if out > 0.0 else self._quiet_s.get(lane, 0) + 1
        told = all(name not in self._silent for group in groups for name in self._exits_of[group])
        if told and Aspect.YIELDING in shown and waiting >= 1.0 and self._quiet_s[lane] >= QUIET_S:
            self._held_up[lane] = _HeldUp(groups)
        else:
            self._held_up.pop(lane, None)

    def moves(self, lane: str) -> None:
        """Note that the first of a lane has left its line in green, or that nobody stands there."""
        self._held_up.pop(lane, None)

    def sets_off(self, lane: str, groups: tuple[str, ...], stood_s: int) -> None:
        """Note that one who stood at his line for so long has left it when his green was over."""
        if stood_s >= HELD_UP_S:
            self._held_up[lane] = _HeldUp(groups, self._second_s)

    def unsure(self) -> frozenset[str]:
        """Return the groups of which somebody is inside who may have to give way there, or whose first is held up."""
        yielding = frozenset(group for one in self._told() if one.yielding for group in one.groups)
        return yielding.union(*(one.groups for one in self._held_up.values()))

    def late(self) -> frozenset[str]:
        """Return the groups of which somebody is, or may be, still inside because others held him up."""
        return self._held_up_over_line() | self._late()

    def _held_up_over_line(self) -> frozenset[str]:
        """Return the groups of those who were held up when their green ended: for some seconds, or until they are out."""
        found: set[str] = set()
        for lane, one in self._held_up.items():
            green_s = max(self._going_s[group] for group in one.groups)
            since_s, limit_s = (green_s, WAIT_MAX_S) if one.left_s is None else (one.left_s, self._out_s(lane))
            if self._second_s - since_s <= limit_s:
                found.update(one.groups)
        return frozenset(found)

    def _out_s(self, lane: str) -> float:
        return min(CROSSING_MAX_S, self._usual_s[lane])

    def _late(self) -> frozenset[str]:
        """Return the groups of which somebody is held up by those who had to give way and leave only now."""
        inside = self._told()
        gave_way = [one for one in inside if one.yielding and self._by_s(one) > GAVE_WAY_S]
        if len({one.lane for one in gave_way}) < GAVE_WAY_LANES:
            return frozenset()
        return frozenset(
            group
            for one in inside
            if self._by_s(one) > LATE_S
            for group in one.groups
            if one.second_s > self._green_s[group] - END_S or _behind(one, gave_way)
            if self._second_s - self._going_s[group] <= WAIT_MAX_S
        )

    def _told(self) -> list[_Passage]:
        """Return those inside of whom it will be told that they come out."""
        return [
            one for one in self._inside if self._trust[one.lane] >= TRUST_MIN and one.exits.isdisjoint(self._silent)
        ]

    def _by_s(self, passage: _Passage) -> float:
        """Return by how many seconds somebody is late."""
        return self._second_s - passage.second_s - self._usual_s[passage.lane]

    def _out(self, name: str) -> None:
        latest_s = self._second_s - CROSSING_MIN_S
        could = [one for one in self._inside if name in one.exits and one.second_s <= latest_s]
        if not could:
            return
        # Of those who could have gone nowhere else it was the first.
        found = min(could, key=lambda one: len(one.exits))
        self._inside.remove(found)
        self._trust[found.lane] += TRUST_STEP * (1.0 - self._trust[found.lane])
        by_s = self._by_s(found)
        self._usual_s[found.lane] += USUAL_STEP_S * ((by_s > 0) - (by_s < 0))


def _behind(one: _Passage, others: Iterable[_Passage]) -> bool:
    """Tell whether somebody passed the line of his lane after one of the others, who may still be in his way."""
    return any(other.lane == one.lane and other.second_s < one.second_s for other in others)
