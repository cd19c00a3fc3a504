"""The usual demand of a lane that nobody sees, of whose vehicles some are seen when they come out of the junction."""

from collections.abc import Mapping
from dataclasses import dataclass

ALL_SEEN = 0.999
"""From this share on, who comes out is all that came."""
SEEN_SHARE_MIN = 0.1
"""Where the exits see less of the vehicles of a lane, they tell nothing of its demand."""
MEMORY_S = 300.0
"""The usual demand is the mean of about so many seconds."""
_ONE = 1.0 / MEMORY_S


@dataclass
class SeenShare:
    """What was known of a lane when it was last seen, and what its exits have told since."""

    shares: Mapping[str, float]
    """Group to the share of the vehicles that wanted it."""
    usual: float
    """Vehicles a second that came."""
    seen: float
    """Vehicles a second that are seen coming out."""

    def hear(self, out: float, stated: float) -> tuple[float, float]:
        """Take in how many were seen in one second; return the demand, in vehicles a second, and the share that is seen.

        Where more are seen than the ``stated`` share lets expect, more may come than before, or more of them go that way:
        the less of them was to be seen, the rather the latter. Both are taken to have grown by the same factor where it
        is half or less.
        """
        self.seen += (out - self.seen) / MEMORY_S
        if stated >= ALL_SEEN:
            return self.seen, 1.0
        ratio = (self.seen + _ONE) / (self.usual * stated + _ONE)
        demand = max(self.seen, self.usual * ratio ** max(0.5, stated))
        return demand, min(1.0, max(stated / 2.0, self.seen / demand if demand > 0.0 else stated))
