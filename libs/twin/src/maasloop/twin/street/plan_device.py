"""A signal controller that runs its plans of its own accord; what arrives from outside only sets what they leave open.

That is all that RSMP offers: a plan (M0002), bands (M0014) with their time-out (M0023), offset (M0015), cycle time
(M0018) and forced inputs (M0006, M0019). Whatever is asked, no green is below its minimum and no clearance is cut.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from .bands import COORDINATED, FREE, Plan, Timeline, call_input, change, hold_input, plans_of, written_out
from .network import GREEN_MIN_S
from .programme import clearance
from .site import Junction

CYCLE_MAX_S = 255
DEAD_MAN_MAX_S = 65_535 * 60


class PlanDevice:
    """One controller. Call ``tick`` once a second with a rising second; it returns the state to show in that second."""

    def __init__(self, junction: Junction) -> None:
        """Begin in plan 1, where it is at the first second."""
        self.junction = junction
        self.plans = plans_of(junction.network, junction.local)
        self.plan = COORDINATED
        self.stage = 1
        """The stage that is on; of a clearance, the one that follows."""
        self.state = ""
        self.cycle_counter = 0
        """Seconds since the cycle began."""
        self.base_cycle_counter = 0
        """The same, standing still while a band lengthens a stage."""
        self._bands: dict[int, dict[int, int]] = {number: {} for number in self.plans}
        self._band_s: int | None = None
        self._inputs: dict[int, bool] = {}
        self._states = [stage.state for stage in self.plans.get(FREE, self.plans[COORDINATED]).stages]
        self._timeline = Timeline(junction.local)
        self._pending: Timeline | None = None
        self._clearing: deque[str] = deque()
        self._since = 0
        self._second = -1
        self._dead_man_s = 0
        self._bands_set_at: int | None = None

    @property
    def remote(self) -> bool:
        """Tell whether anything set from outside rules, rather than plan 1 as it is."""
        return self.plan != COORDINATED or bool(self._inputs) or any(self._bands.values())

    @property
    def clearing(self) -> bool:
        """Tell whether a clearance is shown."""
        return bool(self._clearing) or self._since > self._second

    def select_plan(self, number: int | None) -> None:
        """Change the plan once the stage that is on had its base green; none means back to plan 1 (M0002)."""
        number = COORDINATED if number is None else number
        self._known(number)
        self.plan = number

    def set_bands(self, number: int, bands: Mapping[int, int]) -> None:
        """Set by how many seconds the bands of a plan lengthen its stages; those not named keep theirs (M0014).

        A band counts when it is reached, that is when the base green of its stage ends; a stage in its band keeps the
        length it began it with. In plan 1, whose cycle is kept, bands count from the next beginning of a cycle.
        ``ValueError`` for a plan, a stage or a length that is not there: then none is set.
        """
        stages = self._open(number).stages
        for stage, band_s in bands.items():
            if not 1 <= stage <= len(stages):
                message = f"plan {number} has no stage {stage}"
                raise ValueError(message)
            if not 0 <= band_s <= stages[stage - 1].band_max_s:
                message = f"band {stage} of plan {number} is 0 to {stages[stage - 1].band_max_s} s, not {band_s}"
                raise ValueError(message)
        self._bands[number].update(bands)
        self._bands_set_at = self._second
        self._rewrite(number)

    def bands(self, number: int) -> dict[int, int]:
        """Return the bands of a plan as they are in force (S0023)."""
        stages = enumerate(self._known(number).stages, start=1)
        return {stage: self._bands[number].get(stage, known.band_s) for stage, known in stages}

    def set_dead_man(self, seconds: int) -> None:
        """Fall back to plan 1 as it is when no bands arrive for so long; 0 turns this off (M0023)."""
        if not 0 <= seconds <= DEAD_MAN_MAX_S:
            message = f"the time-out is 0 to {DEAD_MAN_MAX_S} s, not {seconds}"
            raise ValueError(message)
        self._dead_man_s = seconds

    def set_offset(self, number: int, offset_s: int) -> None:
        """Let the cycles of a plan begin at another second, from the next beginning of a cycle on (M0015)."""
        plan = self._open(number)
        if not 0 <= offset_s <= CYCLE_MAX_S:
            message = f"an offset is 0 to {CYCLE_MAX_S} s, not {offset_s}"
            raise ValueError(message)
        self.plans[number] = replace(plan, offset_s=offset_s)
        self._rewrite(number)

    def set_cycle(self, number: int, cycle_s: int) -> None:
        """Change the cycle time of a plan from the next beginning of a cycle on, greens in proportion (M0018)."""
        if not 1 <= cycle_s <= CYCLE_MAX_S:
            message = f"a cycle is 1 to {CYCLE_MAX_S} s, not {cycle_s}"
            raise ValueError(message)
        plan = self._open(number)
        if plan.cycle_s is None:
            message = f"the cycle of plan {number} is free"
            raise ValueError(message)
        self.plans[number] = replace(plan, cycle_s=cycle_s)
        self._rewrite(number)

    def force(self, number: int, value: bool | None) -> None:
        """Force an input on or off, or leave it alone again (M0006, M0019): a stage has one to call it, one to hold it."""
        if not (FREE in self.plans and 1 <= number <= hold_input(len(self.plans[FREE].stages))):
            message = f"there is no input {number}"
            raise ValueError(message)
        if value is None:
            self._inputs.pop(number, None)
        else:
            self._inputs[number] = value

    def fall_back(self) -> None:
        """Return to plan 1 as it is: no bands, no forced inputs; the way there has its base green and clearance."""
        self.plan = COORDINATED
        self._inputs.clear()
        for bands in self._bands.values():
            bands.clear()
        self._bands_set_at = None
        self.plans = plans_of(self.junction.network, self.junction.local)
        self._timeline, self._pending = Timeline(self.junction.local), None

    def tick(self, second: int) -> str:
        """Return the state to show in ``second``."""
        first, self._second = self._second < 0, second
        if FREE not in self.plans:
            self.stage, self.state, on = self._timeline.shown(second)
            self._since = second if on else second + 1
            self._count(second)
            return self.state
        if first:
            self._begin(second)
        if self._dead_man_s and self._bands_set_at is not None and second > self._bands_set_at + self._dead_man_s:
            self.fall_back()
        if self._pending is not None and self._timeline.begins(second):
            self._timeline, self._pending = self._pending, None
        if not self._clearing:
            self._change(self._next(second), second)
        self.state = self._clearing.popleft() if self._clearing else self._states[self.stage - 1]
        self._count(second)
        return self.state

    def _known(self, number: int) -> Plan:
        if number not in self.plans:
            message = f"there is no plan {number}"
            raise ValueError(message)
        return self.plans[number]

    def _open(self, number: int) -> Plan:
        """Return a plan of a controller that lets its plans be changed: one that has a free one."""
        plan = self._known(number)
        if FREE not in self.plans:
            message = "the plans of this controller are fixed"
            raise ValueError(message)
        return plan

    def _rewrite(self, number: int) -> None:
        if number == COORDINATED:
            plan = self.plans[COORDINATED]
            self._pending = Timeline(written_out(self.junction.network, plan, self._bands[COORDINATED]))

    def _begin(self, second: int) -> None:
        """Step into plan 1 where it is: in a stage as if it had just begun, or in a clearance."""
        moment = second
        self.stage, state, on = self._timeline.shown(moment)
        while not on:
            self._clearing.append(state)
            moment += 1
            _, state, on = self._timeline.shown(moment)
        self._since = moment

    def _next(self, second: int) -> int:
        """Return the stage that a second belongs to, or leads to."""
        elapsed_s = second - self._since
        if elapsed_s < GREEN_MIN_S:
            return self.stage
        return self._due(second) if self.plan == COORDINATED else self._wanted(elapsed_s)

    def _due(self, second: int) -> int:
        """Return the stage of plan 1 to go for: the first that lasts long enough still when the clearance is over."""
        number, _, on = self._timeline.shown(second)
        if on and number == self.stage:
            return number
        for number, ends in self._timeline.coming(second):
            if number == self.stage or ends - second - self._way_s(number) >= GREEN_MIN_S:
                return number
        return self.stage

    def _wanted(self, elapsed_s: int) -> int:
        """Return the stage of a free plan to go for: the next one called, when the band is over or nothing holds."""
        stages = self.plans[self.plan].stages
        stage = stages[self.stage - 1]
        if self._band_s is None:
            self._band_s = self._bands[self.plan].get(self.stage, stage.band_s)
        held = self._inputs.get(hold_input(self.stage), True) or not stage.on_demand
        if held and elapsed_s < stage.green_s + self._band_s:
            return self.stage
        for ahead in range(1, len(stages)):
            number = (self.stage - 1 + ahead) % len(stages) + 1
            following = stages[number - 1]
            if not following.on_demand or self._inputs.get(call_input(number), following.called):
                return number
        return self.stage

    def _way_s(self, number: int) -> int:
        way = clearance(self.junction.network, self._states[self.stage - 1], self._states[number - 1])
        return sum(step.duration_s for step in way)

    def _change(self, number: int, second: int) -> None:
        if number == self.stage:
            return
        network, before, after = self.junction.network, self._states[self.stage - 1], self._states[number - 1]
        if self.plan == COORDINATED:
            self._clearing.extend(
                step.state for step in clearance(network, before, after) for _ in range(step.duration_s)
            )
        else:
            self._clearing.extend(change(network, before, after))
        self._since = second + len(self._clearing)
        self._band_s = None
        if number < self.stage:
            self.cycle_counter = self.base_cycle_counter = -1
        self.stage = number

    def _count(self, second: int) -> None:
        if self.plan == COORDINATED:
            programme = self._timeline.programme
            self.cycle_counter = self.base_cycle_counter = (second - programme.offset_s) % programme.cycle_s
            return
        self.cycle_counter += 1
        self.base_cycle_counter += self._band_s is None
