"""The short roads before and behind one junction: whoever would have to stand there is not let in."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from .area import STALL_ONWARD_S, STALL_S, VehicleSeen, wanted_first
from .aspects import GREENS, Aspects
from .estimate import LaneEstimate
from .sheet import Sheet
from .stages import short_exits, short_roads


class ShortRoads:
    """``hear`` takes in which exits the junctions behind ask to let nobody into."""

    def __init__(self, sheet: Sheet) -> None:
        """Begin with nothing asked for."""
        self._lanes = sorted(short_roads(sheet))
        self._exits = short_exits(sheet)
        self._exits_of = {group.id: group.exits for group in sheet.groups}
        self._shut: frozenset[str] = frozenset()

    def hear(self, held_back: Collection[str]) -> None:
        """Take in the exits that are held back."""
        self._shut = self._exits.intersection(held_back)

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
