"""What the registry says about the devices of one district, as far as decisions need it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from maasloop.core.errors import InvalidArgument

from .lamps.lamp import Lamp, read_lamp
from .plans.sheet import Controls, read_controls
from .signals.sheet import Sheet
from .signals.sheet_data import read_sheet


class Capability(StrEnum):
    """What kind of setpoint an actuator understands."""

    LIGHT_LEVEL = "LIGHT_LEVEL"
    SIGNAL_SEQUENCE = "SIGNAL_SEQUENCE"
    SIGNAL_PLAN = "SIGNAL_PLAN"


@dataclass(frozen=True, slots=True)
class Device:
    """One device. ``config_refusal`` says why its configuration may not be used; then it is never commanded."""

    id: str
    device_type: str
    groups: tuple[str, ...]
    active: bool
    lamp: Lamp | None = None
    sheet: Sheet | None = None
    config_refusal: str = ""
    controls: Controls | None = None
    """What a controller that runs plans may be asked for."""


def read_device(
    device: str, device_type: str, groups: Sequence[str], config: Mapping[str, object], *, active: bool
) -> Device:
    """Read a device with whatever its configuration describes: a lamp, a junction, a controller, or nothing of ours."""
    lamp, sheet, controls, refusal = None, None, None, ""
    try:
        if "installed_power_w" in config:
            lamp = read_lamp(config)
        elif "groups" in config and "compatible" in config:
            sheet = read_sheet(config)
        if isinstance(section := config.get("controls"), Mapping):
            controls = read_controls(section)
    except InvalidArgument as error:
        refusal = error.message
    return Device(device, device_type, tuple(groups), active, lamp, sheet, refusal, controls)


@dataclass(slots=True)
class DistrictFacts:
    """The devices of one district, and indexes over them that change with them."""

    devices: dict[str, Device] = field(default_factory=dict)
    lamps: dict[str, Lamp] = field(default_factory=dict)
    junctions: dict[str, Sheet] = field(default_factory=dict)
    """Controller to data sheet."""
    lamps_of_group: dict[str, set[str]] = field(default_factory=dict)
    detectors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Loop to the controllers whose sheets name it: its own, and those whose traffic it announces."""
    version: int = 0
    """Changes with every change."""

    def put(self, device: Device) -> None:
        """Take a device as it is; it replaces what was known of it."""
        self.drop(device.id)
        self.devices[device.id] = device
        if not device.active:
            return
        if device.lamp is not None:
            self.lamps[device.id] = device.lamp
            for group in device.groups:
                self.lamps_of_group.setdefault(group, set()).add(device.id)
        if device.sheet is not None:
            self.junctions[device.id] = device.sheet
            for detector in device.sheet.detectors:
                self.detectors[detector.id] = (*self.detectors.get(detector.id, ()), device.id)

    def drop(self, device: str) -> None:
        """Forget a device."""
        self.version += 1
        known = self.devices.pop(device, None)
        if known is None:
            return
        self.lamps.pop(device, None)
        for group in known.groups:
            self.lamps_of_group.get(group, set()).discard(device)
        if self.junctions.pop(device, None) is not None:
            left = ((loop, tuple(one for one in by if one != device)) for loop, by in self.detectors.items())
            self.detectors = {loop: by for loop, by in left if by}

    def groups_of(self, device: str) -> tuple[str, ...]:
        """Return the groups of a device; none for one that is not known."""
        known = self.devices.get(device)
        return known.groups if known is not None else ()
