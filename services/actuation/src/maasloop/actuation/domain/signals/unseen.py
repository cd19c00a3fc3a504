"""What is assumed of a lane whose loops have failed: its usual demand, and what comes out of the junction.

Vehicles over the loop of an exit that no seen lane sent there must have come from a lane that is not seen.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile

from .area import STALL_MEMORY_S
from .aspects import GREENS, Aspect, Aspects
from .estimate import LaneEstimate
from .forecast import gap_headway_s
from .sheet import Sheet

USUAL_MEMORY_S = 300.0
ASSUMED_SATURATION = 0.25
"""Before anything is known of a lane, it is taken to fill this share of the green that its plan gives it."""
CALLS_A_CYCLE_MIN = 0.5
"""To a lane that is not seen so many vehicles come in a cycle of the plan at least."""
WITNESS_S = 7.0
"""After so many seconds of green in which nobody comes out of the exits, nobody is left who wants to go there."""
WITNESS_YIELDING_S = 20.0
GAP_S = 4.0
"""The same once somebody has come out: who follows in the same line is not further behind."""
UNWANTED = 0.05
"""How likely somebody would wait so long at a green that he wants."""
MORE_BEHIND = 2.0
"""So many vehicles are taken to be left on a lane as long as some come out of the exits."""
_START_LOSS_S = 2


@dataclass
class UnseenLane:
    """The usual demand of one lane, and what it does while the lane is not seen."""

    usual: float
    """Vehicles a second."""
    assumed: float
    """Vehicles a second by the plan, before anything was learned."""
    least: float
    """Vehicles a second that are taken to come at least, so that the lane is served now and then."""
    learned_s: int = 0
    """Seconds in which it was known who came."""
    green: frozenset[str] = frozenset()
    green_s: int = 0
    out_s: float = -math.inf

    def learn(self, vehicles: float) -> None:
        """Take in how many vehicles came in one second."""
        self.usual += (vehicles - self.usual) / USUAL_MEMORY_S
        self.learned_s += 1

    def arrive(self, lane: LaneEstimate, second_s: float, busy: float, *, announced: bool = False) -> None:
        """Let one second of the usual demand come to the lane; the least where loops announce it.

        As long as nothing is known of the lane it is taken to be as ``busy`` as the plan or those that are seen tell.
        """
        usual = self.usual if self.learned_s >= USUAL_MEMORY_S else self.assumed * busy
        if lane.standing:
            # Usual is what the lane was given: a lane that gets little looks quiet, and would get ever less.
            usual = max(usual, self.assumed)
        lane.rate = max(usual, self.least)
        lane.pile_up(second_s, self.least if announced else lane.rate)
        while lane.vehicles and lane.queue > max(1.0, lane.storage_m / 7.0):
            lane.depart(1.0)

    def leave(
        self,
        lane: LaneEstimate,
        second_s: float,
        out: float,
        shown: Aspects,
        gaps_s: Mapping[str, float] | None,
        *,
        counted: bool,
    ) -> float:
        """Let vehicles leave: those seen in the exits, or where no exit tells as many as the headways of the groups let go.

        ``gaps_s`` are those headways (``headways_s``), nothing where the exits tell. Who comes is ``counted`` where the
        upstream loop works. Else that somebody leaves means that others are behind.
        """
        green = frozenset(name for name in lane.shares if shown[name] in GREENS)
        self.green_s = self.green_s + 1 if green == self.green else 0
        self.green = green
        if out > 0.0:
            self.out_s = second_s
            if not counted:
                # As long as they keep coming out, more are behind them: who was seen leaving is not taken off the last.
                lane.arrive(second_s, max(0.0, out + MORE_BEHIND - lane.queue))
        if gaps_s is not None:
            goes = sum(lane.shares[name] for name in green)
            rate = sum(lane.shares[name] / gaps_s[name] for name in green)
            there = sum(one.weight for one in takewhile(lambda vehicle: vehicle.at_s <= second_s, lane.vehicles))
            return min(goes * rate, there) if self.green_s > _START_LOSS_S else 0.0
        yielding = any(shown[name] is Aspect.YIELDING for name in green)
        if out > 0.0:
            lane.unwanted.clear()
            lane.stalled_until_s = 0.0
        elif green and self._quiet(second_s, yielding=yielding):
            self._nobody_comes(lane, second_s, yielding=yielding, counted=counted)
        return out

    def _nobody_comes(self, lane: LaneEstimate, second_s: float, *, yielding: bool, counted: bool) -> None:
        """Draw the conclusion: nobody is there, who is first wants another group, or he finds no gap."""
        if yielding and counted:
            # Who was counted is there: for the time being this green serves nobody.
            lane.stalled_until_s = second_s + STALL_MEMORY_S
            return
        lane.unwanted.update(dict.fromkeys(self.green, UNWANTED))
        if lane.unwanted.keys() >= lane.shares.keys():
            lane.unwanted.clear()
            lane.beyond = 0.0
            # Who was announced and has just come has not had the time to come out.
            late_s = second_s - WITNESS_S
            came = [one for one in lane.vehicles if one.weight >= 1.0 and one.at_s > late_s]
            lane.vehicles.clear()
            lane.vehicles.extend(came)

    def _quiet(self, second_s: float, *, yielding: bool) -> bool:
        """Tell whether so long nobody has come out under this green that nobody else is there who wants it."""
        quiet_s = min(self.green_s - _START_LOSS_S, second_s - self.out_s)
        if yielding:
            return quiet_s >= WITNESS_YIELDING_S
        return quiet_s >= (GAP_S if second_s - self.out_s < self.green_s else WITNESS_S)


def headways_s(
    sheet: Sheet, lanes: Mapping[str, LaneEstimate], lane: LaneEstimate, second_s: float, shown: Aspects
) -> dict[str, float]:
    """Return the mean seconds from one vehicle to the next for each green group of a lane: who gives way waits for gaps."""
    found = {}
    for name in lane.shares:
        if shown[name] in GREENS:
            majors = [major for major in sheet.majors[name] if shown[major] in GREENS]
            rate = sum(_crossing_rate(sheet, lanes, major, second_s) for major in majors)
            found[name] = gap_headway_s(rate, lane.headway_s)
    return found


def _crossing_rate(sheet: Sheet, lanes: Mapping[str, LaneEstimate], group: str, second_s: float) -> float:
    """Return how many vehicles a second cross under a green group: a queue leaves no gap."""
    rate = 0.0
    for lane in (lanes[name] for name in sheet.group[group].lanes):
        queued = any(vehicle.at_s <= second_s for vehicle in lane.vehicles)
        rate += lane.shares[group] * (1.0 / lane.headway_s if queued else lane.rate)
    return rate


def busy(seen: Iterable[UnseenLane]) -> float:
    """Return how much comes to the lanes that are seen, as a multiple of what the plan lets assume, and no less than that.

    Where little comes to the others, there is time to look after one that may be the main road.
    """
    known = [one for one in seen if one.learned_s >= USUAL_MEMORY_S]
    assumed = sum(one.assumed for one in known)
    return max(1.0, sum(one.usual for one in known) / assumed) if assumed > 0 else 1.0


def unseen_lanes(sheet: Sheet) -> dict[str, UnseenLane]:
    """Begin with a demand in proportion to the green that the local programme gives each lane."""
    cycle_s = sum(step.duration_s for step in sheet.local.steps) or math.inf
    found = {}
    for lane in sheet.lanes:
        groups = [position for position, group in enumerate(sheet.groups) if lane.id in group.lanes]
        green_s = sum(
            step.duration_s for step in sheet.local.steps if any(step.state[position] in "Gg" for position in groups)
        )
        usual = ASSUMED_SATURATION * green_s / cycle_s / lane.headway_s
        found[lane.id] = UnseenLane(usual, usual, CALLS_A_CYCLE_MIN / cycle_s)
    return found
