"""A lamp as the registry describes it, and what it has been asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

FULL_PERCENT = 100.0
LEVEL_TOLERANCE_PERCENT = 0.5
"""Levels closer than this are the same level."""
POWER_TOLERANCE_SHARE = 0.05
POWER_TOLERANCE_W = 1.0


@dataclass(frozen=True, slots=True)
class Lamp:
    """The facts of ``Device.config`` of a streetlight."""

    installed_power_w: float
    standby_power_w: float
    class_level_percent: float
    """The level that delivers the lighting class of its street; where it returns to by itself."""
    floor_percent: float
    """The lowest level when dimmed."""

    def power_w(self, level_percent: float) -> float:
        """Return the power it draws at a level."""
        share = level_percent / FULL_PERCENT
        return self.standby_power_w + (self.installed_power_w - self.standby_power_w) * share

    def draws(self, power_w: float, level_percent: float) -> bool:
        """Tell whether a power reading shows this level."""
        expected_w = self.power_w(level_percent)
        return abs(power_w - expected_w) <= expected_w * POWER_TOLERANCE_SHARE + POWER_TOLERANCE_W


def read_lamp(config: Mapping[str, object]) -> Lamp:
    """Read a lamp from the configuration of its device, or refuse what cannot be true (DATA_SHEET_INVALID)."""
    try:
        values = [
            float(str(config[key]))
            for key in ("installed_power_w", "standby_power_w", "class_level_percent", "floor_percent")
        ]
    except (KeyError, ValueError) as error:
        message = f"a lamp needs installed_power_w, standby_power_w, class_level_percent and floor_percent: {error}"
        raise InvalidArgument(Reason.DATA_SHEET_INVALID, message) from None
    lamp = _shared(*values)
    levels = 0 < lamp.floor_percent <= lamp.class_level_percent <= FULL_PERCENT
    if not (levels and 0 <= lamp.standby_power_w < lamp.installed_power_w):
        message = "a lamp has 0 < floor <= class level <= 100 percent and 0 <= standby power < installed power"
        raise InvalidArgument(Reason.DATA_SHEET_INVALID, message)
    return lamp


@lru_cache(maxsize=4_096)
def _shared(installed_w: float, standby_w: float, class_percent: float, floor_percent: float) -> Lamp:
    # A district has thousands of lamps of a few kinds.
    return Lamp(installed_w, standby_w, class_percent, floor_percent)


@dataclass(frozen=True, slots=True)
class LampState:
    """What a lamp was asked for last; without any it shows its class level."""

    from_percent: float
    to_percent: float
    begun_us: int
    ramp_s: float
    expire_us: int
    """It returns to its class level then."""
    raised_us: int
    """When it was last asked to become brighter."""

    def level_percent(self, lamp: Lamp, street_us: int) -> float:
        """Return the level that it should show."""
        if street_us >= self.expire_us:
            return lamp.class_level_percent
        elapsed_s = (street_us - self.begun_us) / 1_000_000
        if elapsed_s >= self.ramp_s:
            return self.to_percent
        share = max(0.0, elapsed_s / self.ramp_s)
        return self.from_percent + (self.to_percent - self.from_percent) * share
