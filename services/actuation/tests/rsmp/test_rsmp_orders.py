"""Setpoints become commands of the exchange list, and each that stands has what takes it back."""

from datetime import UTC, datetime
from itertools import chain

import pytest

from maasloop.actuation.adapters.rsmp.orders import Circumstances, to_commands, undoing
from maasloop.actuation.domain.plans.setpoints import (
    Change,
    ClockSetting,
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
    VehicleType,
)
from maasloop.actuation.domain.setpoint import LightLevel, LocalControl, Setpoint
from maasloop.rsmp.dialect import Release
from maasloop.rsmp.errors import NotSendable
from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.supervised import SupervisedSite

NEWEST = TLC_RELEASES[-1]
SITE = SupervisedSite(
    ("S1",), "TC", signal_groups={"A1": "north"}, detector_logics={"DL1": "loop-1"}, security_codes={2: "env:X"}
)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLAN = SignalPlan(1, (SignalBand(1, 12), SignalBand(2, 0)), 20, 90)
PRIORITY = SignalPriority("r1", Change.NEW, signal_group="north", level=7, eta_s=20, vehicle_type=VehicleType.BUS)
EVERYTHING: tuple[Setpoint, ...] = (
    PLAN,
    OperatingMode(Mode.YELLOW_FLASH),
    OperatingMode(Mode.NORMAL),
    TrafficSituation(1),
    EmergencyRoute(3),
    InputSettings((InputSetting(7, ForcedState.ACTIVE),)),
    InputSettings((InputSetting(1, ForcedState.ACTIVE), InputSetting(18, ForcedState.INACTIVE))),
    InputSettings((InputSetting(5, ForcedState.FORCED_ON), InputSetting(6, ForcedState.RELEASED))),
    DetectorSetting("loop-1", ForcedState.FORCED_OFF),
    PRIORITY,
    ClockSetting("somebody"),
    SecurityCodeChange(2, "somebody"),
    LocalControl(),
)


def _given(listed: Release = NEWEST, lasts_s: float = 61.0) -> Circumstances:
    return Circumstances(SITE, listed, lasts_s, NOW)


def _short(setpoint: Setpoint, listed: Release = NEWEST) -> list[tuple[str, str]]:
    return [(each.code, "/".join(each.values.values())) for each in to_commands(setpoint, _given(listed))]


def test_a_plan_is_chosen_and_adjusted_under_a_dead_man() -> None:
    """The time-out comes before the bands; offset and cycle time only where they are asked for."""
    assert _short(PLAN) == [
        ("M0002", "True/1"),
        ("M0023", "2"),
        ("M0014", "1/1-12,2-0"),
        ("M0015", "20/1"),
        ("M0018", "90/1"),
    ]
    assert _short(SignalPlan(2)) == [("M0002", "True/2")]


def test_the_oldest_list_has_no_dead_man() -> None:
    """Bands of list 1.0.15 are taken back by the driver alone."""
    assert [code for code, _ in _short(PLAN, Release(1, 0, 15))] == ["M0002", "M0014", "M0015", "M0018"]


@pytest.mark.parametrize(
    ("setpoint", "expected"),
    [
        (OperatingMode(Mode.YELLOW_FLASH), [("M0001", "YellowFlash/2/0")]),
        (OperatingMode(Mode.NORMAL), [("M0001", "NormalControl/0/0")]),
        (TrafficSituation(1), [("M0003", "True/1")]),
        (TrafficSituation(1, end=True), [("M0003", "False/1")]),
        (EmergencyRoute(3), [("M0005", "True/3")]),
        (InputSettings((InputSetting(7, ForcedState.ACTIVE),)), [("M0006", "True/7")]),
        (EVERYTHING[6], [("M0013", "1,1,0;17,0,2")]),
        (EVERYTHING[7], [("M0019", "True/5/True"), ("M0019", "False/6/False")]),
        (DetectorSetting("loop-1", ForcedState.FORCED_OFF), [("M0008", "True/False")]),
        (PRIORITY, [("M0022", "r1/A1/new/7/20/bus")]),
        (ClockSetting("x"), [("M0104", "2026/1/2/3/4/5")]),
        (SecurityCodeChange(2, "x"), [("M0103", "Level2")]),
        (LocalControl(), [("M0002", "False/1")]),
    ],
)
def test_each_setpoint_has_its_commands(setpoint: Setpoint, expected: list[tuple[str, str]]) -> None:
    """As the exchange list spells them, with the site's own component ids."""
    assert _short(setpoint) == expected


@pytest.mark.parametrize("setpoint", EVERYTHING)
def test_the_exchange_list_knows_all_that_is_sent(setpoint: Setpoint) -> None:
    """Every command, and every one that takes it back, has the arguments of the list and none that it reserves."""
    given, listed = _given(), tlc(NEWEST)
    for each in chain(to_commands(setpoint, given), *undoing(setpoint, given).values()):
        reserved = {"securityCode", "oldSecurityCode", "newSecurityCode"} & set(listed.commands[each.code].arguments)
        code = dict.fromkeys(reserved, "1")

        assert not listed.command_problem(each.code, (), {**each.values, **code})
        assert not listed.commands[each.code].reserved


@pytest.mark.parametrize(
    ("setpoint", "expected"),
    [
        (PLAN, {"plan": [("M0014", "1/1-0,2-0"), ("M0002", "False/1")]}),
        (TrafficSituation(1), {"situation": [("M0003", "False/1")]}),
        (TrafficSituation(1, end=True), {"situation": []}),
        (EVERYTHING[7], {"input 5": [("M0019", "False/5/False")], "input 6": []}),
        (EVERYTHING[8], {"detector loop-1": [("M0008", "False/False")]}),
        (PRIORITY, {"priority r1": [("M0022", "r1/A1/cancel/7/20/bus")]}),
        (OperatingMode(Mode.YELLOW_FLASH), {}),
    ],
)
def test_what_stands_is_taken_back(setpoint: Setpoint, expected: dict[str, list[tuple[str, str]]]) -> None:
    """By name, so that a newer order of the same kind takes the place of an older one."""
    found = {
        name: [(each.code, "/".join(each.values.values())) for each in back]
        for name, back in undoing(setpoint, _given()).items()
    }

    assert found == expected


@pytest.mark.parametrize(
    ("setpoint", "reason"),
    [
        (LightLevel(50, 0), "LightLevel"),
        (DetectorSetting("loop-9", ForcedState.FORCED_ON), "loop-9"),
        (SignalPriority("r1", signal_group="south"), "south"),
    ],
)
def test_what_a_site_lacks_cannot_be_sent(setpoint: Setpoint, reason: str) -> None:
    """Lamps, foreign detectors and foreign groups are named."""
    with pytest.raises(NotSendable, match=reason):
        to_commands(setpoint, _given())
