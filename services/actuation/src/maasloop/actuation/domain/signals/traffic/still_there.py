"""Who was taken to have left a lane that nobody sees, and does not come out of the junction: he is still there."""

import math
from collections import deque
from dataclasses import dataclass, field

from .turning import CROSSING_MAX_S

UNANNOUNCED_MAX = 0.4
"""Where more of those who come out had not been told of, others come than those who pass the loops upstream."""
GAP_S = 5.0
"""Who left before the lane was seen again for so long, or its exits were silent, is known no more."""
_STEP = 0.05
_SPARE = 1e-6


@dataclass
class _Left:
    second_s: float
    vehicles: float
    again: bool
    """They had been taken to have left before, and did not come out."""


@dataclass
class StillThere:
    """Compares who is taken to have left one lane with who comes out."""

    unannounced: float = 0.0
    """The share of those who came out lately whom nobody had told of."""
    _left: deque[_Left] = field(default_factory=deque)
    _back: float = 0.0
    """Those at the line who had been taken to have left."""
    _heard_s: float = -math.inf

    def hear(self, second_s: float, leaving: float, out: float) -> tuple[float, float]:
        """Take in one second; return how many have not left, and how many came out whom nobody took to have left.

        Somebody is taken to be still there once: who then does not come out either was never there, or the loops miss him.
        """
        if second_s - self._heard_s > GAP_S:
            self._left.clear()
            self._back = 0.0
        self._heard_s = second_s
        others = out
        while others > _SPARE and self._left:
            first = self._left[0]
            known = min(others, first.vehicles)
            first.vehicles -= known
            others -= known
            if first.vehicles <= _SPARE:
                self._left.popleft()
        # Who is back at the line is the first there.
        self._back = max(0.0, self._back - others)
        again = min(leaving, self._back)
        self._back -= again
        for vehicles, before in ((again, True), (leaving - again, False)):
            if vehicles > _SPARE:
                self._left.append(_Left(second_s, vehicles, before))
        back = 0.0
        while self._left and second_s - self._left[0].second_s > CROSSING_MAX_S:
            late = self._left.popleft()
            back += 0.0 if late.again else late.vehicles
        self._back += back
        return back, others if others > _SPARE else 0.0

    def came_out(self, vehicles: float, unannounced: float) -> None:
        """Note how many came out, and how many of them had not been told of."""
        if vehicles > 0.0:
            self.unannounced += _STEP * (unannounced / vehicles - self.unannounced)
