"""The clock of a district: what the street counts.

A wall clock is UTC. A field clock is moved by its clock device only; when that is silent for ``SILENCE_S`` of wall time
the clock runs on at wall speed, so that expiry and dead-man still fire. The device's word is the time whenever it
comes, also when the clock had run ahead of it meanwhile: what expired stays expired.
"""

from dataclasses import dataclass
from enum import StrEnum

from .reading import SECOND_US

SILENCE_S = 5.0


class ClockKind(StrEnum):
    """What moves a district's clock."""

    WALL = "wall"
    FIELD = "field"


@dataclass(slots=True)
class StreetClock:
    """The clock of one district."""

    kind: ClockKind = ClockKind.WALL
    device: str = ""
    heard_us: int = 0
    heard_at_s: float = 0.0
    """Monotonic time of the machine."""

    def hear(self, time_us: int, monotonic_s: float) -> bool:
        """Take the clock device's word; one that goes back in time is not heard."""
        if self.kind is not ClockKind.FIELD or time_us < self.heard_us:
            return False
        self.heard_us, self.heard_at_s = time_us, monotonic_s
        return True

    def now_us(self, wall_us: int, monotonic_s: float) -> int:
        """Return the district's time in microseconds since the epoch; 0 before a field clock was ever heard."""
        if self.kind is ClockKind.WALL:
            return wall_us
        if self.heard_us == 0:
            return 0
        silent_s = max(0.0, monotonic_s - self.heard_at_s - SILENCE_S)
        return self.heard_us + int(silent_s * SECOND_US)

    def set(self, kind: ClockKind, device: str) -> None:
        """Follow the registry; another clock device starts afresh."""
        if self.device not in {"", device}:
            self.heard_us, self.heard_at_s = 0, 0.0
        self.kind, self.device = kind, device

    def resume(self, time_us: int, monotonic_s: float) -> None:
        """Know a time from before a restart: it runs on from there until the clock device speaks."""
        self.heard_us, self.heard_at_s = max(self.heard_us, time_us), monotonic_s
