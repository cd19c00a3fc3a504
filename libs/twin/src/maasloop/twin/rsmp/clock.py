"""The clock of a site, which its supervisor may set."""

from datetime import datetime, timedelta

from maasloop.core.clock import Clock, to_us


class SiteClock:
    """Another clock, put forward or back; its monotonic time is left alone."""

    def __init__(self, clock: Clock) -> None:
        """Begin with the time of the other clock."""
        self._clock = clock
        self._ahead = timedelta(0)

    def set(self, moment: datetime) -> None:
        """Show this time now."""
        self._ahead = moment - self._clock.now()

    def now(self) -> datetime:
        """Return wall time as the site has it."""
        return self._clock.now() + self._ahead

    def now_us(self) -> int:
        """Return the same in microseconds since the epoch."""
        return to_us(self.now())

    def monotonic_s(self) -> float:
        """Return seconds that nobody can set."""
        return self._clock.monotonic_s()

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of monotonic time."""
        await self._clock.sleep(seconds)
