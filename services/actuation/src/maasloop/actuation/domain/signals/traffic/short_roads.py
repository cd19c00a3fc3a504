"""The short roads before and behind one junction: whoever would have to stand there is not let in.

So that the second signal is green when the first one is, it counts on those before the first, and stays green until nobody
is let in any more. Who waits there his vehicle tells where it announces its way; else the junction before does.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from maasloop.actuation.domain.signals.aspects import GOING, GREENS, Aspects
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.stages import short_exits, short_roads

from .area import STALL_MEMORY_S, STALL_ONWARD_S, STALL_S, VehicleSeen, wanted_here, wanted_next
from .estimate import Expected, LaneEstimate, on_the_clock
from .neighbourhood import Coming, Hears
from .turning import CROSSING_MIN_S

LEAVING_MAX = 6
"""So many of each lane are told of: no more leave in the green that they would get at the next signal."""
LEAVING_MIN = 0.05
"""Nobody is told of who is less likely to go there."""
OPEN_SHARE = 0.9
"""Where no vehicle tells where it goes, nobody is let in unless so many of those who come find green."""
SENDING_S = 6.0
"""Who passed the line of the signal before is at the next one so long after the end of its yellow."""
LET_GO_S = 10.0
"""Whom the signal before does not let go yet it lets go so much later: a minimum green, a yellow and a second of red."""
ENDING_MAX_S = 18.0
"""So long the green at the end of a road waits until nobody is let in any more: a minimum green, a yellow, and the way."""


class ShortRoads:
    """``hear`` takes in what the junctions before and behind say."""

    def __init__(self, sheet: Sheet) -> None:
        """Begin with nothing asked for."""
        self.lanes = sorted(short_roads(sheet))
        """Those of the short roads that end here."""
        self._exits = short_exits(sheet)
        self._exits_of = {group.id: group.exits for group in sheet.groups}
        self._near = {
            group: frozenset(exits).union(*(sheet.exits_beside[name] for name in exits))
            for group, exits in self._exits_of.items()
        }
        """Where somebody may be behind the junction who has changed lanes there."""
        self._ways = {lane: frozenset(group.id for group in sheet.groups if lane in group.lanes) for lane in self.lanes}
        self._shut: frozenset[str] = frozenset()
        self._blocked: frozenset[str] = frozenset()
        self.standing: frozenset[str] = frozenset()
        """Lanes of short roads with somebody who has to wait there, or has not got out of the junction behind it."""
        self._coming: Coming = {}
        self._idle_s = dict.fromkeys(self.lanes, 0)
        """Seconds of green in which nobody came who was expected."""
        self._sent_to: frozenset[str] = frozenset()
        self._let_go: frozenset[str] = frozenset()
        """Lanes to which the signal before lets vehicles go, or is about to."""
        self._to_come: frozenset[str] = frozenset()
        """Groups that are green when the sequence is over that is asked for."""
        self._going_s = dict.fromkeys(self._exits, -math.inf)
        self._ending: frozenset[str] = frozenset()
        """Lanes whose green is to end as soon as nobody is let in any more."""
        self._asked: frozenset[str] = frozenset()
        self._forced: frozenset[str] = frozenset()
        """Lanes whose green has to end soon, whoever is let in."""
        self._forced_asked: frozenset[str] = frozenset()
        """The same in the second before, which is when others are told of it."""
        self._ending_s = -math.inf
        self._announced = False
        """Vehicles tell which way they go."""

    def hear(self, heard: Hears) -> None:
        """Take in what holds for this second; who wanted to end a green in the last one has to say so again."""
        self._shut, self._blocked = self._exits & heard.held_back, self._exits & heard.standing
        self._coming, self._sent_to = heard.coming, heard.sent_to
        self._let_go = heard.sent_to | heard.opened_to
        self._asked, self._ending = self._ending, frozenset()
        self._forced_asked, self._forced = self._forced, frozenset()

    def ask(self, aspects: Aspects) -> None:
        """Note how what is asked for ends; nothing where nothing is.

        Whoever sets off before the first signal then finds green at the second: so both change at the same time.
        """
        self._to_come = _green(aspects)

    def later_s(self, lane: str) -> float:
        """Return the seconds that whoever has the signal before to pass first waits there at least.

        Else each of two signals would keep the green for those whom the other one keeps. Only where vehicles tell which
        way they go: loops do not tell who has to change lanes there, and the more come the sooner one of them is in the way.
        """
        return LET_GO_S if self._announced and lane in self._ways and lane not in self._let_go else 0.0

    def end_in(self, left_s: float, green: Collection[str]) -> None:
        """Note for how many more seconds groups may be kept green, as somebody else has waited for long enough by then.

        Such an end cannot wait until nobody is let in any more, so that is asked for in time.
        """
        if left_s < ENDING_MAX_S:
            self._forced = frozenset(name for name in self.lanes if not self._ways[name].isdisjoint(green))

    def keep(self, second_s: float, ending: Collection[str]) -> bool:
        """Tell whether greens wait with their end until nobody is let into their road any more, which is asked for.

        Where vehicles announce their way the next who would have to stand closes a road of one lane by himself.
        """
        lanes = frozenset(
            lane for lane in self._sent_to.intersection(self.lanes) if not self._ways[lane].isdisjoint(ending)
        )
        if not lanes or (self._announced and len(self.lanes) == 1):
            return False
        if not self._asked and not self._ending:
            self._ending_s = second_s
        self._ending |= lanes
        return second_s - self._ending_s < ENDING_MAX_S

    def sending(self, second_s: float, aspects: Aspects) -> frozenset[str]:
        """Return the exits to short roads that vehicles are let go to, or have not passed yet."""
        for group, exits in self._exits_of.items() if self._exits else ():
            if aspects[group] in GOING:
                self._going_s.update((name, second_s) for name in exits if name in self._exits)
        return frozenset(name for name, going_s in self._going_s.items() if second_s - going_s <= SENDING_S)

    def opening(self) -> frozenset[str]:
        """Return the exits to short roads that vehicles are about to be let go to."""
        return self._exits.intersection(name for group in self._to_come for name in self._exits_of[group])

    def leaving(self, second_s: float, lanes: Mapping[str, LaneEstimate]) -> Coming:
        """Return who is expected to go to each short road, with the chance that he wants to; he may have to wait."""
        found: dict[str, tuple[Expected, ...]] = {}
        for name in sorted(self._exits):
            who = [one for lane in lanes.values() for one in self._leaving(name, second_s, lane)]
            if who:
                found[name] = tuple(who)
        return found

    def _leaving(self, name: str, second_s: float, lane: LaneEstimate) -> Iterator[Expected]:
        chances: Mapping[str, float] = lane.head_chances()
        for vehicle in islice(lane.vehicles, LEAVING_MAX):
            ways = chances if vehicle.group is None else {vehicle.group: 1.0}
            goes = [chance / len(self._exits_of[way]) for way, chance in ways.items() if name in self._exits_of[way]]
            if vehicle.weight * sum(goes) >= LEAVING_MIN:
                yield Expected(max(vehicle.at_s, second_s), vehicle.weight * sum(goes))
            chances = lane.shares

    def expect(
        self, second_s: float, lanes: Mapping[str, LaneEstimate], watched: Collection[str], aspects: Aspects
    ) -> None:
        """Let lanes where no vehicle tells it expect who has the signal before to pass first, for as long as that may need."""
        for name in self.lanes:
            if name in watched and self._announced:
                continue
            lane = lanes[name]
            travel_s = on_the_clock(CROSSING_MIN_S + lane.storage_m / lane.speed_mps)
            coming = (Expected(one.at_s + travel_s, one.weight) for one in self._coming.get(name, ()))
            lane.onward = sorted(coming, key=lambda one: one.at_s)
            idle = bool(lane.onward) and lane.empty_s > 0 and any(aspects[way] in GREENS for way in lane.shares)
            self._idle_s[name] = self._idle_s[name] + 1 if idle else 0
            if self._idle_s[name] >= STALL_ONWARD_S:
                lane.stalled_until_s = second_s + STALL_MEMORY_S

    def shut(self, group: str) -> bool:
        """Tell whether nobody is let go by a group, as the junctions behind its exits ask.

        Some may go by one of its exits while another is closed, unless somebody stands on the way here as well: of
        two directions that wait for each other's tails neither would ever leave.
        """
        exits = self._exits_of[group]
        if self.standing:
            return not (self._shut.isdisjoint(exits) and self._blocked.isdisjoint(self._near[group]))
        return bool(exits) and all(name in self._shut for name in exits)

    def onward_s(self, lane: str) -> int:
        """Return for how long somebody who has another signal to pass first may stand under the green of a lane."""
        return STALL_ONWARD_S if lane in self.lanes else STALL_S

    def closed(
        self,
        lanes: Mapping[str, LaneEstimate],
        watched: Mapping[str, Sequence[VehicleSeen]],
        stuck: Iterable[VehicleSeen],
        aspects: Aspects,
    ) -> frozenset[str]:
        """Return the lanes on which whoever comes would have to stand, or from which somebody is ``stuck`` behind the line.

        So does who comes when a green is about to end, but not who comes when one is about to begin.
        """
        if not self.lanes:
            return frozenset()
        self._announced |= any(one.group is not None for seen in watched.values() for one in seen)
        stopped = frozenset(one.lane for one in stuck).intersection(self.lanes)
        self.standing = stopped.union(name for name in self.lanes if self._stands(lanes[name], watched, aspects))
        inside = stopped | self._asked | self._forced_asked
        return frozenset(name for name in self.lanes if name in inside or not self._open(lanes[name], watched, aspects))

    def _stands(self, lane: LaneEstimate, watched: Mapping[str, Sequence[VehicleSeen]], aspects: Aspects) -> bool:
        """Tell whether somebody is on a short road who has to wait there."""
        if lane.id in watched and self._announced:
            return any(aspects[way] not in GREENS for way in wanted_here(watched[lane.id]))
        return lane.standing and not self._goes(lane, aspects)

    def _open(self, lane: LaneEstimate, watched: Mapping[str, Sequence[VehicleSeen]], aspects: Aspects) -> bool:
        if lane.id in watched and self._announced:
            seen = watched[lane.id]
            return wanted_here(seen) | wanted_next(seen) <= _green(aspects) | self._to_come
        return self._goes(lane, aspects)

    def _goes(self, lane: LaneEstimate, aspects: Aspects) -> bool:
        return sum(share for way, share in lane.shares.items() if aspects[way] in GREENS) >= OPEN_SHARE


def _green(aspects: Aspects) -> frozenset[str]:
    return frozenset(name for name, aspect in aspects.items() if aspect in GREENS)
