"""A device's own count of its payloads: which of them never came.

Counts come out of order, twice, and after a restart of the device from the beginning. The last 64 are remembered one by
one, so that a payload that comes late is missing no more.
"""

from dataclasses import dataclass

WINDOW = 64
_ALL = (1 << WINDOW) - 1


@dataclass(slots=True)
class PayloadCount:
    """What was heard of a device that counts."""

    last: int | None = None
    """The highest count since the device last began."""
    missing: int = 0
    """Payloads that were counted and not heard; what was not heard before the first is unknown and not missing."""
    heard: int = _ALL
    """Bit i: ``last - i`` was heard, or lies before the first."""

    def hear(self, count: int) -> None:
        """Take a payload's count."""
        if self.last is None:
            self.last = count
        elif count > self.last:
            step = count - self.last
            self.missing += step - 1
            self.heard = (self.heard << step | 1) & _ALL if step < WINDOW else 1
            self.last = count
        elif self.last - count < WINDOW:
            bit = 1 << (self.last - count)
            if not self.heard & bit:
                self.heard |= bit
                self.missing -= 1
        elif count < WINDOW:
            # Far below: the device began anew.
            self.last, self.heard = count, _ALL
