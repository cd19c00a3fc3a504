"""The second hand at a junction: what it wants of a site that runs its own plan, as orders, and what of it stands.

Of the inputs only those are ordered that change, or whose last order is about to expire.
"""

from dataclasses import dataclass, field

from .plans.setpoints import ControllerOrder, ForcedState, InputSetting, InputSettings, SignalBand, SignalPlan
from .reading import Reading
from .signals.bands import REFRESH_SHARE, BandsDecision, BandsHand
from .signals.bands_kernel import BandsRequest, RefusedBands, judge_bands, record_bands
from .signals.controller import Controller, Hold
from .signals.plan_watch import watch
from .signals.sheet import Sheet
from .signals.site_plan import PlanState, SitePlan
from .signals.state import JunctionState

SIGNAL_PLAN = "signal-plan"
"""Observed property of a controller: the number of the plan that it runs."""


@dataclass(slots=True)
class Adjusting:
    """What is known of one site, and was ordered."""

    sheet: Sheet
    site: SitePlan
    hand: BandsHand
    plan: int | None = None
    """The plan that the site told last."""
    shown: PlanState | None = None
    _inputs: dict[int, tuple[ForcedState, float]] = field(default_factory=dict)
    """Input to what was ordered last, and when."""

    @classmethod
    def of(cls, controller: Controller) -> "Adjusting | None":
        """Begin with nothing known; nothing where the site has no plan to work with."""
        site = controller.sheet.bands
        return None if site is None else cls(controller.sheet, site, BandsHand(controller))

    def hear(self, reading: Reading) -> None:
        """Take in which plan the site runs; what is no number says nothing."""
        self.plan = int(reading.state) if reading.state.isdecimal() else self.plan

    def decide(self, state: JunctionState) -> BandsDecision:
        """Decide on the second of ``state`` what to ask for from the next one on."""
        if self.plan is None:
            return Hold("the site has not told its plan")
        self.shown = watch(self.sheet, self.shown, state, self.plan)
        return self.hand.decide(state, self.shown)

    def judge(self, state: JunctionState, request: BandsRequest) -> RefusedBands | None:
        """Ask the kernel."""
        return None if self.shown is None else judge_bands(self.sheet, state, self.shown, request)

    def orders(self, request: BandsRequest) -> list[ControllerOrder]:
        """Return what the site has to be told."""
        bands = tuple(SignalBand(stage, int(band_s)) for stage, band_s in sorted(request.bands.items()))
        orders: list[ControllerOrder] = [SignalPlan(request.plan, bands)]
        settings = tuple(
            InputSetting(number, forced)
            for number, forced in self._forced(request).items()
            if self._inputs.get(number, (None, 0.0))[0] is not forced or self._is_old(number, request)
        )
        if settings:
            orders.append(InputSettings(settings))
        return orders

    def take(self, state: JunctionState, request: BandsRequest) -> JunctionState:
        """Remember that a request was sent; return the state of the junction after it."""
        for number, forced in self._forced(request).items():
            if self._inputs.get(number, (None, 0.0))[0] is not forced or self._is_old(number, request):
                self._inputs[number] = (forced, request.not_before_s)
        if self.shown is None:
            return state
        state, self.shown = record_bands(state, self.shown, request)
        return state

    def not_taken(self) -> None:
        """Remember nothing of what was ordered: the site did not take it."""
        self._inputs.clear()
        self.hand.forget()

    def _is_old(self, number: int, request: BandsRequest) -> bool:
        return request.not_before_s - self._inputs[number][1] >= self.site.dead_man_s * REFRESH_SHARE

    def _forced(self, request: BandsRequest) -> dict[int, ForcedState]:
        found: dict[int, ForcedState] = {}
        for number, stage in enumerate(self.site.stages, start=1):
            if stage.on_demand:
                found[stage.call_input] = _state(request.calls.get(number))
                found[stage.hold_input] = _state(request.holds.get(number))
        return found


def _state(value: bool | None) -> ForcedState:
    if value is None:
        return ForcedState.RELEASED
    return ForcedState.FORCED_ON if value else ForcedState.FORCED_OFF
