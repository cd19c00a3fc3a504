"""One observation as decisions see it."""

from dataclasses import dataclass

SECOND_US = 1_000_000
STALE_US = 10 * SECOND_US
"""An observation further behind the district's clock updates what is known and causes nothing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A number (booleans as 0 and 1) or a word that a device reported for a moment of the street."""

    device: str
    observed_property: str
    time_us: int
    value: float = 0.0
    state: str = ""

    @property
    def second(self) -> int:
        """The second of the street it belongs to."""
        return self.time_us // SECOND_US

    @property
    def cause(self) -> str:
        """How a command names it as its cause."""
        return f"{self.device}/{self.observed_property}@{self.time_us}"
