"""The short roads before and behind one junction: whoever would have to stand there is not let in.

So that the second signal is green when the first one is, it counts on those before the first. Where areas are watched their
vehicles tell; else the junction before does, as its own loops let it expect them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from .area import STALL_MEMORY_S, STALL_ONWARD_S, STALL_S, VehicleSeen, wanted_first
from .aspects import GREENS, Aspects
from .estimate import Expected, LaneEstimate, on_the_clock
from .neighbourhood import Coming, Hears
from .sheet import Sheet
from .stages import short_exits, short_roads
from .turning import CROSSING_MIN_S

LEAVING_MAX = 6
"""So many of each lane are told of: no more leave in the green that they would get at the next signal."""
LEAVING_MIN = 0.05
"""Nobody is told of who is less likely to go there."""


class ShortRoads:
    """``hear`` takes in what the junctions before and behind say."""

    def __init__(self, sheet: Sheet) -> None:
        """Begin with nothing asked for."""
        self._lanes = sorted(short_roads(sheet))
        self._exits = short_exits(sheet)
        self._exits_of = {group.id: group.exits for group in sheet.groups}
        self._shut: frozenset[str] = frozenset()
        self._coming: Coming = {}
        self._idle_s = dict.fromkeys(self._lanes, 0)
        """Seconds of green in which nobody came who was expected."""

    def hear(self, heard: Hears) -> None:
        """Take in which exits nobody is to be let into, and who has the signal before to pass first."""
        self._shut = self._exits & heard.held_back
        self._coming = heard.coming

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
        """Let lanes that are not watched expect who has the signal before to pass first, for as long as that may need."""
        for name in self._lanes:
            if name in watched:
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
        """Tell whether a short road follows each exit of a group, and the junctions there ask to let nobody in."""
        exits = self._exits_of[group]
        return bool(exits) and all(name in self._shut for name in exits)

    def onward_s(self, lane: str) -> int:
        """Return for how long somebody who has another signal to pass first may stand under the green of a lane."""
        return STALL_ONWARD_S if lane in self._lanes else STALL_S

    def closed(
        self,
        lanes: Mapping[str, LaneEstimate],
        watched: Mapping[str, Sequence[VehicleSeen]],
        stuck: Iterable[VehicleSeen],
        aspects: Aspects,
    ) -> frozenset[str]:
        """Return the lanes on which whoever comes would have to stand, or from which somebody is ``stuck`` behind the line."""
        inside = {one.lane for one in stuck}
        return frozenset(
            name for name in self._lanes if name in inside or not _open(lanes[name], watched.get(name), aspects)
        )


def _open(lane: LaneEstimate, seen: Sequence[VehicleSeen] | None, aspects: Aspects) -> bool:
    if seen is None:
        return not lane.standing or any(aspects[way] in GREENS for way in lane.shares)
    return all(aspects[way] in GREENS for way in wanted_first(seen))
