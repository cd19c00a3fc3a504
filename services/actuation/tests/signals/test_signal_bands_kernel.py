"""What may be asked of a site that runs its own plan: judged by the longest course that a request allows."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.signals.bands_kernel import (
    BandsRefusal,
    BandsRequest,
    clearance_s,
    judge_bands,
    record_bands,
)
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet, write_sheet
from maasloop.actuation.domain.signals.site_plan import PlanState
from maasloop.actuation.domain.signals.state import JunctionState, Lease
from maasloop.core.errors import InvalidArgument

SECOND = 1_000
STAGES = ("GGrgr", "rrGrr", "rGrrr")


def bands_data(*, on_demand: bool = True) -> dict[str, Any]:
    """Return a plan of three stages: a, b and d; then c; then b alone."""
    stages: list[dict[str, Any]] = [{"state": state, "green_s": 5, "band_s": 10, "band_max_s": 55} for state in STAGES]
    for number, stage in enumerate(stages, start=1):
        stage.update({"call_input": 2 * number - 1, "hold_input": 2 * number} if on_demand else {})
    return {"plan": 2, "stages": stages, "cycle_max_s": 100, "dead_man_s": 60, "interval_s": 2}


@pytest.fixture
def site(sheet_data: dict[str, Any]) -> Sheet:
    """Return the sheet of a crossing whose site has such a plan."""
    return read_sheet({**sheet_data, "bands": bands_data()})


def showing(sheet: Sheet, stage: int, *, since_s: int = 20, waits: dict[str, int] | None = None) -> JunctionState:
    """Return a state in which a stage has been on for a while and groups have been called for some seconds."""
    aspects = sheet.read_state(STAGES[stage - 1])
    before = sheet.read_state("rrrrr")
    longest = max([since_s, *(waits or {}).values()]) + 10
    state = JunctionState.first_seen(sheet, SECOND - longest, before)
    for second in range(SECOND - longest + 1, SECOND + 1):
        called = frozenset(name for name, wait_s in (waits or {}).items() if SECOND - second <= wait_s)
        state = state.observe(second, aspects if SECOND - second <= since_s else before, called)
    return state


def on(stage: int, *, since_s: int = 20, band_s: float | None = 40.0) -> PlanState:
    """Return what the site tells: a stage that has been on for a while."""
    return PlanState(2, stage, on=True, since_s=SECOND - since_s, band_s=band_s)


def ask(**changed: object) -> BandsRequest:
    """Return a request that is in order, with changes."""
    request = BandsRequest(
        junction="crossing",
        plan=2,
        bands={1: 10.0, 2: 10.0, 3: 10.0},
        not_before_s=SECOND + 1,
        expires_s=SECOND + 61,
        issuer="test",
        authority=Authority.ADAPTIVE,
    )
    return replace(request, **changed)  # type: ignore[arg-type]  # the fields are parametrized


def refused(sheet: Sheet, state: JunctionState, shown: PlanState, request: BandsRequest) -> str:
    """Return the reason of a refusal, or nothing."""
    refusal = judge_bands(sheet, state, shown, request)
    assert refusal is None or refusal.detail
    return "" if refusal is None else refusal.reason


def test_a_sheet_travels_with_its_plan(site: Sheet) -> None:
    """The plan is written and read again as it was."""
    assert read_sheet(write_sheet(site)) == site


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "GGGgr"},
        {"state": "GG"},
        {"green_s": 4},
        {"band_max_s": 70},
        {"band_s": 56},
    ],
)
def test_a_plan_that_contradicts_the_sheet_is_refused(sheet_data: dict[str, Any], changed: dict[str, Any]) -> None:
    """A stage of foes, one that is malformed, and times outside those of its groups make the sheet unusable."""
    bands = bands_data()
    bands["stages"][0] |= changed
    with pytest.raises(InvalidArgument):
        read_sheet({**sheet_data, "bands": bands})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"junction": "elsewhere"}, BandsRefusal.JUNCTION_UNKNOWN),
        ({"plan": 1}, BandsRefusal.PLAN_UNKNOWN),
        ({"bands": {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0}}, BandsRefusal.STAGE_UNKNOWN),
        ({"calls": {9: True}}, BandsRefusal.STAGE_UNKNOWN),
        ({"bands": {1: 0.0, 2: 0.0}}, BandsRefusal.STAGE_MISSING),
        ({"bands": {1: 56.0, 2: 0.0, 3: 0.0}}, BandsRefusal.BAND_LENGTH),
        ({"bands": {1: -1.0, 2: 0.0, 3: 0.0}}, BandsRefusal.BAND_LENGTH),
        ({"not_before_s": SECOND}, BandsRefusal.NOT_BEFORE_PAST),
        ({"expires_s": SECOND + 1}, BandsRefusal.EXPIRY_INVALID),
        ({"expires_s": SECOND + 200}, BandsRefusal.EXPIRY_INVALID),
        ({"bands": {1: 50.0, 2: 25.0, 3: 10.0}}, BandsRefusal.MAXIMUM_CYCLE),
        ({"bands": {1: 50.0, 2: 25.0, 3: 10.0}, "calls": {3: False}}, ""),
    ],
)
def test_each_bound_is_kept(site: Sheet, changed: dict[str, Any], reason: str) -> None:
    """Each rule refuses what breaks it, and nothing else."""
    assert refused(site, showing(site, 1), on(1), ask(**changed)) == reason


def test_inputs_are_forced_only_where_there_are_any(sheet_data: dict[str, Any]) -> None:
    """A stage that is not on demand is neither left out nor ended."""
    sheet = read_sheet({**sheet_data, "bands": bands_data(on_demand=False)})
    for changed in ({"calls": {2: False}}, {"holds": {1: False}}):
        assert refused(sheet, showing(sheet, 1), on(1), ask(**changed)) == BandsRefusal.INPUT_UNKNOWN


def test_who_holds_the_junction_and_how_often_it_is_asked_counts(site: Sheet) -> None:
    """A stronger lease refuses, and so does a request sooner than the site takes them."""
    state = showing(site, 1)
    held = replace(state, lease=Lease("operators/one", Authority.OPERATOR, SECOND + 30))
    assert refused(site, held, on(1), ask()) == BandsRefusal.LEASE_HELD
    sent, shown = record_bands(state, on(1), ask())
    assert refused(site, sent, shown, ask()) == BandsRefusal.RATE_LIMITED
    assert refused(site, sent, replace(shown, asked_s=SECOND - 2), ask()) == ""
    assert refused(site, state, replace(on(1), on=False), ask()) == BandsRefusal.CLEARING


def test_nobody_waits_too_long(site: Sheet) -> None:
    """A stage that somebody waits for may be late only as long as the longest wait allows; then it must come next."""
    state = showing(site, 1, waits={"c": 80})
    assert refused(site, state, on(1, band_s=30.0), ask()) == ""
    assert refused(site, state, on(1, band_s=30.0), ask(calls={2: False})) == BandsRefusal.MAXIMUM_WAIT
    left_out = ask(calls={2: False})
    assert refused(site, showing(site, 1, waits={"c": 58}), on(1, band_s=30.0), left_out) == ""
    assert refused(site, showing(site, 1, waits={"c": 61}), on(1, band_s=30.0), left_out) == BandsRefusal.MAXIMUM_WAIT
    late = showing(site, 1, waits={"c": 100})
    assert refused(site, late, on(1, band_s=55.0), ask()) == BandsRefusal.MAXIMUM_WAIT
    assert refused(site, late, on(1, band_s=55.0), ask(holds={1: False})) == ""
    assert refused(site, late, on(1, band_s=55.0), ask(holds={1: False}, calls={2: False})) == BandsRefusal.MAXIMUM_WAIT


def test_who_cannot_be_served_in_time_is_served_next(site: Sheet) -> None:
    """Beyond the longest wait the one thing that is permitted is what serves the group as soon as can be."""
    state = showing(site, 1, waits={"c": 130})
    assert refused(site, state, on(1), ask(holds={1: False})) == ""
    assert refused(site, state, on(1), ask()) == BandsRefusal.MAXIMUM_WAIT


def test_green_is_bounded_while_a_foe_waits(site: Sheet) -> None:
    """A group that is green over two stages may not be so for longer than its maximum while somebody waits."""
    state = showing(site, 3, since_s=30, waits={"c": 20})
    shown = on(3, since_s=30, band_s=40.0)
    bands = {1: 55.0, 2: 0.0, 3: 0.0}
    assert refused(site, state, shown, ask(bands=bands)) == BandsRefusal.MAXIMUM_GREEN
    assert refused(site, state, shown, ask(bands=bands, calls={1: False})) == ""


def test_what_somebody_else_set_is_taken_for_the_longest(site: Sheet) -> None:
    """A stage in its band when the junction is first seen may last as long as its plan lets it."""
    plan = site.bands
    assert plan is not None
    shown = PlanState.first_seen(SECOND - 6, 2, 1, on=True)
    for second in range(SECOND - 5, SECOND + 1):
        shown = shown.observe(plan, second, 2, 1, on=True)
    assert shown.band_s == plan.stages[0].band_max_s
    _, sent = record_bands(showing(site, 1), PlanState.first_seen(SECOND, 2, 1, on=True), ask())
    for second in range(SECOND + 1, SECOND + 7):
        sent = sent.observe(plan, second, 2, 1, on=True)
    assert sent.band_s == 10.0


def _served(sheet: Sheet, shown: PlanState, request: BandsRequest, until_s: int) -> list[tuple[int, int]]:
    """Let the site go second by second as slowly as it may; return (second, stage) for each beginning."""
    plan = sheet.bands
    assert plan is not None
    stage, since, begins = shown.stage, int(shown.since_s), [(int(shown.since_s), shown.stage)]
    first = True
    second = int(request.not_before_s)
    while second <= until_s:
        band_s = shown.band_s if first and shown.band_s is not None else request.bands[stage]
        if first and not request.holds.get(stage, True):
            band_s = 0.0
        ahead = [(stage - 1 + n) % 3 + 1 for n in (1, 2)]
        called = [one for one in ahead if request.calls.get(one, True)]
        if called and second - since >= plan.stages[stage - 1].green_s + band_s:
            second += int(clearance_s(sheet, stage, called[0]))
            stage, since, first = called[0], second, False
            begins.append((second, stage))
        second += 1
    return begins


@given(
    stage=st.integers(1, 3),
    since_s=st.integers(0, 60),
    band_s=st.one_of(st.none(), st.integers(0, 55)),
    bands=st.tuples(st.integers(0, 55), st.integers(0, 55), st.integers(0, 55)),
    calls=st.dictionaries(st.integers(1, 3), st.booleans()),
    held=st.booleans(),
    waits=st.dictionaries(st.sampled_from(("a", "b", "c", "d")), st.integers(0, 119)),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_permitted_keeps_the_longest_wait(
    site: Sheet,
    stage: int,
    since_s: int,
    band_s: int | None,
    bands: tuple[int, int, int],
    calls: dict[int, bool],
    held: bool,
    waits: dict[str, int],
) -> None:
    """Played second by second, a permitted request serves everybody in time, or first who waits longest."""
    state = showing(site, stage, since_s=since_s, waits=waits)
    shown = on(stage, since_s=since_s, band_s=float(band_s) if band_s is not None and since_s >= 5 else None)
    request = ask(bands={n: float(one) for n, one in enumerate(bands, start=1)}, calls=calls, holds={stage: held})
    assume(judge_bands(site, state, shown, request) is None)
    begins = _served(site, shown, request, SECOND + 300)
    late = []
    due = {}
    for name, group in state.groups.items():
        if group.called_since_s is None or group.green:
            continue
        due[name] = max(group.since_s, group.called_since_s) + 120
        served = min((second for second, one in begins if name in site.band_stages[one - 1]), default=SECOND + 999)
        if min(served, request.expires_s) > due[name]:
            late.append(due[name])
    following = site.band_stages[begins[1][1] - 1] if len(begins) > 1 else frozenset()
    assert not late or min((due[name] for name in due if name in following), default=SECOND + 999) <= min(late)
