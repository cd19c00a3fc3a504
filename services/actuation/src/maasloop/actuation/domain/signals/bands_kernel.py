"""The safety kernel for sites that run their own plan: bands, calls and holds are judged by where they may lead.

Minimum green and clearances are the site's own and cannot be asked away. What can be asked wrongly is time: a stage too
long, a cycle too long, a stage left out that somebody waits for. A request is judged by the longest course it allows.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from maasloop.actuation.domain.authority import Authority

from .sheet import Sheet
from .site_plan import PlanState, SitePlan
from .state import JunctionState, Lease

EXPIRY_MAX_S = 180.0


class BandsRefusal(StrEnum):
    """Why a request for bands is refused."""

    JUNCTION_UNKNOWN = "JUNCTION_UNKNOWN"
    PLAN_UNKNOWN = "PLAN_UNKNOWN"
    STAGE_UNKNOWN = "STAGE_UNKNOWN"
    STAGE_MISSING = "STAGE_MISSING"
    BAND_LENGTH = "BAND_LENGTH"
    INPUT_UNKNOWN = "INPUT_UNKNOWN"
    NOT_BEFORE_PAST = "NOT_BEFORE_PAST"
    EXPIRY_INVALID = "EXPIRY_INVALID"
    LEASE_HELD = "LEASE_HELD"
    RATE_LIMITED = "RATE_LIMITED"
    CLEARING = "CLEARING"
    MAXIMUM_CYCLE = "MAXIMUM_CYCLE"
    MAXIMUM_GREEN = "MAXIMUM_GREEN"
    MAXIMUM_WAIT = "MAXIMUM_WAIT"


@dataclass(frozen=True)
class BandsRequest:
    """A wish: run the plan with these bands and forced inputs from ``not_before_s`` on, until ``expires_s`` at most."""

    junction: str
    plan: int
    bands: Mapping[int, float]
    """Stage to the seconds that its band adds at most; every stage is there."""
    not_before_s: float
    expires_s: float
    issuer: str
    authority: Authority
    calls: Mapping[int, bool] = field(default_factory=dict)
    """Stage to whether it comes; one that is not there does as the site's plan says."""
    holds: Mapping[int, bool] = field(default_factory=dict)
    """Stage to whether its band is used; one that is not there uses it."""


@dataclass(frozen=True)
class RefusedBands:
    """The request may not go to the site; ``subject`` is the stage or the group that it fails on."""

    reason: BandsRefusal
    detail: str
    subject: str = ""


@dataclass(frozen=True)
class Turn:
    """A stage in the longest course that a request allows, and from when to when it is on then."""

    stage: int
    begins_s: float
    ends_s: float


def judge_bands(sheet: Sheet, state: JunctionState, shown: PlanState, request: BandsRequest) -> RefusedBands | None:
    """Return why a request may not go to the site, or nothing; the time is that of the state."""
    plan = sheet.bands
    if plan is None or request.junction != sheet.junction:
        return RefusedBands(BandsRefusal.JUNCTION_UNKNOWN, f"{request.junction} is not a site with bands of this sheet")
    return next(_refusals(sheet, plan, state, shown, request), None)


def record_bands(state: JunctionState, shown: PlanState, request: BandsRequest) -> tuple[JunctionState, PlanState]:
    """Return both states after a permitted request was sent."""
    lease = Lease(request.issuer, request.authority, request.expires_s)
    return replace(state, lease=lease), replace(shown, bands=dict(request.bands), asked_s=state.second_s)


def clearance_s(sheet: Sheet, before: int, after: int) -> float:
    """Return the seconds between two stages of the site's plan: the longest yellow and red that the change asks for."""
    was, comes = sheet.band_stages[before - 1], sheet.band_stages[after - 1]
    ends = was - comes
    return max((sheet.group[name].yellow_s + _red_s(sheet, name, comes - was) for name in ends), default=0.0)


