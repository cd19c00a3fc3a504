"""Event times of the benches: young enough for the lane of live readings, and all within one day's chunk.

Readings older than six hours travel on a lane of their own, and a run that crosses midnight would write two chunks. So a
run takes its street seconds out of the last hours of today, or shortly after midnight out of the last hours of yesterday;
one of the two always fits, and no run has to wait.
"""

import time
from datetime import UTC, datetime

from tests.load.figures import SECONDS_AN_HOUR

DAY_S = 86_400
WINDOW_S = int(2.5 * SECONDS_AN_HOUR)
"""Street seconds a run may use. Twice this and the time of a run stay below the six hours."""
MINUTE_S = 60
SECOND_US = 1_000_000


class Street:
    """Deals out street seconds, each only once, from the beginning of a minute on."""

    def __init__(self, now_s: int | None = None) -> None:
        """Lay the window."""
        now_s = int(time.time()) if now_s is None else now_s  # noqa: TID251 - street time of the bench
        midnight_s = now_s // DAY_S * DAY_S
        end_s = now_s if now_s - midnight_s >= WINDOW_S + MINUTE_S else midnight_s
        self._next_s = (end_s - WINDOW_S) // MINUTE_S * MINUTE_S
        self._end_s = end_s

    @property
    def midnight(self) -> datetime:
        """Return the midnight before all of the seconds: a history may end there."""
        return datetime.fromtimestamp(self._next_s // DAY_S * DAY_S, UTC)

    def take(self, seconds: int) -> int:
        """Return the first of so many street seconds that nobody else has, in microseconds."""
        start_s = self._next_s
        self._next_s += -(-seconds // MINUTE_S) * MINUTE_S
        if self._next_s > self._end_s:
            message = f"a run has {WINDOW_S} street seconds; {self._next_s - self._end_s} more are asked for"
            raise ValueError(message)
        return start_s * SECOND_US
