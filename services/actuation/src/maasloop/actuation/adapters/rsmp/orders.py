"""From a setpoint to the commands of the exchange list for traffic light controllers, and to those that undo it.

Security codes are not among the values: the supervision fills them in. M0010 to M0012, which order single signal groups,
are never used.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from maasloop.actuation.domain.plans.setpoints import (
    AlarmHandling,
    Change,
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
    VehicleType,
)
from maasloop.actuation.domain.setpoint import LightLevel, LocalControl, Setpoint, SignalSequence
from maasloop.rsmp.dialect import Release
from maasloop.rsmp.errors import NotSendable
from maasloop.rsmp.supervised import SupervisedSite

BANDS_TIMEOUT_SINCE = Release(1, 1, 0)
"""First exchange list with a time-out of dynamic bands (M0023)."""
BLOCK = 16
"""Inputs of one block of M0013."""
ALL_INTERSECTIONS = "0"

_MODES = {Mode.NORMAL: "NormalControl", Mode.YELLOW_FLASH: "YellowFlash", Mode.DARK: "Dark"}
_CHANGES = {Change.NEW: "new", Change.UPDATE: "update", Change.CANCEL: "cancel"}
_VEHICLES = {
    VehicleType.PEDESTRIAN: "pedestrian",
    VehicleType.BICYCLE: "bicycle",
    VehicleType.CAR: "car",
    VehicleType.BUS: "bus",
    VehicleType.TRAM: "tram",
    VehicleType.HEAVY_TRUCK: "heavyTruck",
    VehicleType.EMERGENCY: "emergency",
    VehicleType.OTHER: "other",
}


@dataclass(frozen=True, slots=True)
class SiteCommand:
    """One command of the exchange list; values are texts, as on the wire."""

    component: str
    code: str
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a translation depends on beside the setpoint."""

    site: SupervisedSite
    listed: Release
    """The exchange list of the link."""
    lasts_s: float
    """Until the expiry."""
    now: datetime
    """For the controller's clock, in UTC."""

    def on_controller(self, code: str, **values: object) -> SiteCommand:
        """Return a command to the controller itself."""
        return SiteCommand(self.site.controller, code, {name: str(value) for name, value in values.items()})

    @property
    def minutes(self) -> int:
        """The time until the expiry as the list counts it, at least one minute."""
        return max(1, math.ceil(self.lasts_s / 60))


def to_commands(setpoint: Setpoint, given: Circumstances) -> list[SiteCommand]:
    """Return what carries a setpoint out, in the order in which it is sent.

    Raises:
        NotSendable: the site has nothing like it.
    """
    match setpoint:
        case LocalControl():
            return [given.on_controller("M0002", status=False, timeplan=1)]
        case ControllerOrder():
            return list(_ordered(setpoint, given))
        case LightLevel() | SignalSequence():
            raise NotSendable(f"RSMP has no {type(setpoint).__name__}")
        case _ as never:
            assert_never(never)


def undoing(setpoint: Setpoint, given: Circumstances) -> dict[str, list[SiteCommand]]:
    """Return what a setpoint leaves standing, and what takes it back at its expiry; nothing: it stands no more.

    A mode is not among it: the controller itself ends it (``timeout`` of M0001).
    """
    match setpoint:
        case SignalPlan():
            none = tuple(SignalBand(each.band, 0) for each in setpoint.bands)
            free = given.on_controller("M0002", status=False, timeplan=setpoint.plan)
            return {"plan": [*([_bands(setpoint.plan, none, given)] if none else []), free]}
        case TrafficSituation():
            back: ControllerOrder = TrafficSituation(setpoint.situation, end=True)
            return {"situation": [] if setpoint.end else list(_ordered(back, given))}
        case EmergencyRoute():
            back = EmergencyRoute(setpoint.route, end=True)
            return {f"route {setpoint.route}": [] if setpoint.end else list(_ordered(back, given))}
        case InputSettings():
            return {f"input {each.input}": list(_undone(each, given)) for each in setpoint.settings}
        case DetectorSetting():
            back = DetectorSetting(setpoint.detector, ForcedState.RELEASED)
            ended = setpoint.state is ForcedState.RELEASED
            return {f"detector {setpoint.detector}": [] if ended else list(_ordered(back, given))}
        case SignalPriority():
            ended = setpoint.change is Change.CANCEL
            back = replace(setpoint, change=Change.CANCEL)
            return {f"priority {setpoint.request_id}": [] if ended else list(_ordered(back, given))}
        case _:
            return {}


def _undone(setting: InputSetting, given: Circumstances) -> Iterable[SiteCommand]:
    if setting.state in {ForcedState.ACTIVE, ForcedState.FORCED_ON, ForcedState.FORCED_OFF}:
        active = setting.state is ForcedState.ACTIVE
        back = ForcedState.INACTIVE if active else ForcedState.RELEASED
        yield from _inputs((InputSetting(setting.input, back),), given)