def starts_of(sheet: Sheet, before: int, after: int) -> dict[str, float]:
    """Return after how many seconds each group of a stage is green at the earliest: its foes of the one before clear."""
    was, comes = sheet.band_stages[before - 1], sheet.band_stages[after - 1]
    ends = was - comes
    return {
        name: max(
            (sheet.group[foe].yellow_s + sheet.intergreen_s(foe, name) for foe in ends.intersection(sheet.foes[name])),
            default=0.0,
        )
        for name in comes
    }


def course(sheet: Sheet, plan: SitePlan, shown: PlanState, request: BandsRequest) -> tuple[Turn, ...]:
    """Return the longest course that a request allows from the stage that is on, one round at most; a rest has no end."""
    number = shown.stage
    begins_s = shown.since_s
    turns: list[Turn] = []
    while True:
        stage = plan.stages[number - 1]
        band_s = request.bands[number]
        if not turns and shown.band_s is not None:
            band_s = shown.band_s
        ends_s = max(request.not_before_s, begins_s + stage.green_s + band_s)
        if not turns and not request.holds.get(number, True):
            ends_s = max(request.not_before_s, begins_s + stage.green_s)
        following = _following(plan, number, request)
        if following is None:
            return (*turns, Turn(number, begins_s, math.inf))
        turns.append(Turn(number, begins_s, ends_s))
        if following in {turn.stage for turn in turns}:
            return tuple(turns)
        begins_s = ends_s + clearance_s(sheet, number, following)
        number = following


def _following(plan: SitePlan, number: int, request: BandsRequest) -> int | None:
    return next((one for one in plan.after(number) if plan.comes(one, request.calls)), None)


def _red_s(sheet: Sheet, ending: str, starting: frozenset[str]) -> float:
    foes = starting.intersection(sheet.foes[ending])
    return max([sheet.group[ending].all_red_s, *(sheet.intergreen_s(ending, foe) for foe in foes)])


def _refusals(
    sheet: Sheet, plan: SitePlan, state: JunctionState, shown: PlanState, request: BandsRequest
) -> Iterator[RefusedBands]:
    yield from _form(plan, request)
    yield from _rights(plan, state, shown, request)
    yield from _cycle(sheet, plan, request)
    turns = course(sheet, plan, shown, request)
    soonest = turns[0].ends_s <= max(request.not_before_s, turns[0].begins_s + plan.stages[shown.stage - 1].green_s)
    if not soonest:
        yield from _green(sheet, state, turns, request)
    yield from _wait(sheet, state, turns, request, soonest=soonest)


def _form(plan: SitePlan, request: BandsRequest) -> Iterator[RefusedBands]:
    if request.plan != plan.plan:
        yield RefusedBands(BandsRefusal.PLAN_UNKNOWN, f"bands are set in plan {plan.plan}, not {request.plan}")
    numbers = range(1, len(plan.stages) + 1)
    for stage in (*request.bands, *request.calls, *request.holds):
        if stage not in numbers:
            yield RefusedBands(BandsRefusal.STAGE_UNKNOWN, f"plan {plan.plan} has no stage {stage}", str(stage))
    for stage in numbers:
        if stage not in request.bands:
            yield RefusedBands(BandsRefusal.STAGE_MISSING, f"stage {stage} has no band", str(stage))
        longest_s = plan.stages[stage - 1].band_max_s
        if not 0.0 <= request.bands[stage] <= longest_s:
            detail = f"band {stage} is 0 to {longest_s:g} s, not {request.bands[stage]:g}"
            yield RefusedBands(BandsRefusal.BAND_LENGTH, detail, str(stage))
    for stage in (*request.calls, *request.holds):
        if not plan.stages[stage - 1].on_demand:
            yield RefusedBands(BandsRefusal.INPUT_UNKNOWN, f"stage {stage} has no inputs", str(stage))


