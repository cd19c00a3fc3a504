"""The plans of a signal controller: stages in a fixed order, each with a base green and a band that lengthens it.

Plan 1 is the local programme: coordinated, so that its cycle begins at its offset and its length is kept. Plan 2 has
the same stages with the minimum as base green, and further ones, in which nobody gives way, that come only when their
input calls them; its cycle is free, and inputs may end a stage early or leave it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .network import GREEN, GREEN_MAX_S, GREEN_MIN_S, SignalNetwork
from .programme import LocalProgramme, Step, clearance, share_greens
from .stage_sets import calm_states

FURTHER_MAX = 14
COORDINATED = 1
FREE = 2


@dataclass(frozen=True)
class PlanStage:
    """A stage: its state, its base green, and by how much its band lengthens that, by itself and at most."""

    state: str
    green_s: int
    band_s: int
    band_max_s: int
    on_demand: bool
    """Its inputs rule whether it comes and how soon it ends."""
    called: bool = True
    """It comes when its input is left alone."""


@dataclass(frozen=True)
class Plan:
    """The stages of a cycle, numbered from 1; a plan without a cycle time lets the cycle last as long as it does."""

    stages: tuple[PlanStage, ...]
    cycle_s: int | None
    offset_s: int


def plans_of(network: SignalNetwork, local: LocalProgramme) -> dict[int, Plan]:
    """Return the plans of a controller by number, derived from its local programme.

    There is no free plan where there is one stage only, or green for people on foot: what they need to leave a crossing
    depends on what comes next, and the local programme alone has that worked out.
    """
    steps = [step for step in local.steps if step.stage]
    fixed = tuple(_stage(step, step.duration_s) for step in steps)
    plans = {COORDINATED: Plan(fixed, local.cycle_s, local.offset_s)}
    walking = any(
        shown in GREEN and not group.links
        for step in steps
        for group, shown in zip(network.groups, step.state, strict=True)
    )
    if len(steps) > 1 and not walking:
        own = [replace(_stage(step, GREEN_MIN_S), on_demand=True) for step in steps]
        known = {stage.state.upper() for stage in own}
        others = [Step(state, GREEN_MIN_S) for state in calm_states(network) if state.upper() not in known]
        further = [replace(_stage(step, GREEN_MIN_S), on_demand=True, called=False) for step in others]
        plans[FREE] = Plan((*own, *further[:FURTHER_MAX]), None, local.offset_s)
    return plans


def _stage(step: Step, green_s: int) -> PlanStage:
    band_max_s = max(0, GREEN_MAX_S - green_s)
    return PlanStage(step.state, green_s, min(step.duration_s - green_s, band_max_s), band_max_s, on_demand=False)


def call_input(stage: int) -> int:
    """Return the number of the input that says whether a stage is called for."""
    return 2 * stage - 1


def hold_input(stage: int) -> int:
    """Return the number of the input that holds a stage as far as its band goes; while it is off the stage ends."""
    return 2 * stage


class Timeline:
    """A coordinated plan, written out second by second."""

    def __init__(self, programme: LocalProgramme) -> None:
        """Number the stages from 1; a clearance counts to the one that follows."""
        self.programme = programme
        stages = sum(step.stage for step in programme.steps)
        self._numbers: list[int] = []
        begun = 0
        for step in programme.steps:
            begun += step.stage
            self._numbers.append(begun if step.stage else begun % stages + 1)

    def begins(self, second: int) -> bool:
        """Tell whether a cycle begins at a second."""
        return (second - self.programme.offset_s) % self.programme.cycle_s == 0

    def shown(self, second: int) -> tuple[int, str, bool]:
        """Return the stage at a second (of a clearance: the one that follows), its state, and whether it is on."""
        index, _ = self.programme.position(second)
        step = self.programme.steps[index]
        return self._numbers[index], step.state, step.stage

    def coming(self, second: int) -> list[tuple[int, int]]:
        """Return the stages from a second on, one cycle long, with the second at which each ends."""
        found: list[tuple[int, int]] = []
        until = second + 2 * self.programme.cycle_s
        while second < until:
            index, left_s = self.programme.position(second)
            second += left_s
            if self.programme.steps[index].stage:
                found.append((self._numbers[index], second))
        return found


def change(network: SignalNetwork, before: str, after: str) -> list[str]:
    """Return what is shown second by second between two stages of a free plan.

    All that ends turns yellow at once; whatever starts waits for those that it conflicts with, and for nobody else. The
    stage is on when everything is cleared.
    """
    ending = [i for i, now in enumerate(before) if now in GREEN and after[i] not in GREEN]
    cleared = {i: network.groups[i].yellow_s + network.groups[i].clearance_s for i in ending}
    starts = {
        i: max((cleared[foe] for foe in ending if network.conflict(foe, i)), default=0)
        for i, now in enumerate(before)
        if now not in GREEN and after[i] in GREEN
    }
    lasts_s = max(cleared.values(), default=0)
    return [_between(network, before, after, starts, second) for second in range(lasts_s)]


def _between(network: SignalNetwork, before: str, after: str, starts: Mapping[int, int], second: int) -> str:
    shown = ["r"] * len(before)
    for i, (was, comes) in enumerate(zip(before, after, strict=True)):
        if was in GREEN and comes in GREEN:
            shown[i] = "g" if "g" in (was, comes) else "G"
        elif was in GREEN:
            shown[i] = "y" if second < network.groups[i].yellow_s else "r"
        elif comes in GREEN and second >= starts[i]:
            shown[i] = comes
    for minor, major in network.yields:
        if shown[minor] == "G" and shown[major] != "r":
            shown[minor] = "g"
    return "".join(shown)


def written_out(network: SignalNetwork, plan: Plan, bands: Mapping[int, int]) -> LocalProgramme:
    """Return a coordinated plan with bands: its cycle, less the clearances, shared by base green and band.

    The cycle grows only where the minimum greens leave no choice.
    """
    stages = plan.stages
    states = [stage.state for stage in stages]
    ways = [clearance(network, state, states[(index + 1) % len(states)]) for index, state in enumerate(states)]
    greens = [stage.green_s + bands.get(number, stage.band_s) for number, stage in enumerate(stages, start=1)]
    if plan.cycle_s is not None:
        lost_s = sum(step.duration_s for way in ways for step in way)
        greens = share_greens([float(green) for green in greens], plan.cycle_s - lost_s)
    steps: list[Step] = []
    for state, green_s, way in zip(states, greens, ways, strict=True):
        steps += [Step(state, green_s, stage=True), *way]
    return LocalProgramme(tuple(steps), plan.offset_s)
