"""What the signal groups of a junction show in a second, and when they change next, for whoever travels."""

from dataclasses import dataclass
from enum import IntEnum

from .junction import Junction
from .signals.aspects import Aspect
from .signals.prediction import Change


class MovementPhaseState(IntEnum):
    """The words and numbers of SAE J2735."""

    UNSPECIFIED = 0
    DARK = 1
    STOP_AND_REMAIN = 3
    PERMISSIVE_MOVEMENT_ALLOWED = 5
    PROTECTED_MOVEMENT_ALLOWED = 6
    PERMISSIVE_CLEARANCE = 7
    PROTECTED_CLEARANCE = 8
    CAUTION_CONFLICTING_TRAFFIC = 9


_STATES = {
    Aspect.RED: MovementPhaseState.STOP_AND_REMAIN,
    Aspect.GREEN: MovementPhaseState.PROTECTED_MOVEMENT_ALLOWED,
    Aspect.YIELDING: MovementPhaseState.PERMISSIVE_MOVEMENT_ALLOWED,
    Aspect.YELLOW: MovementPhaseState.PROTECTED_CLEARANCE,
    Aspect.DARK: MovementPhaseState.DARK,
    Aspect.FLASHING: MovementPhaseState.CAUTION_CONFLICTING_TRAFFIC,
}


@dataclass(frozen=True, slots=True)
class Movement:
    """One group; no change where nothing is known of it."""

    group: str
    state: MovementPhaseState
    change: Change | None


@dataclass(frozen=True, slots=True)
class SignalPrediction:
    """One junction in one second."""

    district: str
    device: str
    street_second: int
    movements: tuple[Movement, ...]


def predicted(district: str, device: str, junction: Junction, second: int, *, local: bool) -> SignalPrediction | None:
    """Predict a junction after the decision on a second; nothing where its signals were not heard."""
    changes = junction.predict(second, local=local)
    if junction.state is None or not changes:
        return None
    movements = tuple(
        Movement(name, _state(junction, name, group.aspect), changes.get(name))
        for name, group in junction.state.groups.items()
    )
    return SignalPrediction(district, device, second, movements)


def _state(junction: Junction, name: str, aspect: Aspect) -> MovementPhaseState:
    if aspect is Aspect.YELLOW and name in junction.predictor.yielded:
        return MovementPhaseState.PERMISSIVE_CLEARANCE
    return _STATES.get(aspect, MovementPhaseState.UNSPECIFIED)
