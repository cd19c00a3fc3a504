"""The clock of a district: what the street counts.

A district without a clock device lives by the wall, which is UTC. Where it has one, that device alone moves the clock;
when it is silent for ``SILENCE_S`` of wall time the clock runs on at wall speed, so that expiry and dead-man still fire
and silence is still found. The device's word is the time whenever it comes, also when the clock had run ahead of it
meanwhile: what expired stays expired.
"""

from dataclasses import dataclass

from .clock import SECOND_US

SILENCE_S = 5.0
"""Seconds of wall time after which a clock whose device is silent runs on."""


@dataclass(slots=True)
class StreetClock:
    """The clock of one district."""

    device: str = ""
    """The device that moves it; empty for wall time."""
    heard_us: int = 0
    heard_at_s: float = 0.0
    """Monotonic time of the machine."""

    @property
    def is_field(self) -> bool:
        """Whether a device moves it."""
        return bool(self.device)

    def hear(self, time_us: int, monotonic_s: float) -> bool:
        """Take the clock device's word; one that goes back in time is not heard."""
        if not self.is_field or time_us < self.heard_us:
            return False
        self.heard_us, self.heard_at_s = time_us, monotonic_s
        return True

    def now_us(self, wall_us: int, monotonic_s: float) -> int:
        """Return the district's time in microseconds since the epoch; 0 before a field clock was ever heard."""
        if not self.is_field:
            return wall_us
        if self.heard_us == 0:
            return 0
        silent_s = max(0.0, monotonic_s - self.heard_at_s - SILENCE_S)
        return self.heard_us + int(silent_s * SECOND_US)

    def follow(self, device: str) -> None:
        """Be moved by the device that the registry names, none for wall time; another one starts afresh."""
        if self.device not in {"", device}:
            self.heard_us, self.heard_at_s = 0, 0.0
        self.device = device

    def resume(self, time_us: int, monotonic_s: float) -> None:
        """Know a time from before a restart: it runs on from there until the clock device speaks."""
        self.heard_us, self.heard_at_s = max(self.heard_us, time_us), monotonic_s
