"""What is assumed of a lane whose loops have failed: its usual demand comes, and leaves as its greens let it.

Nobody tells where its vehicles are. That they come is told by a loop upstream, by the junction before, or by what is
usual; what is usual is learned from those who come out of the junction and were sent by no lane that is seen.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from maasloop.actuation.domain.signals.aspects import GREENS, Aspects
from maasloop.actuation.domain.signals.sheet import DetectorPosition, Sheet

from .detectors import Detectors
from .estimate import SPACE_PER_VEHICLE_M, LaneEstimate
from .gaps import openings_s
from .left_over import MORE_BEHIND, AtTheLine, ComingOutOf, LeftOver
from .seen_share import ALL_SEEN, MEMORY_S, SEEN_SHARE_MIN, SeenShare
from .still_there import UNANNOUNCED_MAX, StillThere
from .turning import TurnShares

ASSUMED_SATURATION = 0.25
"""Before anything is known of a lane, it is taken to fill this share of the green that its plan gives it."""
CALLS_A_CYCLE_MIN = 0.5
"""To a lane that is not seen so many vehicles come in a cycle of the plan at least."""
MAIN_SHARE = 0.5
"""A lane is green when so many of its vehicles may go."""
NO_GAP_S = 15.0
"""Who has waited inside for a gap until his green was over is out so long after its last second."""
NOBODY_MAX = 0.2
"""So little of a vehicle is nobody."""
TOLD_RED_S = 150
"""A lane that nobody is told to wait on is called all the same when it has been red for so long: somebody may have been missed."""
UNTOLD_RED_S = 60
"""The same where not every exit would tell that somebody was missed."""
_UNDER_WAY_KEPT = 0.9
_START_LOSS_S = 2
_ALL = 1.0 - 1e-6


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
    announced: float = 0.0
    """Vehicles a second that the junction before tells of."""
    green: tuple[str, ...] = ()
    green_s: int = 0
    head_goes: float = 0.0
    """How likely the first one wants one of the groups that are green."""
    under_way: float = 0.0
    """Vehicles that are taken to have left, and of whom no exit has told yet."""
    no_gap_s: float = -math.inf
    """When a group that is green found no gap the last time."""
    seen: SeenShare | None = None
    left_over: LeftOver = field(default_factory=LeftOver)
    line: AtTheLine = field(default_factory=AtTheLine)
    out: ComingOutOf = field(default_factory=ComingOutOf)
    still: StillThere = field(default_factory=StillThere)

    def learn(self, vehicles: float) -> None:
        """Take in how many vehicles came in one second."""
        self.usual += (vehicles - self.usual) / MEMORY_S
        self.learned_s += 1

    def known(self, busy: float) -> float:
        """Return the demand: as long as nothing was learned, as ``busy`` as the plan or the seen lanes let assume."""
        return self.usual if self.learned_s >= MEMORY_S else self.assumed * busy

    def arrive(self, lane: LaneEstimate, second_s: float, busy: float, *, counted: bool, announced: float) -> None:
        """Let one second of the usual demand come to the lane, less those who are ``counted`` or ``announced`` by loops."""
        lane.rate = max(self.known(busy), self.least)
        self.announced += (announced - self.announced) / MEMORY_S
        lane.pile_up(second_s, self.least if counted else max(self.least, lane.rate - self.announced))
        while lane.vehicles and lane.queue > max(1.0, lane.storage_m / SPACE_PER_VEHICLE_M):
            lane.depart(1.0)

    def leave(
        self, lane: LaneEstimate, second_s: float, shown: Aspects, gaps_s: Mapping[str, float]
    ) -> tuple[float, float]:
        """Return how many leave in one second, and how many could if there was a queue.

        ``gaps_s`` are the headways of the groups that are green, endless for one that finds no gap. Who is first and wants
        another one holds up the others.
        """
        self._show(lane.shares, tuple(name for name in lane.shares if shown[name] in GREENS))
        goes = sum(lane.shares[name] for name in self.green)
        if self.green_s <= _START_LOSS_S or goes <= 0.0:
            return 0.0, 0.0
        rate = sum(lane.shares[name] / gaps_s[name] for name in self.green) / goes
        there = lane.due(second_s)
        could = self.head_goes * rate
        leaving = min(could, there)
        self.head_goes = goes if there <= 0.0 else self.head_goes - leaving * (1.0 - goes)
        return leaving, could

    def left_without_gap(self, second_s: float, leaving: float, out: float, gaps_s: Mapping[str, float]) -> float:
        """Return how many of those who came ``out`` had found no gap, and left when their green was over."""
        if math.inf in gaps_s.values():
            self.no_gap_s = second_s
        self.under_way += leaving
        others = max(0.0, out - self.under_way)
        self.under_way = max(0.0, _UNDER_WAY_KEPT * self.under_way - out)
        return others if second_s - self.no_gap_s <= NO_GAP_S else 0.0

    def _show(self, shares: Mapping[str, float], green: tuple[str, ...]) -> None:
        """Take in what is green now, and how likely it is that the first one waits for one of these groups."""
        if green == self.green:
            self.green_s += 1
            return
        was = sum(shares[name] for name in self.green)
        kept = sum(shares[name] for name in green if name in self.green)
        added = sum(shares[name] for name in green if name not in self.green)
        goes, waits = self.head_goes, 1.0 - self.head_goes
        self.head_goes = (goes * kept / was if was > 0.0 else 0.0) + (
            waits * added / (1.0 - was) if was < _ALL else 0.0
        )
        self.green, self.green_s = green, 0


class UnseenLanes:
    """All lanes of one junction, and what is known of each for the time when it is not seen."""

    def __init__(self, sheet: Sheet, lanes: Mapping[str, LaneEstimate], loops: Detectors, turns: TurnShares) -> None:
        """Begin with a demand in proportion to the green that the local programme gives each lane."""
        self._sheet = sheet
        self._estimates = lanes
        self._loops = loops
        self._turns = turns
        self._lanes = _by_plan(sheet)
        self._busy = 1.0

    def hear(self, seen: Sequence[str]) -> None:
        """Begin a second in which these lanes are seen at their lines."""
        self._busy = busy(self._lanes[name] for name in seen)
        for name in seen:
            self._lanes[name].seen = None
            self._lanes[name].still.unannounced = 0.0
            self._turns.see(name, None)

    def learn(self, lane: str, vehicles: float) -> None:
        """Take in how many came to a lane that is seen."""
        self._lanes[lane].learn(vehicles)

    def hear_uncounted(
        self, lane: LaneEstimate, second_s: float, left: float, *, green: bool, announced: float
    ) -> None:
        """Take in one second of a lane that is seen at its line, and to which nobody tells who comes."""
        unseen = self._lanes[lane.id]
        unseen.learn(left)
        unseen.arrive(lane, second_s, self._busy, counted=False, announced=announced)
        unseen.line.hear(lane, left, green=green)
        if left > 0 and unseen.line.queued is not False:
            lane.arrive(second_s, max(0.0, MORE_BEHIND - lane.queue))
        unseen.left_over.hear(lane, second_s, green=green, queued=unseen.line.queued)

    def hear_blind(
        self, lane: LaneEstimate, second_s: float, shown: Aspects, out: float, *, counted: bool, announced: float
    ) -> None:
        """Take in one second of a lane that nobody sees at its line, and how many ``out`` in the exits were its own.

        Who comes is ``counted`` where the upstream loop works.
        """
        unseen = self._lanes[lane.id]
        seen, stated = self._see(unseen, lane)
        told = not counted and stated >= SEEN_SHARE_MIN
        if counted:
            unseen.learn(lane.arrived)
        elif told:
            unseen.usual, share = seen.hear(out, stated)
            unseen.learned_s += 1
            self._turns.see(lane.id, share)
            out /= share
        unseen.arrive(lane, second_s, self._busy, counted=counted, announced=announced)
        gaps_s = openings_s(self._sheet, self._estimates, lane, second_s, shown)
        leaving, could = unseen.leave(lane, second_s, shown, gaps_s)
        if leaving > 0.0:
            lane.depart(leaving)
        if told:
            lane.depart(unseen.left_without_gap(second_s, leaving, out, gaps_s), second_s)
            green = sum(lane.shares[name] for name in unseen.green) >= MAIN_SHARE
            unseen.out.hear(could, out, green=green)
            if out > 0.0 and unseen.out.queued is not False:
                lane.arrive(second_s, max(0.0, unseen.out.behind(lane.rate) - lane.queue))
            unseen.left_over.hear(lane, second_s, green=green, queued=unseen.out.queued)
        lane.standing = len(unseen.green) < len(lane.shares) and lane.queue >= 1.0

    def hear_followed(
        self, lane: LaneEstimate, second_s: float, shown: Aspects, out: float, *, announced: float
    ) -> None:
        """Take in one second of a lane that nobody sees at its line, and of which feeders tell who comes: nobody else does.

        ``out`` are those of its own who came out of the junction.
        """
        unseen = self._lanes[lane.id]
        unseen.learn(announced)
        lane.rate = max(unseen.known(self._busy), unseen.least)
        gaps_s = openings_s(self._sheet, self._estimates, lane, second_s, shown)
        leaving, _ = unseen.leave(lane, second_s, shown, gaps_s)
        if leaving > 0.0:
            lane.depart(leaving)
        if self._all_out_told(lane):
            back, others = unseen.still.hear(second_s, leaving, out)
            unannounced = lane.depart(others, second_s) if others > 0.0 else 0.0
            unseen.still.came_out(out, unannounced)
            if back > 0.0:
                lane.stay(second_s, back)
        lane.standing = len(unseen.green) < len(lane.shares) and lane.queue >= 1.0

    def followed(self, lane: str) -> bool:
        """Tell whether the feeders of a lane may be believed that nobody else comes to it."""
        return self._lanes[lane].still.unannounced <= UNANNOUNCED_MAX

    def nobody(self, lane: LaneEstimate) -> bool:
        """Tell whether nobody is taken to wait on a lane that is followed, or to come to it."""
        unseen = self._lanes[lane.id]
        limit_s = TOLD_RED_S if self._all_out_told(lane) else UNTOLD_RED_S
        expected = lane.queue + sum(one.weight for one in lane.announced)
        return expected < NOBODY_MAX and (bool(unseen.green) or unseen.green_s < limit_s)

    def _all_out_told(self, lane: LaneEstimate) -> bool:
        return all(self._working(name) >= ALL_SEEN for name in lane.shares)

    def _see(self, unseen: UnseenLane, lane: LaneEstimate) -> tuple[SeenShare, float]:
        """Return what the exits tell of a lane, and which share of its vehicles they see by what was known when it failed."""
        working = {name: self._working(name) for name in lane.shares}
        if unseen.seen is None:
            usual = unseen.known(self._busy)
            stated = sum(share * working[name] for name, share in lane.shares.items())
            unseen.seen = SeenShare(dict(lane.shares), usual, usual * stated)
        return unseen.seen, sum(share * working[name] for name, share in unseen.seen.shares.items())

    def _working(self, group: str) -> float:
        exits = self._sheet.group[group].exits
        working = sum(bool(self._loops.working(DetectorPosition.EXIT, name)) for name in exits)
        return working / len(exits) if exits else 0.0


def busy(seen: Iterable[UnseenLane]) -> float:
    """Return how much comes to the lanes that are seen, as a multiple of what the plan lets assume, and no less than that.

    Where little comes to the others, there is time to look after one that may be the main road.
    """
    known = [one for one in seen if one.learned_s >= MEMORY_S]
    assumed = sum(one.assumed for one in known)
    return max(1.0, sum(one.usual for one in known) / assumed) if assumed > 0 else 1.0


def _by_plan(sheet: Sheet) -> dict[str, UnseenLane]:
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
