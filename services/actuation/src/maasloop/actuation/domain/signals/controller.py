"""Chooses what a junction shows next: the stage with the highest service rate, asked for as a timed sequence.

Each second: ``called = controller.hear(second, readings, aspects)``, then ``state = state.observe(second, aspects,
called)``, then ``decision = controller.decide(state)``. A decision on second t acts from t + 1. What it asks for still
has to pass the kernel.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .aspects import Aspect, Aspects
from .kernel import SequenceRequest, SequenceStep, expiry_latest_s
from .outlook import Prospect, StagePlan, plan_stage
from .priority import Priorities
from .sequence import starts_of, way_to
from .sheet import GroupKind, Sheet
from .stages import Stage, apart_at_short_roads, stages_of
from .state import JunctionState
from .traffic.area import VehicleSeen
from .traffic.crossing import WAIT_MAX_S
from .traffic.estimate import LoopReading
from .traffic.forecast import Departure
from .traffic.neighbourhood import NOTHING_HEARD, Hears, Says
from .traffic.perception import Perception
from .unwanted import Unwanted

ISSUER = "signal-controller"
LOCK_CYCLES = 2
SHUT_MARGIN_S = 30.0
"""So long before its maximum wait is over a group is served even where it finds no room behind the junction, or holds up who turns."""
UNSEEN_MAX = 0.5
"""Where more of the lanes are not seen, the local programme knows better."""


@dataclass(frozen=True)
class Parameters:
    """One set for every network: nothing here depends on a scenario, its size or a seed."""

    horizon_s: float = 60.0
    stay_s: float = 4.0
    penalty_s: float = 0.6
    damping: float = 0.6
    hold_s: float = 40.0
    refresh_s: float = 12.0
    guard_s: float = 13.0
    clearing_s: float = 3.0


Ranked = tuple[tuple[float, Stage], ...]
"""The stages that were compared with their indices, best first."""


@dataclass(frozen=True)
class Hold:
    """Nothing is asked for; what runs goes on."""

    reason: str
    ranked: Ranked = ()


@dataclass(frozen=True)
class Ask:
    """A sequence is asked for."""

    request: SequenceRequest
    reason: str
    ranked: Ranked = ()


@dataclass(frozen=True)
class Release:
    """The junction is better left to its local programme for a while."""

    reason: str
    ranked: Ranked = ()


Decision = Hold | Ask | Release


@dataclass
class Controller:
    """The adaptive controller of one junction; it keeps what it has learned of the traffic between seconds."""

    sheet: Sheet
    parameters: Parameters = field(default_factory=Parameters)
    issuer: str = ISSUER

    def __post_init__(self) -> None:
        """Derive everything that does not change from the sheet."""
        self.sheet = apart_at_short_roads(self.sheet)
        self.perception = Perception(self.sheet)
        self.priorities = Priorities(self.sheet)
        self.stages = stages_of(self.sheet)
        self._plans: dict[Stage, StagePlan] = {}
        self._local_until_s = -math.inf
        self._next: Stage | None = None
        self._on_foot = frozenset(one.id for one in self.sheet.groups if one.kind is GroupKind.PEDESTRIAN)
        self._cycle_s = sum(step.duration_s for step in self.sheet.local.steps)

    def hear(
        self,
        second_s: float,
        readings: Mapping[str, LoopReading],
        aspects: Aspects,
        seen: Mapping[str, Sequence[VehicleSeen]] | None = None,
        heard: Hears = NOTHING_HEARD,
    ) -> frozenset[str]:
        """Take in one second of readings, the aspects shown, and the vehicles on every lane that is watched.

        Return the groups that are called. A lane that ``seen`` leaves out is known by its loops only; ``heard`` is what
        the other junctions said in the second before.
        """
        self.perception.hear(second_s, readings, aspects, seen, heard)
        return self.perception.called(aspects)

    @property
    def says(self) -> Says:
        """Return what the other junctions are told in this second."""
        return self.perception.says

    def decide(self, state: JunctionState) -> Decision:
        """Decide on the second of ``state`` what to ask for from the next second on."""
        decision = self._decide(state)
        self.perception.short_roads.ask(decision.request.steps[-1].aspects if isinstance(decision, Ask) else {})
        return decision

    def _decide(self, state: JunctionState) -> Decision:
        not_before_s = state.second_s + 1
        if state.busy_until_s > not_before_s:
            return Hold("a sequence is running")
        left = self.leave(state)
        if left is not None:
            return left
        if any(group.aspect is Aspect.YELLOW for group in state.groups.values()):
            return Hold("the local programme is clearing")
        current = frozenset(name for name, group in state.groups.items() if group.green)
        if self.perception.short_roads.lanes:
            self.perception.short_roads.end_in(self._allowed_s(state, not_before_s) - self.parameters.guard_s, current)
        onward = self._onward(state, not_before_s)
        if onward is not None:
            return onward
        self.priorities.weigh(state.second_s, self.perception.lanes)
        unwanted = self._unwanted(state, current, not_before_s)
        ranked = self._ranked(state, current, unwanted, not_before_s)
        sooner = self._sooner(state, ranked[0][1], not_before_s)
        before = sorted((pair for pair in ranked if sooner in pair[1]), key=_index, reverse=True)
        for index, stage in dict.fromkeys((*before, *ranked)):
            goes_before = f", {sooner} before" if (index, stage) in before else ""
            wanted, reason = unwanted.out_of(stage, f"index {index:.3f}{self.priorities.reason}{goes_before}")
            decision = self._towards(state, wanted, current, not_before_s, reason)
            if decision is not None:
                return replace(decision, ranked=tuple(ranked))
        return Hold("nothing else may be asked for now", tuple(ranked))

    def _sooner(self, state: JunctionState, stage: Stage, not_before_s: float) -> str | None:
        """Return the conflicting group that has waited longest, where the stage that an emergency needs could not be kept until it has passed.

        It is served before, as long as there is time for both.
        """
        if self.priorities.first is None:
            return None
        group, comes_s = self.priorities.first
        steps = way_to(self.sheet, state, stage, not_before_s)
        if expiry_latest_s(self.sheet, state, steps, not_before_s) >= comes_s + self.parameters.guard_s:
            return None
        waits_s = {name: _waited_s(state, name) for name in self.sheet.foes[group]}
        longest = max(waits_s, key=lambda name: waits_s[name], default="")
        return longest if waits_s.get(longest, 0.0) > 0.0 else None

    def leave(self, state: JunctionState) -> Hold | Release | None:
        """Return a decision where the junction is better left to its local programme for a while, else nothing."""
        if state.second_s < self._local_until_s:
            return Hold("the local programme is left to itself for a while")
        locked = self.perception.locked()
        if locked:
            self._local_until_s = state.second_s + LOCK_CYCLES * self._cycle_s
            return Release(f"{', '.join(locked)} stand under green and nobody leaves")
        if self.perception.unseen() > UNSEEN_MAX:
            self._local_until_s = state.second_s + LOCK_CYCLES * self._cycle_s
            return Release("more than half of the lanes are not seen")
        return None

    def _towards(
        self, state: JunctionState, stage: Stage, current: Stage, not_before_s: float, reason: str
    ) -> Decision | None:
        """Ask for a stage; those of its groups wait red that would start while a foe is stuck in the junction."""
        guard_s = self.parameters.guard_s
        shut = self._shut(state, stage, not_before_s)
        if shut:
            stage = stage - shut
            reason = f"{reason}, {len(shut)} groups find no room behind the junction"
            if not stage:
                return None
        if self.perception.short_roads.keep(state.second_s, current - stage):
            kept = current - self._shut(state, current, not_before_s)
            staying = self._stay(state, kept, current, not_before_s, f"{reason}, a short road is still entered")
            if staying is not None:
                return staying
        stuck = {foe for name in stage - current for foe in self.sheet.foes[name]} & self.perception.stuck()
        waiting = {name for name in stage - current if not stuck.isdisjoint(self.sheet.foes[name])}
        starting = frozenset(name for name in stage - current if not current.isdisjoint(self.sheet.foes[name]))
        if starting and not waiting and not self.perception.crossing.unsure().isdisjoint(current - stage):
            asked = self._clearing(state, stage, starting, not_before_s, reason)
            if asked is not None:
                self._next = stage
                return asked
        if waiting:
            # Who has found no gap for a while gets one: those with the right of way end as well.
            held = {major for name in stuck & self.perception.held() for major in self.sheet.majors[name]}
            stage = stage - waiting - held
            reason = f"{reason}, {len(waiting)} groups wait until the junction is clear"
            guard_s = self.parameters.clearing_s
        if stage == current and self._may_stay(state, not_before_s):
            return Hold(reason)
        return self._ask(state, stage, not_before_s, reason, guard_s=guard_s)

    def _stay(
        self, state: JunctionState, kept: Stage, current: Stage, not_before_s: float, reason: str
    ) -> Decision | None:
        """Hold what is kept of the greens, or ask for it; nothing where somebody else would wait too long."""
        if kept == current and self._may_stay(state, not_before_s):
            return Hold(reason)
        return self._ask(state, kept, not_before_s, reason, guard_s=self.parameters.guard_s)

    def _onward(self, state: JunctionState, not_before_s: float) -> Decision | None:
        """Go on to the stage that was chosen, if nobody is held up inside any longer; nothing where none was."""
        stage, self._next = self._next, None
        if stage is None:
            return None
        current = frozenset(name for name, group in state.groups.items() if group.green)
        inside = self.perception.crossing.late()
        waiting = {name for name in stage - current if not inside.isdisjoint(self.sheet.foes[name])}
        if waiting:
            self._next = stage
            return Hold(f"{len(waiting)} groups wait until the junction is clear")
        unwanted = self._unwanted(state, current, not_before_s)
        wanted, reason = unwanted.out_of(stage, "nobody is held up inside")
        return self._towards(state, wanted, current, not_before_s, reason)

    def _clearing(
        self, state: JunctionState, stage: Stage, starting: Stage, not_before_s: float, reason: str
    ) -> Ask | None:
        """Ask for the end of the greens only: if nobody is held up inside by then, the rest starts as soon as it would have."""
        reason = f"{reason}, {len(starting)} groups wait until it is known who is inside"
        guard_s = self.parameters.clearing_s + WAIT_MAX_S
        return self._ask(state, stage - starting, not_before_s, reason, guard_s=guard_s)

    def _unwanted(self, state: JunctionState, current: Stage, not_before_s: float) -> Unwanted:
        """Return what is left out of the stages: nothing that is helped, has waited for long, or whose minimum green is not over."""
        kept = self._fresh(state, not_before_s) | self.priorities.helped
        idle = self.perception.idle() - kept
        in_the_way = {name for name in self.perception.walkers.in_the_way - kept if self._can_wait(state, name)}
        return Unwanted((idle - current) | (idle & self._on_foot), frozenset(in_the_way))

    def _shut(self, state: JunctionState, stage: Stage, not_before_s: float) -> frozenset[str]:
        """Return the groups of a stage that find no room behind the junction, and that can wait for it.

        An emergency vehicle does not wait: those ahead of it make way for it there.
        """
        kept = self._fresh(state, not_before_s) | self.priorities.making_way
        return frozenset(name for name in stage - kept if self.perception.shut(name) and self._can_wait(state, name))

    def _can_wait(self, state: JunctionState, name: str) -> bool:
        """Tell whether a group may be left out although somebody wants it: its maximum wait is not nearly over."""
        return _waited_s(state, name) < self.sheet.group[name].maximum_wait_s - SHUT_MARGIN_S

    def _may_stay(self, state: JunctionState, not_before_s: float) -> bool:
        """Tell whether what is held lasts long enough, and may last: nobody waits too long for it."""
        held_until_s = state.lease.until_s if state.lease is not None else not_before_s
        lasting = held_until_s - not_before_s > self.parameters.refresh_s
        return lasting and self._allowed_s(state, not_before_s) >= self.parameters.guard_s

    def _allowed_s(self, state: JunctionState, not_before_s: float) -> float:
        """Return for how long what is shown may stay at most: maximum greens and maximum waits end it."""
        stay = (SequenceStep(0, state.aspects()),)
        return expiry_latest_s(self.sheet, state, stay, not_before_s) - not_before_s

    def _ask(
        self, state: JunctionState, stage: Stage, not_before_s: float, reason: str, *, guard_s: float
    ) -> Ask | None:
        steps = way_to(self.sheet, state, stage, not_before_s)
        ends_s = not_before_s + steps[-1].offset_s
        latest_s = expiry_latest_s(self.sheet, state, steps, not_before_s)
        if latest_s < ends_s + guard_s:
            return None
        request = SequenceRequest(
            junction=self.sheet.junction,
            steps=steps,
            start_state=state.aspects(),
            not_before_s=not_before_s,
            expires_s=min(latest_s, ends_s + self.parameters.hold_s),
            issuer=self.issuer,
            authority=self.priorities.authority,
        )
        return Ask(request, reason)

    def _ranked(
        self, state: JunctionState, current: Stage, unwanted: Unwanted, not_before_s: float
    ) -> list[tuple[float, Stage]]:
        parameters = self.parameters
        prospect = Prospect(self.perception, state, parameters.horizon_s)
        running = dict.fromkeys(current, 0.0)
        favoured = self.priorities.departures(current, running)
        index = service_rate(
            self._plan(current), running, prospect, parameters, begun_s=parameters.stay_s, favoured=favoured
        )
        ranked = [(index, current)]
        starts = starts_of(self.sheet, state, not_before_s)
        fresh = self._fresh(state, not_before_s)
        crossings = (unwanted.idle & self._on_foot) | unwanted.in_the_way
        for stage in dict.fromkeys(stage - crossings for stage in self.stages) if crossings else self.stages:
            if not stage or stage == current or not fresh <= stage:
                continue
            begun_s = max(starts[name] + self.sheet.group[name].minimum_green_s for name in stage)
            index = service_rate(
                self._plan(stage),
                starts,
                prospect,
                parameters,
                begun_s=begun_s,
                penalty_s=parameters.penalty_s,
                favoured=self.priorities.departures(stage, starts),
            )
            ranked.append((index, stage))
        return self.priorities.order(sorted(ranked, key=lambda pair: -pair[0]), current)

    def _plan(self, stage: Stage) -> StagePlan:
        plan = self._plans.get(stage)
        if plan is None:
            plan = self._plans[stage] = plan_stage(self.sheet, stage)
        return plan

    def _fresh(self, state: JunctionState, not_before_s: float) -> Stage:
        """Return the groups whose minimum green is not over: a stage without them would only be asked for later."""
        return frozenset(
            name
            for name, group in state.groups.items()
            if group.green and not_before_s - group.since_s < self.sheet.group[name].minimum_green_s
        )


def _index(ranked: tuple[float, Stage]) -> float:
    return ranked[0]


def _waited_s(state: JunctionState, name: str) -> float:
    group = state.groups[name]
    if group.called_since_s is None or group.green:
        return 0.0
    return state.second_s - max(group.since_s, group.called_since_s)


def service_rate(
    plan: StagePlan,
    starts: Mapping[str, float],
    prospect: Prospect,
    parameters: Parameters,
    *,
    begun_s: float,
    penalty_s: float = 0.0,
    favoured: Sequence[Departure] = (),
) -> float:
    """Return the service rate of a stage: the best block of its departures, less what keeps coming anyway.

    ``favoured`` are departures that count on top of those of the lanes.
    """
    events = list(favoured)
    rate = 0.0
    for lane_plan in plan.lanes:
        found, lane_rate = prospect.of(lane_plan, starts)
        events.extend(found)
        rate += lane_rate
    return _best_block(events, begun_s, penalty_s, rate * parameters.damping)


def _best_block(events: list[Departure], begun_s: float, penalty_s: float, damped_rate: float) -> float:
    """Return the best of (departures until t less damped arrivals) over t, for t not before the block has begun."""
    events.sort(key=_at)
    best, served = 0.0, 0.0
    pending = True
    for at_s, weight, _ in events:
        if pending and at_s > begun_s:
            pending = False
            best = max(best, (served - damped_rate * begun_s) / (begun_s + penalty_s))
        served += weight
        until_s = max(at_s, begun_s)
        best = max(best, (served - damped_rate * until_s) / (until_s + penalty_s))
    return best


def _at(departure: Departure) -> float:
    return departure[0]
