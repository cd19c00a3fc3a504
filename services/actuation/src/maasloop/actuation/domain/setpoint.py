"""What an actuator shall be or do."""

from dataclasses import dataclass

from .plans.setpoints import BESIDE, ControllerOrder
from .signals.aspects import Aspects
from .signals.kernel import SequenceStep


@dataclass(frozen=True, slots=True)
class LightLevel:
    """The level of a lamp in percent of its installed light, reached within ``ramp_s`` seconds."""

    level_percent: float
    ramp_s: float


@dataclass(frozen=True, slots=True)
class SignalSequence:
    """A timed sequence of signal group states, and the state of the street that it starts from."""

    steps: tuple[SequenceStep, ...]
    start_state: Aspects

    @property
    def lasts_s(self) -> float:
        """Seconds from the beginning until the last step is shown."""
        return self.steps[-1].offset_s


@dataclass(frozen=True, slots=True)
class LocalControl:
    """Back to the device's own programme."""


Setpoint = LightLevel | SignalSequence | LocalControl | ControllerOrder


def holds(setpoint: Setpoint) -> bool:
    """Tell whether a setpoint takes its target: it gets the lease, and the one before it gives way."""
    return not isinstance(setpoint, BESIDE)
