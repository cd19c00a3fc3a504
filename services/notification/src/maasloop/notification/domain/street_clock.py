"""The clock of a district, by which silence is judged.

A wall clock is UTC. A field clock is moved by its clock device only; when that is silent for ``SILENCE_S`` of wall time
the clock runs on at wall speed.
"""

from dataclasses import dataclass

SILENCE_S = 5.0
SECOND_US = 1_000_000


@dataclass(slots=True)
class StreetClock:
    """The clock of one district; ``device`` moves it, none means wall time."""

    device: str = ""
    heard_us: int = 0
    heard_at_s: float = 0.0
    """Monotonic time of the machine."""

    def hear(self, time_us: int, monotonic_s: float) -> None:
        """Take the clock device's word; one that goes back in time is not heard."""
        if time_us >= self.heard_us:
            self.heard_us, self.heard_at_s = time_us, monotonic_s

    def now_us(self, wall_us: int, monotonic_s: float) -> int | None:
        """Return the district's time in microseconds since the epoch; nothing before a field clock was ever heard."""
        if not self.device:
            return wall_us
        if not self.heard_us:
            return None
        silent_s = max(0.0, monotonic_s - self.heard_at_s - SILENCE_S)
        return self.heard_us + int(silent_s * SECOND_US)


class StreetClocks:
    """The clocks of all districts."""

    def __init__(self) -> None:
        self._clocks: dict[str, StreetClock] = {}

    def follow(self, devices: dict[str, str]) -> None:
        """Take over what moves the clock of each district, none for wall time; another device starts afresh."""
        known = self._clocks
        self._clocks = {
            district: known[district] if district in known and known[district].device == device else StreetClock(device)
            for district, device in devices.items()
        }

    def device(self, district: str) -> str:
        """Return the device that moves the clock of a district, none for wall time."""
        clock = self._clocks.get(district)
        return clock.device if clock else ""

    def hear(self, district: str, time_us: int, monotonic_s: float) -> None:
        """Take the word of the district's clock device."""
        clock = self._clocks.get(district)
        if clock is not None:
            clock.hear(time_us, monotonic_s)

    def now_us(self, district: str, wall_us: int, monotonic_s: float) -> int | None:
        """Return the district's time; nothing for a district that is not known."""
        clock = self._clocks.get(district)
        return None if clock is None else clock.now_us(wall_us, monotonic_s)
