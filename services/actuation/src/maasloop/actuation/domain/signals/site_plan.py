"""What a site that is not controlled stage by stage leaves open: a plan with bands, and stages that come on demand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self


@dataclass(frozen=True)
class BandStage:
    """A stage of the plan: base green, and the seconds that its band adds by itself and at most."""

    state: str
    green_s: float
    band_s: float
    band_max_s: float
    call_input: int = 0
    """Number of the input that rules whether it comes; 0: it comes in any case."""
    hold_input: int = 0
    """Number of the input that rules whether its band is used; 0: it is used."""
    called: bool = True
    """It comes when its input is left alone."""

    @property
    def on_demand(self) -> bool:
        """Tell whether inputs rule that it comes, and how soon it ends."""
        return self.call_input > 0


@dataclass(frozen=True)
class SitePlan:
    """The plan that a supervisor may work with; stages are numbered from 1, in the order of the cycle.

    ``dead_man_s``: bands that are not sent again for so long are dropped, and the site returns to its own plan.
    ``interval_s``: the site takes requests that are at least so far apart.
    """

    plan: int
    stages: tuple[BandStage, ...]
    cycle_max_s: float
    dead_man_s: float
    interval_s: float

    def comes(self, number: int, calls: Mapping[int, bool]) -> bool:
        """Tell whether a stage comes with these inputs."""
        stage = self.stages[number - 1]
        return not stage.on_demand or calls.get(number, stage.called)

    def after(self, number: int) -> list[int]:
        """Return the other stages in the order in which they follow one."""
        size = len(self.stages)
        return [(number - 1 + ahead) % size + 1 for ahead in range(1, size)]


@dataclass(frozen=True)
class PlanState:
    """What is known of a site's plan: the stage that is on, or in a clearance the one that was on last."""

    plan: int
    stage: int
    on: bool
    since_s: float
    """When the stage began, or the clearance."""
    band_s: float | None = None
    """The band that the stage began with; nothing until it is reached."""
    bands: Mapping[int, float] = field(default_factory=dict)
    """What was last set."""
    asked_s: float = -math.inf
    """When a request was last permitted."""

    @classmethod
    def first_seen(cls, second_s: float, plan: int, stage: int, *, on: bool) -> Self:
        """Begin with what is seen now, as if it had just begun."""
        return cls(plan, stage, on, second_s)

    def observe(self, site: SitePlan, second_s: float, plan: int, stage: int, *, on: bool) -> "PlanState":
        """Return the state after plan and stage were known for a second."""
        known = self
        if plan != self.plan:
            known = replace(known, plan=plan, band_s=None, bands=self.bands if plan == site.plan else {})
        if stage != self.stage or on != self.on:
            return replace(known, stage=stage, on=on, since_s=second_s, band_s=None)
        due = site.stages[stage - 1]
        if on and plan == site.plan and known.band_s is None and second_s - self.since_s >= due.green_s:
            # Of a band that somebody else set, only the longest is known.
            known = replace(known, band_s=known.bands.get(stage, due.band_max_s))
        return known
