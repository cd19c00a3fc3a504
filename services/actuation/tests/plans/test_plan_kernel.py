"""Who may ask a controller with plans for what, how often and for how long."""

import pytest

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.plans.kernel import OrderRequest, PlanState, judge, record
from maasloop.actuation.domain.plans.setpoints import (
    Act,
    AlarmHandling,
    ClockSetting,
    ControllerOrder,
    DetectorSetting,
    EmergencyRoute,
    ForcedState,
    InputSetting,
    InputSettings,
    Mode,
    OperatingMode,
    SecurityCodeChange,
    SignalBand,
    SignalPlan,
    SignalPriority,
    TrafficSituation,
)
from maasloop.actuation.domain.plans.sheet import read_controls
from maasloop.core.errors import InvalidArgument

SHEET = {
    "plans": [{"id": 1, "bands": [[1, 15], [2, 10]], "cycle_time_s": [60, 120]}, {"id": 2}],
    "situations": [1],
    "routes": [3],
    "inputs": [5, 6],
    "adjustment_interval_s": 30,
}
CONTROLS = read_controls(SHEET)
INPUT_5 = InputSettings((InputSetting(5, ForcedState.ACTIVE),))
INPUT_7 = InputSettings((InputSetting(7, ForcedState.ACTIVE),))


def _refusal(
    order: ControllerOrder, authority: Authority = Authority.ADAPTIVE, *, lasts_s: float = 600, at_s: float = 1000,
    state: PlanState | None = None,
) -> str:  # fmt: skip
    found = judge(CONTROLS, state or PlanState(), OrderRequest(order, authority, at_s, at_s + lasts_s))
    return str(found.reason) if found else ""


@pytest.mark.parametrize(
    ("order", "lowest"),
    [
        (SignalPlan(1), Authority.SCHEDULE),
        (TrafficSituation(1), Authority.SCHEDULE),
        (INPUT_5, Authority.ADAPTIVE),
        (INPUT_7, Authority.OPERATOR),
        (DetectorSetting("d1", ForcedState.FORCED_ON), Authority.ADAPTIVE),
        (SignalPriority("r1", signal_group="a"), Authority.PRIORITY),
        (OperatingMode(Mode.YELLOW_FLASH), Authority.OPERATOR),
        (OperatingMode(Mode.DARK, "somebody"), Authority.OPERATOR),
        (EmergencyRoute(3), Authority.OPERATOR),
        (ClockSetting("somebody"), Authority.OPERATOR),
        (SecurityCodeChange(2, "somebody"), Authority.OPERATOR),
        (AlarmHandling(Act.SUSPEND, "A0008"), Authority.OPERATOR),
    ],
)
def test_each_order_has_a_lowest_authority(order: ControllerOrder, lowest: Authority) -> None:
    """An optimiser can neither change the mode nor set the clock, and every authority below the lowest is refused."""
    for authority in Authority:
        assert _refusal(order, authority) == ("" if authority >= lowest else "AUTHORITY_TOO_LOW")


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (SignalPlan(9), "REQUEST_INVALID"),
        (SignalPlan(1, (SignalBand(1, 15), SignalBand(2, 10)), 255, 120), ""),
        (SignalPlan(1, (SignalBand(1, 16),)), "GREEN_TOO_LONG"),
        (SignalPlan(1, (SignalBand(3, 1),)), "REQUEST_INVALID"),
        (SignalPlan(1, (SignalBand(1, 1), SignalBand(1, 2))), "REQUEST_INVALID"),
        (SignalPlan(1, cycle_time_s=121), "REQUEST_INVALID"),
        (SignalPlan(2, cycle_time_s=90), "REQUEST_INVALID"),
        (TrafficSituation(2), "REQUEST_INVALID"),
        (EmergencyRoute(1), "REQUEST_INVALID"),
        (InputSettings(), "REQUEST_INVALID"),
        (InputSettings((InputSetting(5), InputSetting(5))), "REQUEST_INVALID"),
        (DetectorSetting("d1", ForcedState.ACTIVE), "REQUEST_INVALID"),
        (SignalPriority("r1"), "REQUEST_INVALID"),
        (SignalPriority("r1", signal_group="a", input=1), "REQUEST_INVALID"),
        (OperatingMode(Mode.DARK), "APPROVAL_MISSING"),
        (ClockSetting(), "APPROVAL_MISSING"),
        (SecurityCodeChange(2), "APPROVAL_MISSING"),
        (AlarmHandling(), "REQUEST_INVALID"),
        (AlarmHandling(Act.RESUME, "A0008", "d1", "g1"), "REQUEST_INVALID"),
    ],
)
def test_the_data_sheet_is_the_limit(order: ControllerOrder, reason: str) -> None:
    """What the sheet does not list, or limits, is refused to an operator too."""
    assert _refusal(order, Authority.OPERATOR) == reason


def test_no_order_of_a_programme_stands_for_long() -> None:
    """A quarter of an hour for programmes, a day for people."""
    assert _refusal(SignalPlan(1), lasts_s=901) == "EXPIRY_INVALID"
    assert _refusal(SignalPlan(1), Authority.OPERATOR, lasts_s=901) == ""
    assert _refusal(SignalPlan(1), Authority.OPERATOR, lasts_s=86_401) == "EXPIRY_INVALID"


def test_programmes_are_limited_in_their_rate_and_people_are_not() -> None:
    """A plan stands for five minutes, and its bands for the interval of the sheet."""
    first = OrderRequest(SignalPlan(1), Authority.ADAPTIVE, 1000, 1600)
    state = record(PlanState(), first)

    assert _refusal(SignalPlan(1), at_s=1029, state=state) == "RATE_LIMITED"
    assert _refusal(SignalPlan(1), at_s=1030, state=state) == ""
    assert _refusal(SignalPlan(2), at_s=1299, state=state) == "RATE_LIMITED"
    assert _refusal(SignalPlan(2), at_s=1300, state=state) == ""
    assert _refusal(SignalPlan(2), Authority.OPERATOR, at_s=1001, state=state) == ""
    adjusted = record(state, OrderRequest(SignalPlan(1), Authority.ADAPTIVE, 1200, 1800))
    assert _refusal(SignalPlan(2), at_s=1300, state=adjusted) == ""
    assert record(state, OrderRequest(INPUT_5, Authority.ADAPTIVE, 1001, 1600)) == state


@pytest.mark.parametrize(
    "change",
    [
        {"plans": [{"id": 0}]},
        {"plans": [{"id": 1.5}]},
        {"plans": [{}]},
        {"plans": 3},
        {"plans": [{"id": 1, "cycle_time_s": [120, 60]}]},
        {"plans": [{"id": 1, "bands": [[1]]}]},
        {"inputs": ["five"]},
    ],
)
def test_a_malformed_section_is_refused(change: dict[str, object]) -> None:
    """A sheet with a wrong value is no sheet."""
    with pytest.raises(InvalidArgument, match="controls"):
        read_controls({**SHEET, **change})
