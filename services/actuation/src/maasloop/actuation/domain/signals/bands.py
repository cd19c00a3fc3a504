"""The second hand: the same index, put into bands, calls and holds for a site that runs its own plan.

Each second the controller hears, ``state = state.observe(…)`` and ``shown = watch(…)`` tell what the site does, then
``decision = hand.decide(state, shown)``. What is asked for has to pass ``bands_kernel``; what may not be asked for is
not asked for.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from maasloop.actuation.domain.authority import Authority

from .bands_kernel import (
    BandsRequest,
    clearance_s,
    course,
    deadlines_of,
    judge_bands,
    late_groups,
    starts_of,
)
from .controller import Controller, Hold, Ranked, Release, service_rate
from .outlook import Prospect, StagePlan, plan_stage
from .site_plan import PlanState, SitePlan
from .stages import Stage
from .state import JunctionState
from .traffic.forecast import Departure

REFRESH_SHARE = 0.5
"""Bands are sent again when this share of the dead-man time is over."""
GAP_S = 4.0
"""A queue ends where nobody follows for so long."""
SPARE_S = 2.0


@dataclass(frozen=True)
class AskBands:
    """Bands and inputs are asked for."""

    request: BandsRequest
    reason: str
    ranked: Ranked = ()
    chosen: Stage = frozenset()
    """The stage that shall be on: the one that is, or the one to come."""


BandsDecision = Hold | AskBands | Release


class BandsHand:
    """Puts what the controller of one junction would do into what its site leaves open."""

    def __init__(self, controller: Controller) -> None:
        """Use what the controller hears and knows; ``ValueError`` where the site has no plan with bands."""
        self.sheet = controller.sheet
        if self.sheet.bands is None:
            message = f"the sheet of {self.sheet.junction} declares no plan with bands"
            raise ValueError(message)
        self.site: SitePlan = self.sheet.bands
        self.parameters = controller.parameters
        self._controller = controller
        self._plans: list[StagePlan] = [plan_stage(self.sheet, green) for green in self.sheet.band_stages]
        self._last: BandsRequest | None = None

    def decide(self, state: JunctionState, shown: PlanState) -> BandsDecision:
        """Decide on the second of ``state`` what to ask for from the next second on."""
        left = self._controller.leave(state)
        if left is not None:
            self._last = None
            return left
        if not shown.on:
            return Hold("the site is clearing")
        if self._green_left_s(state, shown) > 0.0:
            return Hold("the base green is not over")
        prospect = Prospect(self._controller.perception, state, self.parameters.horizon_s)
        rates = self._rates(state, shown, prospect)
        ranked = tuple((rate, self.sheet.band_stages[number - 1]) for rate, number in rates)
        for rate, number in rates:
            asked = self._permitted(state, shown, prospect, number)
            if asked is not None:
                reason = f"stage {number}, index {rate:.3f}"
                held = self._unneeded(state, shown, asked)
                if held is not None:
                    return Hold(f"{reason}{held}", ranked)
                self._last = asked
                return AskBands(asked, reason, ranked, self.sheet.band_stages[number - 1])
        return Hold("nothing may be asked for", ranked)

    def forget(self) -> None:
        """Take nothing for set any more: the site did not take it."""
        self._last = None

    def _permitted(
        self, state: JunctionState, shown: PlanState, prospect: Prospect, number: int
    ) -> BandsRequest | None:
        stays = number == shown.stage
        asked = self._stay(state, shown, prospect) if stays else self._go(state, shown, prospect, number)
        refusal = judge_bands(self.sheet, state, replace(shown, asked_s=-math.inf), asked)
        return asked if refusal is None else None

    def _unneeded(self, state: JunctionState, shown: PlanState, asked: BandsRequest) -> str | None:
        """Return why a wish is not sent: only other inputs, a band about to be reached, or its age are worth it."""
        if state.second_s - shown.asked_s < self.site.interval_s:
            return f"; the site takes requests {self.site.interval_s:g} s apart"
        last = self._last
        if last is None or shown.plan != self.site.plan:
            return None
        same = (last.calls, last.holds) == (asked.calls, asked.holds)
        old = state.second_s - shown.asked_s >= self.site.dead_man_s * REFRESH_SHARE
        known = shown.band_s is not None or last.bands == asked.bands
        return " as before" if same and known and not old else None

    def _green_left_s(self, state: JunctionState, shown: PlanState) -> float:
        """Return the seconds of base green that are left when a request of this second acts; then a band is reached."""
        return max(0.0, shown.since_s + self.site.stages[shown.stage - 1].green_s - state.second_s - 1)

    def _rates(self, state: JunctionState, shown: PlanState, prospect: Prospect) -> list[tuple[float, int]]:
        """Return the stages that can come next, and the one that is on, by index; those that would block left out."""
        here = shown.stage
        green = self.sheet.band_stages[here - 1]
        starts = dict.fromkeys(green, 0.0)
        rates = [(self._rate(here, starts, prospect, self.parameters.stay_s, 0.0), here)]
        stuck = self._controller.perception.stuck()
        for number in self.site.after(here) if self.site.stages[here - 1].on_demand else ():
            coming = self.sheet.band_stages[number - 1]
            if not any(stuck.intersection(self.sheet.foes[name]) for name in coming - green):
                starts = starts_of(self.sheet, here, number)
                begun_s = clearance_s(self.sheet, here, number) + self.site.stages[number - 1].green_s
                rates.append((self._rate(number, starts, prospect, begun_s, self.parameters.penalty_s), number))
            if not self.site.stages[number - 1].on_demand:
                break
        return sorted(rates, key=lambda pair: -pair[0])

    def _rate(
        self, number: int, starts: Mapping[str, float], prospect: Prospect, begun_s: float, penalty_s: float
    ) -> float:
        return service_rate(
            self._plans[number - 1], starts, prospect, self.parameters, begun_s=begun_s, penalty_s=penalty_s
        )

    def _go(self, state: JunctionState, shown: PlanState, prospect: Prospect, number: int) -> BandsRequest:
        """End the stage that is on, and call for one; others come only where somebody would wait too long."""
        until_s = state.second_s + 1 + self.site.dead_man_s
        late = [name for name, deadline_s in self._deadlines(state) if deadline_s < until_s]
        called = self._serving(late, {number}, shown)
        return self._fitted(state, shown, self._request(state, prospect, called, holds={shown.stage: False}))

    def _stay(self, state: JunctionState, shown: PlanState, prospect: Prospect) -> BandsRequest:
        """Let the stage that is on use its band, as long as the others and the cycle allow."""
        here = shown.stage
        called = self._serving([name for name, _ in self._deadlines(state)], {here}, shown)
        asked = self._request(state, prospect, called, holds={here: True})
        if self.site.stages[here - 1].on_demand and shown.band_s is None:
            longest_s = asked.bands[here] + max(0.0, self._room_s(asked))
            longest_s = min(self.site.stages[here - 1].band_max_s, longest_s)
            asked = replace(asked, bands={**asked.bands, here: longest_s})
        return self._fitted(state, shown, asked)

    def _deadlines(self, state: JunctionState) -> list[tuple[str, float]]:
        """Return the groups that are waited for, with the end of their longest wait, first those with the earliest."""
        return sorted(deadlines_of(self.sheet, state).items(), key=lambda pair: (pair[1], pair[0]))

    def _serving(self, names: Sequence[str], called: set[int], shown: PlanState) -> set[int]:
        """Return stages that serve all these groups: those called already, and few more, first those that serve most."""
        found = set(called)
        for name in names:
            left = {one for one in names if all(one not in self.sheet.band_stages[number - 1] for number in found)}
            serving = [one for one in self.site.after(shown.stage) if name in self.sheet.band_stages[one - 1]]
            if name in left and serving:
                found.add(max(serving, key=lambda number: len(left & self.sheet.band_stages[number - 1])))
        return found

    def _request(
        self, state: JunctionState, prospect: Prospect, called: set[int], *, holds: Mapping[int, bool]
    ) -> BandsRequest:
        numbers = range(1, len(self.site.stages) + 1)
        on_demand = {number for number in numbers if self.site.stages[number - 1].on_demand}
        bands = {
            number: self._need_s(number, prospect) if number in called or number not in on_demand else 0.0
            for number in numbers
        }
        return BandsRequest(
            junction=self.sheet.junction,
            plan=self.site.plan,
            bands=bands,
            not_before_s=state.second_s + 1,
            expires_s=state.second_s + 1 + self.site.dead_man_s,
            issuer=self._controller.issuer,
            authority=Authority.ADAPTIVE,
            calls={number: number in called for number in sorted(on_demand)},
            holds={number: held for number, held in holds.items() if number in on_demand},
        )

    def _need_s(self, number: int, prospect: Prospect) -> float:
        """Return the band that lets go who stands and who follows close behind, in whole seconds."""
        stage = self.site.stages[number - 1]
        starts = dict.fromkeys(self.sheet.band_stages[number - 1], 0.0)
        last_s = 0.0
        for lane in self._plans[number - 1].lanes:
            events, _ = prospect.of(lane, starts)
            last_s = max(last_s, _cleared_s(events))
        return float(min(stage.band_max_s, max(0, math.ceil(last_s + SPARE_S - stage.green_s))))

    def _room_s(self, asked: BandsRequest) -> float:
        """Return the seconds that the longest cycle leaves when all stages that come use their bands."""
        called = [number for number in asked.bands if self.site.comes(number, asked.calls)]
        used_s = sum(self.site.stages[number - 1].green_s + asked.bands[number] for number in called)
        used_s += sum(clearance_s(self.sheet, called[index - 1], number) for index, number in enumerate(called))
        return math.floor(self.site.cycle_max_s - used_s)

    def _fitted(self, state: JunctionState, shown: PlanState, asked: BandsRequest) -> BandsRequest:
        """Shorten the longest bands until the cycle is kept and the longest course serves everybody in time."""
        while (excess_s := -self._room_s(asked)) > 0.0 and any(asked.bands.values()):
            asked = _shortened(asked, asked.bands, excess_s)
        for _ in self.site.stages:
            turns = course(self.sheet, self.site, shown, asked)
            late = late_groups(self.sheet, state, turns, asked)
            if not late:
                break
            deadline_s, name = min(late)
            serving = [turn.begins_s for turn in turns if name in self.sheet.band_stages[turn.stage - 1]]
            before = [turn.stage for turn in turns if serving and turn.begins_s < serving[0]]
            if not any(asked.bands[number] for number in before):
                break
            asked = _shortened(asked, before, serving[0] - deadline_s)
        return asked


def _shortened(asked: BandsRequest, among: Iterable[int], excess_s: float) -> BandsRequest:
    longest = max(among, key=lambda number: asked.bands[number])
    shorter_s = max(0.0, asked.bands[longest] - math.ceil(excess_s))
    return replace(asked, bands={**asked.bands, longest: shorter_s})


def _cleared_s(events: Sequence[Departure]) -> float:
    """Return when the queue of a lane is gone: the last departure before a gap, of those whose weight counts."""
    last_s = 0.0
    for at_s, _, _ in events:
        if at_s > last_s + GAP_S:
            break
        last_s = at_s
    return last_s
