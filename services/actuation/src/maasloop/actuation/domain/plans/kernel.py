"""The safety kernel of controllers that run plans of their own accord: who may ask for what, how often, for how long.

Clearances, minimum greens and conflicts are the controller's own (EN 12675); what is judged here is everything that it
cannot judge: the right of whoever asks, the data sheet, the rate, and the expiry. Unlike for sequences, nothing is
adapted: a request is permitted as it is, or refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from maasloop.actuation.domain.authority import Authority
from maasloop.core.reasons import Reason

from .setpoints import (
    AlarmHandling,
    ClockSetting,
    ControllerOrder,
    DetectorSetting,
    EmergencyRoute,
    ForcedState,
    InputSettings,
    Mode,
    OperatingMode,
    SecurityCodeChange,
    SignalPlan,
    SignalPriority,
    TrafficSituation,
)
from .sheet import Controls

PLAN_HOLD_S = 300.0
"""Between two changes of plan by a programme; a plan needs several cycles to be of use."""
LASTS_S_MAX = 900
"""Longest that a programme's order stands."""
LASTS_S_MAX_OPERATOR = 86_400
"""Longest that a person's order stands."""

LOWEST: dict[type[ControllerOrder], Authority] = {
    SignalPlan: Authority.SCHEDULE,
    TrafficSituation: Authority.SCHEDULE,
    InputSettings: Authority.ADAPTIVE,
    DetectorSetting: Authority.ADAPTIVE,
    SignalPriority: Authority.PRIORITY,
    OperatingMode: Authority.OPERATOR,
    EmergencyRoute: Authority.OPERATOR,
    ClockSetting: Authority.OPERATOR,
    SecurityCodeChange: Authority.OPERATOR,
    AlarmHandling: Authority.OPERATOR,
}
"""Who may ask at all."""


@dataclass(frozen=True, slots=True)
class PlanState:
    """What a controller was asked for last; empty at a start, so that rates are counted anew."""

    plan: int = 0
    plan_since_s: float = float("-inf")
    adjusted_s: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an order is not sent."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as it is asked for; times in seconds of the district's clock."""

    order: ControllerOrder
    authority: Authority
    begins_s: float
    expires_s: float

    @property
    def by_person(self) -> bool:
        """Whether a person asks, and no programme."""
        return self.authority >= Authority.OPERATOR


def judge(controls: Controls, state: PlanState, request: OrderRequest) -> Refused | None:
    """Return why an order is refused, or nothing where it is permitted."""
    return next(iter(_objections(controls, state, request)), None)


def record(state: PlanState, request: OrderRequest) -> PlanState:
    """Return what is known after a permitted order."""
    if not isinstance(request.order, SignalPlan):
        return state
    changed = request.order.plan != state.plan
    since_s = request.begins_s if changed else state.plan_since_s
    return PlanState(request.order.plan, since_s, request.begins_s)


def _objections(controls: Controls, state: PlanState, request: OrderRequest) -> Iterator[Refused]:
    order = request.order
    lowest = LOWEST[type(order)]
    if request.authority < lowest:
        yield Refused(Reason.AUTHORITY_TOO_LOW, f"{type(order).__name__} needs the authority {lowest.name}")
    longest_s = LASTS_S_MAX_OPERATOR if request.by_person else LASTS_S_MAX
    if request.expires_s - request.begins_s > longest_s:
        yield Refused(Reason.EXPIRY_INVALID, f"it may stand for at most {longest_s} s")
    match order:
        case SignalPlan():
            yield from _of_plan(controls, order)
            yield from _of_rate(controls, state, request, order)
        case TrafficSituation():
            yield from _listed("situation", order.situation, controls.situations)
        case EmergencyRoute():
            yield from _listed("route", order.route, controls.routes)
        case InputSettings():
            yield from _of_inputs(controls, order, by_person=request.by_person)
        case _:
            yield from _of_itself(order)


def _of_itself(order: ControllerOrder) -> Iterator[Refused]:
    """Judge what no data sheet limits."""
    match order:
        case DetectorSetting(state=ForcedState.ACTIVE | ForcedState.INACTIVE):
            yield Refused(Reason.REQUEST_INVALID, "a detector logic is forced on, forced off or released")
        case SignalPriority():
            if [bool(order.signal_group), order.input is not None, order.connection is not None].count(True) != 1:
                yield Refused(Reason.REQUEST_INVALID, "one of signal group, input and connection is needed")
        case AlarmHandling() if not order.code or (order.detector and order.signal_group):
            yield Refused(Reason.REQUEST_INVALID, "a code is needed, and at most one of detector and signal group")
        case OperatingMode(mode=Mode.DARK, approver="") | ClockSetting(approver="") | SecurityCodeChange(approver=""):
            yield Refused(Reason.APPROVAL_MISSING, f"{type(order).__name__} needs a second person")


def _of_plan(controls: Controls, order: SignalPlan) -> Iterator[Refused]:
    plan = controls.plans.get(order.plan)
    if plan is None:
        yield from _listed("plan", order.plan, controls.plans)
        return
    numbers = [each.band for each in order.bands]
    if len(set(numbers)) != len(numbers):
        yield Refused(Reason.REQUEST_INVALID, "a band is there twice")
    for each in order.bands:
        longest_s = plan.bands.get(each.band)
        if longest_s is None:
            yield from _listed("band", each.band, plan.bands)
        elif each.extension_s > longest_s:
            detail = f"band {each.band} of plan {order.plan} is at most {longest_s} s longer, not {each.extension_s}"
            yield Refused(Reason.GREEN_TOO_LONG, detail)
    if order.cycle_time_s is not None:
        if plan.cycle_time_s is None:
            yield Refused(Reason.REQUEST_INVALID, f"the cycle time of plan {order.plan} is fixed")
        elif not plan.cycle_time_s[0] <= order.cycle_time_s <= plan.cycle_time_s[1]:
            shortest, longest = plan.cycle_time_s
            detail = f"the cycle of plan {order.plan} takes {shortest} to {longest} s, not {order.cycle_time_s}"
            yield Refused(Reason.REQUEST_INVALID, detail)


def _of_rate(controls: Controls, state: PlanState, request: OrderRequest, order: SignalPlan) -> Iterator[Refused]:
    if request.by_person:
        return
    if state.plan and order.plan != state.plan and request.begins_s - state.plan_since_s < PLAN_HOLD_S:
        yield Refused(Reason.RATE_LIMITED, f"plans change at most once in {PLAN_HOLD_S:g} s")
    if request.begins_s - state.adjusted_s < controls.adjustment_interval_s:
        yield Refused(Reason.RATE_LIMITED, f"a plan is adjusted at most once in {controls.adjustment_interval_s:g} s")


def _of_inputs(controls: Controls, order: InputSettings, *, by_person: bool) -> Iterator[Refused]:
    numbers = [each.input for each in order.settings]
    if not numbers or len(set(numbers)) != len(numbers):
        yield Refused(Reason.REQUEST_INVALID, "each input is there once, and at least one")
    foreign = sorted(set(numbers) - controls.inputs)
    if foreign and not by_person:
        yield Refused(Reason.AUTHORITY_TOO_LOW, f"input {foreign[0]} is for operators")


def _listed(word: str, number: int, known: Iterable[int]) -> Iterator[Refused]:
    if number not in known:
        listed = ", ".join(map(str, sorted(known))) or "none"
        yield Refused(Reason.REQUEST_INVALID, f"{word} {number} is not in the data sheet: {listed}")
