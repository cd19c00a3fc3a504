"""The clocks of all districts, by which silence is judged."""

from maasloop.core.street_clock import StreetClock


class StreetClocks:
    """A clock for each district that is known."""

    def __init__(self) -> None:
        self._clocks: dict[str, StreetClock] = {}

    def follow(self, devices: dict[str, str]) -> None:
        """Take over what moves the clock of each district, none for wall time."""
        self._clocks = {district: self._clocks.get(district, StreetClock()) for district in devices}
        for district, device in devices.items():
            self._clocks[district].follow(device)

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
        """Return the district's time; nothing for a district that is not known, or whose clock was never heard."""
        clock = self._clocks.get(district)
        return clock.now_us(wall_us, monotonic_s) or None if clock else None
