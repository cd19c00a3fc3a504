"""The only place that reads the time of the machine.

Wall time is UTC and says when something happened; monotonic time measures intervals, time-outs and leases. Field time,
what the street counts, is neither: it is carried by observations.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND_US = 1_000_000


class Clock(Protocol):
    """What a component needs to know about time."""

    def now(self) -> datetime:
        """Return wall time, aware, in UTC."""
        ...

    def now_us(self) -> int:
        """Return wall time in microseconds since 1970-01-01T00:00:00Z."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never steps; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of monotonic time."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return wall time, aware, in UTC."""
        return datetime.now(UTC)

    def now_us(self) -> int:
        """Return wall time in microseconds since the epoch."""
        return time.time_ns() // 1_000

    def monotonic_s(self) -> float:
        """Return seconds of the machine's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(seconds)


class FakeClock:
    """A clock for tests that moves only when told; sleepers wake in order of their deadline."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        """Start wall time at ``start`` and monotonic time at 0."""
        self._start = start
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the start plus what was advanced."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def now_us(self) -> int:
        """Return the same in microseconds since the epoch."""
        return to_us(self.now())

    def monotonic_s(self) -> float:
        """Return the seconds advanced so far."""
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        """Wait until ``advance`` has passed that many seconds."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._elapsed_s + seconds, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move both times forward and let those run whose sleep ended."""
        end_s = self._elapsed_s + seconds
        while due := sorted((s for s in self._sleepers if s[0] <= end_s), key=lambda s: s[0])[:1]:
            deadline_s, woken = due[0]
            self._sleepers.remove(due[0])
            self._elapsed_s = max(self._elapsed_s, deadline_s)
            if not woken.done():
                woken.set_result(None)
            for _ in range(5):
                await asyncio.sleep(0)
        self._elapsed_s = end_s
        await asyncio.sleep(0)


def to_us(moment: datetime) -> int:
    """Return microseconds since the epoch of an aware time; exact, without floats."""
    delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_us(us: int) -> datetime:
    """Return the aware UTC time of microseconds since the epoch."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
