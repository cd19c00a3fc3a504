"""What a signal controller that runs plans of its own accord is asked for; fields as in the contract.

Fields without a value of their own in a message have a default here, as protobuf leaves them out.
"""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class ControllerOrder:
    """Any of the setpoints of this module."""


@dataclass(frozen=True, slots=True)
class SignalBand:
    """A part of a plan's cycle, and how many seconds it is longer."""

    band: int = 0
    extension_s: int = 0


@dataclass(frozen=True, slots=True)
class SignalPlan(ControllerOrder):
    """A plan, and how it is adjusted; None: as it is."""

    plan: int = 0
    bands: tuple[SignalBand, ...] = ()
    offset_s: int | None = None
    cycle_time_s: int | None = None


class Mode(StrEnum):
    """What a controller does as a whole."""

    NORMAL = "MODE_NORMAL"
    YELLOW_FLASH = "MODE_YELLOW_FLASH"
    DARK = "MODE_DARK"


@dataclass(frozen=True, slots=True)
class OperatingMode(ControllerOrder):
    """A mode; dark needs a second person."""

    mode: Mode = Mode.NORMAL
    approver: str = ""


@dataclass(frozen=True, slots=True)
class TrafficSituation(ControllerOrder):
    """A situation that the controller is configured for, or its end."""

    situation: int = 0
    end: bool = False


@dataclass(frozen=True, slots=True)
class EmergencyRoute(ControllerOrder):
    """A green way through the junction, or its end."""

    route: int = 0
    end: bool = False


class ForcedState(StrEnum):
    """What is done to an input or a detector logic."""

    ACTIVE = "FORCED_STATE_ACTIVE"
    INACTIVE = "FORCED_STATE_INACTIVE"
    FORCED_ON = "FORCED_STATE_FORCED_ON"
    FORCED_OFF = "FORCED_STATE_FORCED_OFF"
    RELEASED = "FORCED_STATE_RELEASED"


@dataclass(frozen=True, slots=True)
class InputSetting:
    """One input."""

    input: int = 0
    state: ForcedState = ForcedState.RELEASED


@dataclass(frozen=True, slots=True)
class InputSettings(ControllerOrder):
    """Several inputs at once."""

    settings: tuple[InputSetting, ...] = ()


@dataclass(frozen=True, slots=True)
class DetectorSetting(ControllerOrder):
    """A detector logic, by the id of its device."""

    detector: str = ""
    state: ForcedState = ForcedState.RELEASED


class Change(StrEnum):
    """What becomes of a request."""

    NEW = "CHANGE_NEW"
    UPDATE = "CHANGE_UPDATE"
    CANCEL = "CHANGE_CANCEL"


class VehicleType(StrEnum):
    """What asks for priority."""

    UNSPECIFIED = "VEHICLE_TYPE_UNSPECIFIED"
    PEDESTRIAN = "VEHICLE_TYPE_PEDESTRIAN"
    BICYCLE = "VEHICLE_TYPE_BICYCLE"
    CAR = "VEHICLE_TYPE_CAR"
    BUS = "VEHICLE_TYPE_BUS"
    TRAM = "VEHICLE_TYPE_TRAM"
    HEAVY_TRUCK = "VEHICLE_TYPE_HEAVY_TRUCK"
    EMERGENCY = "VEHICLE_TYPE_EMERGENCY"
    OTHER = "VEHICLE_TYPE_OTHER"


@dataclass(frozen=True, slots=True)
class SignalPriority(ControllerOrder):
    """A vehicle asks for priority, by one of signal group, input and connection."""

    request_id: str = ""
    change: Change = Change.NEW
    signal_group: str = ""
    input: int | None = None
    connection: int | None = None
    level: int = 0
    eta_s: int | None = None
    vehicle_type: VehicleType = VehicleType.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class ClockSetting(ControllerOrder):
    """The controller's clock is set to the platform's."""

    approver: str = ""


@dataclass(frozen=True, slots=True)
class SecurityCodeChange(ControllerOrder):
    """A security code gives way to the next one of the data sheet; no code is in it."""

    level: int = 0
    approver: str = ""


class Act(StrEnum):
    """What is done about an alarm."""

    ACKNOWLEDGE = "ACT_ACKNOWLEDGE"
    SUSPEND = "ACT_SUSPEND"
    RESUME = "ACT_RESUME"


@dataclass(frozen=True, slots=True)
class AlarmHandling(ControllerOrder):
    """An alarm of the controller, or of one of its detectors or signal groups."""

    act: Act = Act.ACKNOWLEDGE
    code: str = ""
    detector: str = ""
    signal_group: str = ""


BESIDE = (SignalPriority, InputSettings, DetectorSetting, ClockSetting, SecurityCodeChange, AlarmHandling)
"""These stand beside what holds a controller: they take no lease, and none gives way to another."""

KINDS: dict[str, type[ControllerOrder]] = {
    "signalPlan": SignalPlan,
    "operatingMode": OperatingMode,
    "trafficSituation": TrafficSituation,
    "emergencyRoute": EmergencyRoute,
    "inputSettings": InputSettings,
    "detectorSetting": DetectorSetting,
    "signalPriority": SignalPriority,
    "clockSetting": ClockSetting,
    "securityCodeChange": SecurityCodeChange,
    "alarmHandling": AlarmHandling,
}
"""By the name of the field of the contract's setpoint."""
NAMES = {kind: name for name, kind in KINDS.items()}
