"""What a junction shows and since when, as the kernel and the controller see it."""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Self

from maasloop.actuation.domain.authority import Authority

from .aspects import GREENS, Aspect, Aspects
from .sheet import Sheet

GAP_MAX_S = 3.0
"""After a longer silence a whole change may have been missed: everything counts as just begun."""


@dataclass(frozen=True)
class GroupState:
    """One group: what it shows, since when (green of either kind is one), when its last yellow ended, who waits."""

    aspect: Aspect
    since_s: float
    yellow_ended_s: float
    called_since_s: float | None = None

    @property
    def green(self) -> bool:
        """Tell whether the group shows a green of either kind."""
        return self.aspect in GREENS


@dataclass(frozen=True)
class Lease:
    """Who holds the junction until when; a lower authority may not ask meanwhile."""

    issuer: str
    authority: Authority
    until_s: float


@dataclass(frozen=True)
class JunctionState:
    """One junction at one field second."""

    second_s: float
    groups: Mapping[str, GroupState]
    busy_until_s: float = -math.inf
    accepted_s: tuple[float, ...] = ()
    lease: Lease | None = field(default=None)

    @classmethod
    def first_seen(cls, sheet: Sheet, second_s: float, aspects: Aspects) -> Self:
        """Begin with what is seen now; nothing is known of before, so everything counts as just begun."""
        return cls(second_s, {group.id: _just_begun(aspects[group.id], second_s) for group in sheet.groups})

    def observe(self, second_s: float, aspects: Aspects, called: AbstractSet[str] = frozenset()) -> Self:
        """Return the state after the field reported ``aspects`` for ``second_s``; ``called`` are groups with demand."""
        if second_s <= self.second_s:
            return self
        forget = second_s - self.second_s > GAP_MAX_S
        groups = {
            name: _called(_shown(group, second_s, aspects[name], forget=forget), second_s, waiting=name in called)
            for name, group in self.groups.items()
        }
        return replace(self, second_s=second_s, groups=groups)

    def aspects(self) -> dict[str, Aspect]:
        """Return what every group shows."""
        return {name: group.aspect for name, group in self.groups.items()}


def _just_begun(aspect: Aspect, second_s: float) -> GroupState:
    return GroupState(aspect, second_s, second_s if aspect is Aspect.RED else -math.inf)


def _shown(group: GroupState, second_s: float, aspect: Aspect, *, forget: bool) -> GroupState:
    if forget:
        return replace(_just_begun(aspect, second_s), called_since_s=group.called_since_s)
    return shown(group, second_s, aspect)


def shown(group: GroupState, second_s: float, aspect: Aspect) -> GroupState:
    """Return the group when it shows ``aspect`` from ``second_s`` on."""
    if aspect is group.aspect:
        return group
    if aspect in GREENS and group.green:
        return replace(group, aspect=aspect)
    ended_s = second_s if aspect is Aspect.RED else group.yellow_ended_s
    return replace(group, aspect=aspect, since_s=second_s, yellow_ended_s=ended_s)


def _called(group: GroupState, second_s: float, *, waiting: bool) -> GroupState:
    if not waiting or group.green:
        return group if group.called_since_s is None else replace(group, called_since_s=None)
    return group if group.called_since_s is not None else replace(group, called_since_s=second_s)
