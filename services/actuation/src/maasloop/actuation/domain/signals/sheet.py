"""The data sheet of one signalled junction: what the kernel and the controller must know about it.

Two groups that are not listed as compatible conflict, also when nothing is said about them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from .aspects import GREENS, Aspect, Aspects
from .site_plan import SitePlan

Pair = tuple[str, str]

WALKING_MPS = 1.2
"""Slower than most walk: by it the time on a crossing is reckoned (1.0 to 1.2 in use; unverified in a standard's text)."""


class GroupKind(StrEnum):
    """Whom a signal group is for."""

    VEHICLE = "vehicle"
    BUS = "bus"
    CYCLE = "cycle"
    PEDESTRIAN = "pedestrian"
    """Green is followed by red at once; who is on the crossing has the time of the clearance."""
    UNUSED = "unused"


class DetectorPosition(StrEnum):
    """Where a loop lies as seen from the junction."""

    STOP_LINE = "stop-line"
    UPSTREAM = "upstream"
    EXIT = "exit"
    BUTTON = "button"
    """What people on foot press; somebody who waits counts as occupancy."""
    FEEDER = "feeder"
    """An exit loop of another junction: it announces who comes from there, for some of the lanes it leads to."""


@dataclass(frozen=True)
class SignalGroup:
    """Lanes that get one signal, where they lead, and the times that hold for it.

    The kerb counts as the lane of people on foot; ``crossing_m`` is how far they have to walk.
    """

    id: str
    kind: GroupKind
    lanes: tuple[str, ...]
    exits: tuple[str, ...]
    turn: str
    yellow_s: float
    all_red_s: float
    minimum_green_s: float
    maximum_green_s: float
    maximum_wait_s: float
    crossing_m: float = 0.0

    @property
    def clearance_s(self) -> float:
        """Return the least seconds from its last yellow, or its green where there is none, to the green of a foe."""
        return max(self.all_red_s, walking_s(self.crossing_m))


@dataclass(frozen=True)
class Lane:
    """A controlled lane; ``storage_m`` is the length between its upstream loop and the stop line."""

    id: str
    speed_mps: float
    headway_s: float
    storage_m: float
    only_from_feeders: bool = False
    """Everybody who comes to it passes a feeder, and nobody has to change lanes after that."""


@dataclass(frozen=True)
class Detector:
    """A loop: its device, and the share of what passes it that each lane (or exit) gets."""

    id: str
    position: DetectorPosition
    distance_m: float
    serves: tuple[tuple[str, float], ...]


def walking_s(length_m: float) -> float:
    """Return the whole seconds that it takes to walk so far."""
    return float(math.ceil(length_m / WALKING_MPS - 1e-6))


@dataclass(frozen=True)
class LocalStep:
    """A state of the local programme, one character a group in the order of the sheet."""

    state: str
    duration_s: float


@dataclass(frozen=True)
class LocalProgramme:
    """What the controller does by itself; a cycle begins at field second ``offset_s``."""

    offset_s: float
    steps: tuple[LocalStep, ...]


@dataclass(frozen=True)
class Sheet:
    """Everything known about one junction. ``yields`` holds (minor, major): the minor shows yielding green only."""

    junction: str
    groups: tuple[SignalGroup, ...]
    compatible: frozenset[Pair]
    declared_conflicts: frozenset[Pair]
    yields: frozenset[Pair]
    intergreens_s: Mapping[Pair, float]
    lanes: tuple[Lane, ...]
    exits: tuple[str, ...]
    """The lanes behind the junction that traffic leaves by."""
    detectors: tuple[Detector, ...]
    local: LocalProgramme
    notes: tuple[str, ...] = ()
    bands: SitePlan | None = None
    """What may be asked of the site by plan and bands; nothing where it has no such plan."""
    roads: Mapping[str, str] = field(default_factory=dict)
    """The road that an exit is a lane of; an exit that is not there is a road of its own."""

    @cached_property
    def group(self) -> Mapping[str, SignalGroup]:
        """Return the groups by id."""
        return {group.id: group for group in self.groups}

    @cached_property
    def exits_beside(self) -> Mapping[str, frozenset[str]]:
        """Return, for each exit, the other lanes of its road: who comes out may change to them before the loop."""
        return {
            one: frozenset(other for other in self.roads if other != one and self.roads[other] == self.roads.get(one))
            for one in self.exits
        }

    @cached_property
    def foes(self) -> Mapping[str, tuple[str, ...]]:
        """Return, for each group, every group it conflicts with: all that are not listed as compatible."""
        ids = [group.id for group in self.groups]
        return {
            one: tuple(
                other
                for other in ids
                if other != one and (one, other) not in self.compatible and (other, one) not in self.compatible
            )
            for one in ids
        }

    @cached_property
    def clearances(self) -> Mapping[str, tuple[tuple[str, float], ...]]:
        """Return, for each group, its foes with the seconds from the end of their yellow until it may be green."""
        return {name: tuple((foe, self.intergreen_s(foe, name)) for foe in foes) for name, foes in self.foes.items()}

    @cached_property
    def majors(self) -> Mapping[str, tuple[str, ...]]:
        """Return, for each group, the compatible groups it must give way to."""
        return {group.id: tuple(major for minor, major in self.yields if minor == group.id) for group in self.groups}

    @cached_property
    def band_stages(self) -> tuple[frozenset[str], ...]:
        """Return the groups that are green in each stage of the site's plan, in its order."""
        stages = self.bands.stages if self.bands is not None else ()
        shown = [self.read_state(stage.state) for stage in stages]
        return tuple(frozenset(name for name, aspect in one.items() if aspect in GREENS) for one in shown)

    @cached_property
    def _intergreen_longest_s(self) -> float:
        return max([*self.intergreens_s.values(), *(group.clearance_s for group in self.groups)], default=0.0)

    def intergreen_s(self, ending: str, starting: str) -> float:
        """Return the seconds from the end of the yellow of one group to the green of a group it conflicts with."""
        return self.intergreens_s.get((ending, starting), self._intergreen_longest_s)

    def read_state(self, text: str) -> dict[str, Aspect]:
        """Read a state text, one character a group; ``ValueError`` for a wrong length or an unknown character."""
        return {group.id: Aspect(shown) for group, shown in zip(self.groups, text, strict=True)}

    def state_text(self, aspects: Aspects) -> str:
        """Write aspects as a state text; every group must be there."""
        return "".join(aspects[group.id].value for group in self.groups)
