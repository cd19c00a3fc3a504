"""A policy: a rule from observations to levels of lamps, as data, and the little state it declares.

The rule's expressions are evaluated elsewhere (``Conditions``); here is what follows from their answers: two
thresholds make a hysteresis, a hold keeps it on, and several sources of one scope are on together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from .reading import SECOND_US, Reading

SOURCE_SILENCE_US = 300 * SECOND_US
"""A source that switched on and was not heard of again counts as off after this."""


class Scope(StrEnum):
    """Which lamps follow the device that sent the reading."""

    DEVICE = "DEVICE"
    GROUP = "GROUP"
    DISTRICT = "DISTRICT"


class Mode(StrEnum):
    """Whether a policy acts."""

    OFF = "OFF"
    SHADOW = "SHADOW"
    ACTIVE = "ACTIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One version of a policy."""

    id: str
    display_name: str
    district: str
    observed_properties: tuple[str, ...]
    on_condition: str
    off_condition: str = ""
    hold_us: int = 0
    scope: Scope = Scope.DEVICE
    on_level_percent: float
    off_level_percent: float
    mode: Mode = Mode.SHADOW
    version: int = 1
    update_time_us: int = 0
    etag: str = ""

    @property
    def issuer(self) -> str:
        """How its commands name it."""
        return f"policies/{self.id}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the expressions say about one reading; ``error`` where they say nothing."""

    on: bool = False
    off: bool = False
    error: str = ""


Latest = Mapping[str, float | str]
"""Observed property to its newest value near a device."""


class Conditions(Protocol):
    """Evaluates the expressions of policies."""

    def answer(self, policy: Policy, reading: Reading, latest: Latest) -> Answer:
        """Evaluate a policy's expressions on a reading."""
        ...

    def properties(self, policy: Policy) -> Sequence[str]:
        """Return the observed properties that the expressions look up in ``latest``."""
        ...

    def require_valid(self, policy: Policy) -> None:
        """Refuse a policy whose expressions do not compile or evaluate (POLICY_INVALID, with the expression)."""
        ...


@dataclass(slots=True)
class ScopeState:
    """Whether a policy is on in one of its scopes (a device, a group, the district)."""

    on: bool | None = None
    """Nothing was decided yet where unset."""
    held_until_us: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    """Devices that are on, and when they last said so."""

    def hear(self, policy: Policy, answer: Answer, device: str, time_us: int) -> bool:
        """Take the answer about a reading of a device; return whether the state changed."""
        if answer.on:
            self.sources[device] = time_us
            self.held_until_us = max(self.held_until_us, time_us + policy.hold_us)
            return self._become(on=True)
        if answer.off:
            self.sources.pop(device, None)
            return self.pass_time(time_us)
        return False

    def pass_time(self, now_us: int) -> bool:
        """Switch off what nobody holds on any longer; return whether the state changed."""
        for device, heard_us in list(self.sources.items()):
            if now_us - heard_us > SOURCE_SILENCE_US:
                del self.sources[device]
        if self.sources or now_us < self.held_until_us:
            return False
        return self._become(on=False)

    def _become(self, *, on: bool) -> bool:
        changed = self.on is not on
        self.on = on
        return changed
