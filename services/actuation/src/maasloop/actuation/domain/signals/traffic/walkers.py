"""People on foot as those who turn meet them: a crossing that stays green lets nobody turn across it."""

from collections.abc import Collection, Iterable

from maasloop.actuation.domain.signals.aspects import GREENS, Aspect, Aspects
from maasloop.actuation.domain.signals.sheet import GroupKind, Sheet


class Walkers:
    """The crossings of one junction."""

    def __init__(self, sheet: Sheet) -> None:
        """Begin with nobody held up."""
        on_foot = [group for group in sheet.groups if group.kind is GroupKind.PEDESTRIAN]
        self.kerbs = frozenset(kerb for group in on_foot for kerb in group.lanes)
        """The lanes at which people on foot wait."""
        self.in_the_way: frozenset[str] = frozenset()
        """Crossings that have held up somebody who turns, as long as others who turn there come and are green."""
        names = {group.id for group in on_foot}
        self._before = {minor: names.intersection(majors) for minor, majors in sheet.majors.items()}
        self._turning = {
            name: tuple(minor for minor, crossings in self._before.items() if name in crossings) for name in names
        }

    def hear(self, held: Iterable[str], coming: Collection[str], aspects: Aspects) -> None:
        """Take in the groups of which somebody has found no gap for a while, those of which somebody is in sight, and what all show."""
        found = {
            name
            for minor in held
            if aspects[minor] is Aspect.YIELDING
            for name in self._before[minor]
            if aspects[name] in GREENS
        }
        kept = {
            name
            for name in self.in_the_way
            if any(minor in coming and aspects[minor] in GREENS for minor in self._turning[name])
        }
        self.in_the_way = frozenset(found | kept)
