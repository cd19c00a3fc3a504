"""What the policies want of a lamp becomes a request: asked once, refreshed before it expires, tried again with pauses.

A lamp that nobody wants anything of returns to its class level when its command expires: silence lights the street.
"""

from collections.abc import Set as AbstractSet

from maasloop.core.reasons import Reason

from .arbitration import Lost, arbitrate
from .authority import Authority
from .batch import Batch
from .command import State
from .district import District, Moment, Wanted
from .facts import Capability
from .issuing import EXPIRY_LAMPS_S, Request, issue
from .lamps.lamp import LEVEL_TOLERANCE_PERCENT
from .reading import SECOND_US
from .setpoint import LightLevel

LAMP_EXPIRY_US = EXPIRY_LAMPS_S * SECOND_US
REFRESH_BEFORE_US = 300 * SECOND_US
"""A level that is still wanted is asked for again this long before its command expires."""
RETRY_FIRST_US = 5 * SECOND_US
RETRY_MAX_US = 600 * SECOND_US


def ask_for(district: District, capabilities: AbstractSet[Capability], lamp: str, moment: Moment) -> Batch:
    """Ask for what the policies want of a lamp, if it is not what was asked for last."""
    wanted = district.wanted.get(lamp)
    facts = district.facts.lamps.get(lamp)
    if wanted is None or facts is None or district.released or moment.street_us < wanted.retry_us:
        return Batch()
    level = wanted.level_percent
    if level is None or _asked_for(district, lamp, max(level, facts.floor_percent), moment):
        return Batch()
    issuer = f"policies/{wanted.policy}"
    if isinstance(
        arbitrate(district.holder(lamp, moment.street_us), Authority.ADAPTIVE, issuer, moment.street_us), Lost
    ):
        # Somebody stronger holds the lamp; the wish stays and is granted when the other lets go.
        return Batch()
    request = Request(
        device=lamp,
        setpoint=LightLevel(level, 0.0),
        authority=Authority.ADAPTIVE,
        issuer=issuer,
        cause=wanted.cause,
        # What was asked for before is in force or over: asked for again it is another command, which no device drops.
        seed=f"{wanted.cause} {level:g} {moment.street_us}",
    )
    batch = issue(district, capabilities, request, moment)
    for command in batch.commands:
        if command.state is State.REFUSED:
            put_off(wanted, moment, soon=command.reason == Reason.RATE_LIMITED)
    return batch


def put_off(wanted: Wanted, moment: Moment, *, soon: bool = False) -> None:
    """Try again later: the next time twice as late as this time, at most ``RETRY_MAX_US``."""
    pause_us = RETRY_FIRST_US if soon else min(RETRY_FIRST_US * 2 ** min(wanted.failures, 10), RETRY_MAX_US)
    wanted.failures += 1
    wanted.retry_us = moment.street_us + pause_us


def _asked_for(district: District, lamp: str, level: float, moment: Moment) -> bool:
    state = district.lamp_states.get(lamp)
    if state is None or lamp not in district.holders or state.expire_us - moment.street_us < REFRESH_BEFORE_US:
        return False
    return abs(state.to_percent - level) <= LEVEL_TOLERANCE_PERCENT
