"""How long the queue is of a lane whose end no loop sees: a green that was used until its end leaves a part of it behind."""

from dataclasses import dataclass

from .estimate import EMPTY_S, LaneEstimate

MORE_BEHIND = 2.0
"""So many vehicles are taken to be left on a lane as long as its queue lets others go at every headway."""
LEFT_OVER_MAX = 16.0
"""No green is taken to leave more vehicles behind, however often one was used until its end."""
UNDER_WAY = 2.0
"""So many who have left the lane are not over the loops of the exits yet."""
USED_MIN = 0.75
"""A green of which so much was used had a queue until its end."""
BUSY_MIN = 0.35
"""Where no more of the last greens was used, hardly anybody waited for them."""
MORE_WITHIN_S = 30.0
"""Of those behind one who comes out of such a lane no more are expected than usually come in so long."""
_FADE = 0.8
_BUSY_AT_FIRST = 3.0


@dataclass
class LeftOver:
    """What the greens of one lane leave behind: twice as much as the last time while they do, nothing once one does not."""

    vehicles: float = 0.0
    green: bool = False

    def hear(self, lane: LaneEstimate, second_s: float, *, green: bool, queued: bool | None) -> None:
        """Take in one second: whether most may go, and whether a queue has been leaving until now, if anybody can tell."""
        if self.green and not green and queued is not None:
            self.vehicles = min(LEFT_OVER_MAX, max(MORE_BEHIND, 2.0 * self.vehicles)) if queued else 0.0
            lane.arrive(second_s, max(0.0, self.vehicles - lane.queue))
        self.green = green


@dataclass
class AtTheLine:
    """A green as the loop of the stop line tells: there is a queue until the line has been empty for some seconds."""

    green: bool = False
    served: bool = False
    spent: bool = True

    @property
    def queued(self) -> bool | None:
        """Tell whether a queue has been leaving; nobody knows of a green in which nobody did."""
        return not self.spent if self.spent or self.served else None

    def hear(self, lane: LaneEstimate, left: float, *, green: bool) -> None:
        """Take in who left in one second, and whether somebody stands at the line or nobody is there."""
        if green and not self.green:
            self.served = self.spent = False
        if lane.standing:
            self.spent = False
        elif green and lane.empty_s >= EMPTY_S:
            self.spent = True
        self.served |= green and left > 0.0
        self.green = green


@dataclass
class ComingOutOf:
    """A green as the loops of the exits tell: there is a queue while nearly as many come out as the headways let go."""

    green: bool = False
    could: float = 0.0
    out: float = 0.0
    could_before: float = _BUSY_AT_FIRST
    """In the greens before, the longer ago the less."""
    out_before: float = _BUSY_AT_FIRST

    def behind(self, rate: float) -> float:
        """Return how many are taken to be behind one who came out, by the usual demand in vehicles a second.

        A green of five seconds tells nothing by itself of the queue, several of them do.
        """
        used = (self.out_before + self.out) / (self.could_before + self.could)
        return MORE_BEHIND if used >= BUSY_MIN else min(MORE_BEHIND, rate * MORE_WITHIN_S)

    @property
    def queued(self) -> bool | None:
        """Tell whether a queue has been leaving; nobody knows of a green so short that hardly anybody could come out."""
        expected = self.could - UNDER_WAY
        if expected <= 1.0:
            return None
        return self.out >= max(1.0, USED_MIN * expected)

    def hear(self, could: float, out: float, *, green: bool) -> None:
        """Take in how many could leave in one second if there is a queue, and how many came out."""
        if green and not self.green:
            self.could_before = _FADE * self.could_before + self.could
            self.out_before = _FADE * self.out_before + self.out
            self.could = self.out = 0.0
        self.could += could
        self.out += out
        self.green = green