def _ordered(order: ControllerOrder, given: Circumstances) -> Iterable[SiteCommand]:
    match order:
        case SignalPlan():
            yield from _plan(order, given)
        case OperatingMode():
            minutes = 0 if order.mode is Mode.NORMAL else given.minutes
            mode = _MODES[order.mode]
            yield given.on_controller("M0001", status=mode, timeout=minutes, intersection=ALL_INTERSECTIONS)
        case TrafficSituation():
            yield given.on_controller("M0003", status=not order.end, traficsituation=order.situation)
        case EmergencyRoute():
            yield given.on_controller("M0005", status=not order.end, emergencyroute=order.route)
        case InputSettings():
            yield from _inputs(order.settings, given)
        case DetectorSetting():
            component = _component(given.site.detector_logics.items(), order.detector, "detector logic")
            forced = order.state is not ForcedState.RELEASED
            values = {"status": str(forced), "mode": str(order.state is ForcedState.FORCED_ON)}
            yield SiteCommand(component, "M0008", values)
        case SignalPriority():
            yield _priority(order, given)
        case SecurityCodeChange():
            yield given.on_controller("M0103", status=f"Level{order.level}")
        case ClockSetting():
            now = given.now
            yield given.on_controller(
                "M0104",
                year=now.year,
                month=now.month,
                day=now.day,
                hour=now.hour,
                minute=now.minute,
                second=now.second,
            )
        case _:
            raise NotSendable(f"RSMP has no {type(order).__name__}")


def _plan(order: SignalPlan, given: Circumstances) -> Iterable[SiteCommand]:
    yield given.on_controller("M0002", status=True, timeplan=order.plan)
    if order.bands:
        if given.listed >= BANDS_TIMEOUT_SINCE:
            # First of all, so that the bands never stand without it.
            yield given.on_controller("M0023", status=given.minutes)
        yield _bands(order.plan, order.bands, given)
    if order.offset_s is not None:
        yield given.on_controller("M0015", status=order.offset_s, plan=order.plan)
    if order.cycle_time_s is not None:
        yield given.on_controller("M0018", status=order.cycle_time_s, plan=order.plan)


def _bands(plan: int, bands: Iterable[SignalBand], given: Circumstances) -> SiteCommand:
    text = ",".join(f"{each.band}-{each.extension_s}" for each in bands)
    return given.on_controller("M0014", plan=plan, status=text)


def _inputs(settings: tuple[InputSetting, ...], given: Circumstances) -> Iterable[SiteCommand]:
    switched = [each for each in settings if each.state in {ForcedState.ACTIVE, ForcedState.INACTIVE}]
    if len(switched) == 1:
        active = switched[0].state is ForcedState.ACTIVE
        yield given.on_controller("M0006", status=active, input=switched[0].input)
    elif switched:
        yield given.on_controller("M0013", status=_blocks(switched))
    for each in settings:
        if each not in switched:
            forced, on = each.state is not ForcedState.RELEASED, each.state is ForcedState.FORCED_ON
            yield given.on_controller("M0019", status=forced, input=each.input, inputValue=on)


def _blocks(settings: Iterable[InputSetting]) -> str:
    """Return blocks of sixteen inputs: the number of the first, bits that are set, bits that are unset."""
    blocks: dict[int, list[int]] = {}
    for each in settings:
        block, bit = divmod(each.input - 1, BLOCK)
        masks = blocks.setdefault(block, [0, 0])
        masks[0 if each.state is ForcedState.ACTIVE else 1] |= 1 << bit
    return ";".join(f"{block * BLOCK + 1},{on},{off}" for block, (on, off) in sorted(blocks.items()))


def _priority(order: SignalPriority, given: Circumstances) -> SiteCommand:
    values: dict[str, object] = {"requestId": order.request_id}
    if order.signal_group:
        values["signalGroupId"] = _component(given.site.signal_groups.items(), order.signal_group, "signal group")
    if order.input is not None:
        values["inputId"] = order.input
    if order.connection is not None:
        values["connectionId"] = order.connection
    values |= {"type": _CHANGES[order.change], "level": order.level}
    if order.eta_s is not None:
        values["eta"] = order.eta_s
    if order.vehicle_type in _VEHICLES:
        values["vehicleType"] = _VEHICLES[order.vehicle_type]
    return given.on_controller("M0022", **values)


def alarm_component(handling: AlarmHandling, site: SupervisedSite) -> str:
    """Return the component that has an alarm.

    Raises:
        NotSendable: the site has no such component.
    """
    if handling.detector:
        return _component(site.detector_logics.items(), handling.detector, "detector logic")
    if handling.signal_group:
        return _component(site.signal_groups.items(), handling.signal_group, "signal group")
    return site.controller


def _component(known: Iterable[tuple[str, str]], wanted: str, kind: str) -> str:
    for component, own in known:
        if own == wanted:
            return component
    raise NotSendable(f"the site has no {kind} {wanted}")
