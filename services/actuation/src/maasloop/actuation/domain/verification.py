"""Did the street do what was asked? Told by an independent observation only, never by the device's answer."""

from dataclasses import dataclass
from typing import assert_never

from .command import Command
from .lamps.lamp import Lamp
from .plans.setpoints import ControllerOrder
from .reading import SECOND_US, Reading
from .setpoint import LightLevel, LocalControl, Setpoint, SignalSequence
from .signals.sheet import Sheet

POWER = "power"
SIGNAL_STATE = "signal-state"
LAMP_PATIENCE_S = 10
"""After the ramp."""
STEADY_PATIENCE_S = 75
"""A lamp whose level does not change tells its power once a minute only."""
SIGNAL_PATIENCE_S = 3
"""After the last step."""
LOCAL_PATIENCE_S = 60
"""A local programme is reached through a clearance and may begin in its middle."""
ORDER_PATIENCE_S = 180
"""A plan changes at the end of its cycle; the driver hears of it by the controller's status."""
DELIVERY_PATIENCE_US = 3 * SECOND_US
"""An observation from before the deadline may arrive this much later."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The effect was observed."""

    detail: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """The reading proves nothing."""


Proof = Seen | NotYet


def patience_us(setpoint: Setpoint, *, steady: bool = False) -> int:
    """Return how long after its beginning a setpoint may be verified; ``steady`` = it changes nothing."""
    return int(_patience_s(setpoint, steady=steady) * SECOND_US)


def _patience_s(setpoint: Setpoint, *, steady: bool) -> float:
    match setpoint:
        case LightLevel():
            return setpoint.ramp_s + (STEADY_PATIENCE_S if steady else LAMP_PATIENCE_S)
        case SignalSequence():
            return setpoint.lasts_s + SIGNAL_PATIENCE_S
        case LocalControl():
            return LOCAL_PATIENCE_S
        case ControllerOrder():
            return ORDER_PATIENCE_S
        case _ as never:
            assert_never(never)


def prove_lamp(command: Command, lamp: Lamp, reading: Reading) -> Proof:
    """Judge a power reading of the lamp that a command went to."""
    if reading.observed_property != POWER or not _in_time(command, reading.time_us, command.dispatch_street_us):
        return NotYet()
    match command.setpoint:
        case LightLevel(level_percent=level):
            pass
        case LocalControl():
            level = lamp.class_level_percent
        case _:
            return NotYet()
    if not lamp.draws(reading.value, level):
        return NotYet()
    return Seen(f"{reading.value:g} W at {level:g} %, {lamp.power_w(level):g} W expected")


def prove_signals(command: Command, sheet: Sheet, reading: Reading) -> Proof:
    """Judge a signal state of the controller that a command went to."""
    if reading.observed_property != SIGNAL_STATE:
        return NotYet()
    match command.setpoint:
        case SignalSequence() as sequence:
            ends_us = command.not_before_us + int(sequence.lasts_s * SECOND_US)
            wanted = {sheet.state_text(sequence.steps[-1].aspects)}
        case LocalControl():
            ends_us = command.dispatch_street_us
            wanted = {step.state for step in sheet.local.steps}
        case _:
            return NotYet()
    if not _in_time(command, reading.time_us, ends_us) or reading.state not in wanted:
        return NotYet()
    return Seen(f"shows {reading.state}")


def _in_time(command: Command, time_us: int, from_us: int) -> bool:
    return from_us <= time_us <= command.verify_by_us
