"""Which lane those are taken to go to who pass one loop before several of them."""

from collections.abc import Iterable, Mapping

SHARE_TRUST = 5.0
FEEDER_TRUST = 20.0
"""What was learned of a feeder counts less, so that it is noticed for long enough that nobody comes through."""
SHARE_FADE = 0.98
ALL_COME = 0.98
"""Where the stated shares come to so much, nobody turns off between the loop and the lines: each vehicle is on one of the lanes."""
LOST_MIN = 0.02
"""A loop that misses nobody may have missed a vehicle itself: it is the origin of so little."""


class UpstreamShares:
    """Which lane a vehicle over one upstream loop is taken to go to: by stated shares at first, then by learned ones.

    Whole vehicles are assigned, in proportion; where one leaves over the line of a lane, that lane's share grows.
    """

    def __init__(self, stated: Mapping[str, float], trust: float = SHARE_TRUST, *, closed: bool | None = None) -> None:
        """Begin with the shares of the data sheet, worth as many vehicles as ``trust`` says.

        Where it is ``closed`` all are on one of these lanes; where nothing is said, that is so if their shares come to all.
        """
        self.shares = dict(stated)
        self._stated = dict(stated)
        self._trust = trust
        self._closed = sum(stated.values()) >= ALL_COME if closed is None else closed
        self._passed = 0.0
        self._found = dict.fromkeys(stated, 0.0)
        self._credit: dict[str | None, float] = dict.fromkeys((*stated, None), 0.0)

    def assign(self) -> str | None:
        """Return the lane that the next vehicle is taken to go to; nothing where it is taken to go elsewhere."""
        self._passed = self._passed * SHARE_FADE + 1.0
        base = self._passed + self._trust
        for lane, found in self._found.items():
            self._found[lane] = found * SHARE_FADE
            self.shares[lane] = (self._found[lane] + self._trust * self._stated[lane]) / base
        total = sum(self.shares.values())
        if total > 1.0 or self._closed:
            self.shares = {lane: share / total for lane, share in self.shares.items()}
            total = 1.0
        for lane, share in self.shares.items():
            self._credit[lane] += share
        self._credit[None] += max(0.0, 1.0 - total)
        chosen = max(self._credit, key=lambda lane: self._credit[lane])
        self._credit[chosen] -= 1.0
        return chosen

    def stated(self, lane: str) -> float:
        """Return the share that the data sheet states."""
        return self._stated[lane]

    def lost(self) -> float:
        """Return how many fewer of those who passed lately have left over the lines than should have; some still wait."""
        return max(LOST_MIN, self._passed * sum(self.shares.values()) - sum(self._found.values()))

    def found(self, lane: str, weight: float) -> None:
        """Note that a vehicle of this loop left over the line of ``lane``."""
        if lane in self._found:
            self._found[lane] += weight


def beside(sources: Iterable[UpstreamShares], lane: str) -> list[str]:
    """Return the other lanes that some of the loops before a lane serve as well."""
    return sorted({other for source in sources if lane in source.shares for other in source.shares} - {lane})
