"""Which stage is due: by the cycle counter where it is fixed, by vehicles where control is isolated."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from .groups import SignalGroups, Times
from .plans import Plan, Stage, stage_at, stage_lengths

COUNTER_MAX = 999
"""Largest counter of status S0001."""


@dataclass(frozen=True, slots=True)
class Due:
    """A stage, its number from 1, how long it has been due, and its shortest and longest length, in seconds."""

    number: int
    stage: Stage
    for_s: float
    least_s: float
    most_s: float


class Programme:
    """The plans of a controller with what was changed in them, and the place in the one that is in use."""

    def __init__(
        self, plans: Mapping[int, Plan], number: int, times: Mapping[str, Times], groups: SignalGroups
    ) -> None:
        """Begin at the first stage of a plan."""
        self.plans = dict(plans)
        self.bands = {each: [0] * len(plan.stages) for each, plan in plans.items()}
        """The extension of each stage in seconds, by plan."""
        self.offsets_s = {each: plan.offset_s for each, plan in plans.items()}
        self.cycles_s = {each: plan.cycle_s for each, plan in plans.items()}
        """As ordered; a cycle that is too short for its stages is longer."""
        self.number = number
        self.fixed_time = False
        self._times = times
        self._groups = groups
        self._index = 0
        self._since_s: float | None = None
        self._cycle_since_s = 0.0

    @property
    def plan(self) -> Plan:
        """Return the plan in use."""
        return self.plans[self.number]

    @property
    def actuated(self) -> bool:
        """Tell whether vehicles have a say."""
        return not (self.fixed_time or self.plan.coordinated)

    @property
    def cycle_s(self) -> int:
        """Return how long the cycle is at fixed times."""
        return sum(self.lengths_s(self.number))

    def lengths_s(self, number: int) -> tuple[int, ...]:
        """Return the length of each stage of a plan at fixed times."""
        plan = self.plans[number]
        wanted = [stage.length_s + band for stage, band in zip(plan.stages, self.bands[number], strict=True)]
        least = [self._least_s(plan, index) for index in range(len(plan.stages))]
        return _lengths(tuple(wanted), tuple(least), self.cycles_s[number])

    def use(self, number: int) -> None:
        """Change the plan; the stage that is due in it follows by way of the clearances."""
        if number != self.number:
            self.number, self._index, self._since_s = number, 0, None

    def reset_bands(self) -> None:
        """Forget all extensions."""
        for band in self.bands.values():
            band[:] = [0] * len(band)

    def counters(self, now_s: float, clock_s: float) -> tuple[int, int]:
        """Return cycle counter and base cycle counter (appendix "coordination" of the exchange list)."""
        if self.plan.coordinated:
            cycle_s = self.cycle_s
            base = int(clock_s) % cycle_s
            return (base + self.offsets_s[self.number]) % cycle_s, base
        counter = min(COUNTER_MAX, int(now_s - self._cycle_since_s)) if self._since_s is not None else 0
        return counter, counter

    def step(self, now_s: float, clock_s: float, held: Collection[str], called: Collection[str]) -> Due:
        """Return the stage that is due; ``held`` are groups with vehicles before them, ``called`` those with a call."""
        if self.plan.coordinated:
            lengths = self.lengths_s(self.number)
            counter_s = (clock_s + self.offsets_s[self.number]) % sum(lengths)
            self._index, for_s = stage_at(lengths, counter_s)
            return Due(self._index + 1, self.plan.stages[self._index], for_s, *self.span_s(self._index))
        if self._since_s is None:
            self._since_s = self._cycle_since_s = now_s
        due = self._due(now_s)
        over = due.for_s >= due.least_s and (due.for_s >= due.most_s or due.stage.groups.isdisjoint(held))
        if over:
            self._go_on(now_s, called)
            due = self._due(now_s)
        return due

    def span_s(self, index: int) -> tuple[float, float]:
        """Return the shortest and longest length of a stage of the plan in use, once it has begun."""
        if not self.actuated:
            length_s = self.lengths_s(self.number)[index]
            return length_s, length_s
        stage = self.plan.stages[index]
        least_s = max(stage.length_s, self._least_s(self.plan, index)) + self.bands[self.number][index]
        return least_s, least_s + stage.extension_s

    def _due(self, now_s: float) -> Due:
        for_s = now_s - (self._since_s if self._since_s is not None else now_s)
        return Due(self._index + 1, self.plan.stages[self._index], for_s, *self.span_s(self._index))

    def _go_on(self, now_s: float, called: Collection[str]) -> None:
        for _ in self.plan.stages:
            self._index = (self._index + 1) % len(self.plan.stages)
            if self._index == 0:
                self._cycle_since_s = now_s
            stage = self.plan.stages[self._index]
            if self.fixed_time or not stage.on_call or not stage.groups.isdisjoint(called):
                break
        self._since_s = now_s

    def _least_s(self, plan: Plan, index: int) -> int:
        """Return what a stage needs for the clearance that leads into it and its minimum greens."""
        stage, before = plan.stages[index].groups, plan.stages[index - 1].groups
        begins = stage - before or stage
        clearance_s = max((self._groups.intergreen_s(ends, each) for ends in before for each in begins), default=0.0)
        return int(clearance_s + max((self._times[each].minimum_green_s for each in begins), default=0.0) + 0.999)


@lru_cache(maxsize=256)
def _lengths(wanted_s: tuple[int, ...], least_s: tuple[int, ...], cycle_s: int) -> tuple[int, ...]:
    return tuple(stage_lengths(wanted_s, least_s, cycle_s))
