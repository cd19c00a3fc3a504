"""The safety kernel for lamps: nothing reaches a lamp but a level and a ramp that this module permits.

A request that only needs a longer ramp, or the floor of its street, is adapted and says so; one that is forbidden is
refused. Darkness is the danger: brighter is always permitted, at once.
"""

from dataclasses import dataclass

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.setpoint import LightLevel
from maasloop.core.reasons import Reason

from .lamp import FULL_PERCENT, LEVEL_TOLERANCE_PERCENT, Lamp, LampState

RAMP_DOWN_PERCENT_PER_S = 1.0
"""10 % in 10 s."""
RAMP_UP_MAX_S = 2.0
DWELL_S = 10.0
"""A lamp that was raised is not dimmed again within this time."""
EXPIRY_MAX_S = 900.0


@dataclass(frozen=True, slots=True)
class Permitted:
    """What may be sent; ``adapted`` says in words what differs from the request."""

    setpoint: LightLevel
    adapted: str
    after: LampState
    steady: bool
    """The lamp shows this level already."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing may be sent."""

    reason: Reason
    detail: str


Verdict = Permitted | Refused


def judge(
    lamp: Lamp, state: LampState | None, wish: LightLevel, authority: Authority, *, street_us: int, expire_us: int
) -> Verdict:
    """Judge a wish at a moment of the district's clock."""
    expires_in_s = (expire_us - street_us) / 1_000_000
    if not 0 < expires_in_s <= EXPIRY_MAX_S:
        return Refused(Reason.EXPIRY_INVALID, f"a lamp command lasts up to {EXPIRY_MAX_S:g} s; got {expires_in_s:g} s")
    present = lamp.class_level_percent if state is None else state.level_percent(lamp, street_us)
    notes: list[str] = []
    level = _level(lamp, wish.level_percent, authority, notes)
    if level is None:
        detail = f"a person does not switch a lamp off; the floor of its street is {lamp.floor_percent:g} %"
        return Refused(Reason.BELOW_FLOOR, detail)
    lowered = level < present - LEVEL_TOLERANCE_PERCENT
    if lowered and state is not None:
        raised_ago_s = (street_us - state.raised_us) / 1_000_000
        if raised_ago_s < DWELL_S and street_us < state.expire_us:
            detail = f"raised {raised_ago_s:g} s ago; it is not dimmed within {DWELL_S:g} s"
            return Refused(Reason.RATE_LIMITED, detail)
    ramp_s = _ramp_s(present, level, wish.ramp_s, notes)
    raised_us = street_us if level > present + LEVEL_TOLERANCE_PERCENT else (state.raised_us if state else 0)
    after = LampState(present, level, street_us, ramp_s, expire_us, raised_us)
    steady = abs(level - present) <= LEVEL_TOLERANCE_PERCENT
    return Permitted(LightLevel(level, ramp_s), "; ".join(notes), after, steady)


def _level(lamp: Lamp, wished: float, authority: Authority, notes: list[str]) -> float | None:
    if authority is Authority.EMERGENCY:
        if wished < FULL_PERCENT:
            notes.append("an emergency lights to 100 %")
        return FULL_PERCENT
    if wished >= lamp.floor_percent:
        return min(wished, FULL_PERCENT)
    if wished <= 0 and authority > Authority.ADAPTIVE:
        return None
    notes.append(f"raised from {wished:g} % to the floor of {lamp.floor_percent:g} %")
    return lamp.floor_percent


def _ramp_s(present: float, level: float, wished_s: float, notes: list[str]) -> float:
    if level >= present:
        if wished_s > RAMP_UP_MAX_S:
            notes.append(f"ramp shortened to {RAMP_UP_MAX_S:g} s")
        return min(wished_s, RAMP_UP_MAX_S)
    least_s = (present - level) / RAMP_DOWN_PERCENT_PER_S
    if wished_s < least_s:
        notes.append(f"ramp lengthened to {least_s:g} s")
    return max(wished_s, least_s)
