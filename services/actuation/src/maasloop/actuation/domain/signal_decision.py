"""What was decided about one junction for one second of the street, and why, for people who ask afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .signals.aspects import Aspects
from .signals.stages import Stage
from .signals.state import GroupState

STAGES_TOLD_MAX = 8
"""Of the stages that were compared, the best."""


@dataclass(frozen=True, slots=True)
class RankedStage:
    """A stage that was compared with others: the vehicles a second that it would let go."""

    groups: tuple[str, ...]
    index: float


@dataclass(frozen=True, slots=True)
class CalledGroup:
    """A red group that somebody waits for, with the seconds that it has been red and called."""

    group: str
    red_s: float
    called_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalDecision:
    """One junction in one second; the command is the one asked for, or the one in force where nothing was."""

    district: str
    device: str
    street_second: int
    wall_us: int
    decision: str
    """A word for programs, as in the reasons of a decision."""
    detail: str
    command_id: str = ""
    aspects: Aspects
    """What the groups showed."""
    chosen: tuple[str, ...] = ()
    """Groups that are green at the end of what was asked for."""
    stages: tuple[RankedStage, ...] = ()
    called: tuple[CalledGroup, ...] = ()


def told_stages(ranked: Sequence[tuple[float, Stage]]) -> tuple[RankedStage, ...]:
    """Return the best of the stages that were compared, best first."""
    return tuple(RankedStage(tuple(sorted(stage)), index) for index, stage in ranked[:STAGES_TOLD_MAX])


def called_groups(groups: Mapping[str, GroupState], second_s: float) -> tuple[CalledGroup, ...]:
    """Return the groups that are called, the one that has been red for longest first."""
    found = [
        CalledGroup(name, second_s - group.since_s, second_s - group.called_since_s)
        for name, group in groups.items()
        if group.called_since_s is not None
    ]
    return tuple(sorted(found, key=lambda one: (-one.red_s, one.group)))