def _rights(plan: SitePlan, state: JunctionState, shown: PlanState, request: BandsRequest) -> Iterator[RefusedBands]:
    now_s = state.second_s
    if request.not_before_s <= now_s:
        yield RefusedBands(BandsRefusal.NOT_BEFORE_PAST, f"second {request.not_before_s:g} has passed")
    if not request.not_before_s < request.expires_s <= now_s + EXPIRY_MAX_S:
        detail = f"expiry must lie within {EXPIRY_MAX_S:g} s; got {request.expires_s:g}"
        yield RefusedBands(BandsRefusal.EXPIRY_INVALID, detail)
    lease = state.lease
    if (
        lease is not None
        and lease.until_s > now_s
        and lease.issuer != request.issuer
        and lease.authority >= request.authority
    ):
        yield RefusedBands(BandsRefusal.LEASE_HELD, f"{lease.issuer} holds the junction until {lease.until_s:g}")
    if now_s - shown.asked_s < plan.interval_s:
        yield RefusedBands(BandsRefusal.RATE_LIMITED, f"at most one request in {plan.interval_s:g} s")
    if not shown.on:
        yield RefusedBands(BandsRefusal.CLEARING, "between two stages nobody knows which comes")


def _cycle(sheet: Sheet, plan: SitePlan, request: BandsRequest) -> Iterator[RefusedBands]:
    numbers = range(1, len(plan.stages) + 1)
    called = [one for one in numbers if plan.comes(one, request.calls)]
    lost_s = sum(clearance_s(sheet, called[index - 1], one) for index, one in enumerate(called)) if called else 0.0
    least_s = lost_s + sum(plan.stages[one - 1].green_s for one in called)
    asked_s = least_s + sum(request.bands[one] for one in called)
    if asked_s > max(plan.cycle_max_s, least_s):
        detail = f"the cycle could last {asked_s:g} s, at most {plan.cycle_max_s:g} s are allowed"
        yield RefusedBands(BandsRefusal.MAXIMUM_CYCLE, detail)


def _green(
    sheet: Sheet, state: JunctionState, turns: tuple[Turn, ...], request: BandsRequest
) -> Iterator[RefusedBands]:
    for name, group in state.groups.items():
        called = [state.groups[foe].called_since_s for foe in sheet.foes[name]]
        waits_s = min((since for since in called if since is not None), default=None)
        if not group.green or waits_s is None:
            continue
        until_s = request.expires_s
        for turn in turns:
            if name not in sheet.band_stages[turn.stage - 1]:
                break
            until_s = turn.ends_s
        if min(until_s, request.expires_s) > max(group.since_s, waits_s) + sheet.group[name].maximum_green_s:
            detail = f"{name} could stay green until {until_s:g} while another group waits"
            yield RefusedBands(BandsRefusal.MAXIMUM_GREEN, detail, name)


def _wait(
    sheet: Sheet, state: JunctionState, turns: tuple[Turn, ...], request: BandsRequest, *, soonest: bool
) -> Iterator[RefusedBands]:
    """Refuse what lets a group wait too long; who serves one with an earlier deadline next may let the others wait."""
    late = sorted(late_groups(sheet, state, turns, request))
    if not late:
        return
    following = sheet.band_stages[turns[1].stage - 1] if soonest and len(turns) > 1 else frozenset[str]()
    deadlines = deadlines_of(sheet, state)
    if any(name in following and deadline_s <= late[0][0] for name, deadline_s in deadlines.items()):
        return
    detail = f"{late[0][1]} could wait beyond second {late[0][0]:g}"
    yield RefusedBands(BandsRefusal.MAXIMUM_WAIT, detail, late[0][1])


def deadlines_of(sheet: Sheet, state: JunctionState) -> dict[str, float]:
    """Return the red groups that are called, each with the second beyond which it may not wait."""
    return {
        name: max(group.since_s, group.called_since_s) + sheet.group[name].maximum_wait_s
        for name, group in state.groups.items()
        if group.called_since_s is not None and not group.green
    }


def late_groups(
    sheet: Sheet, state: JunctionState, turns: tuple[Turn, ...], request: BandsRequest
) -> list[tuple[float, str]]:
    """Return (deadline, group) for each that the longest course serves too late, and the site's own plan as well."""
    found: list[tuple[float, str]] = []
    for name, deadline_s in deadlines_of(sheet, state).items():
        begins = [turn.begins_s for turn in turns if name in sheet.band_stages[turn.stage - 1]]
        if deadline_s < min([request.expires_s, *begins]):
            found.append((deadline_s, name))
    return found
