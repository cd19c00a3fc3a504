"""What one observation says that is not a number, and whom a batch names, whatever holds their bytes."""

from collections.abc import Sequence
from typing import Protocol


class Names(Protocol):
    """What indexes of a batch point to."""

    @property
    def devices(self) -> Sequence[str]:
        """Ids of devices."""
        ...

    @property
    def observed_properties(self) -> Sequence[str]:
        """Ids of observed properties."""
        ...


class Point(Protocol):
    """A place, WGS 84."""

    @property
    def longitude(self) -> float:
        """Degrees east."""
        ...

    @property
    def latitude(self) -> float:
        """Degrees north."""
        ...


class Indexed(Protocol):
    """What a state and a position have in common."""

    @property
    def device_index(self) -> int:
        """Position of the device among the names."""
        ...

    @property
    def property_index(self) -> int:
        """Position of the observed property among the names."""
        ...

    @property
    def event_time_us(self) -> int:
        """Microseconds since the epoch."""
        ...


class State(Indexed, Protocol):
    """An observation that is a word."""

    @property
    def state(self) -> str:
        """The word."""
        ...


class Position(Indexed, Protocol):
    """An observation that is a place."""

    @property
    def position(self) -> Point:
        """The place."""
        ...
