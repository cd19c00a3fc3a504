"""The shape in which readings travel between the rooms: columns, as the wire has them."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maasloop.core.observations import Names, Position, State


class Columns(Protocol):
    """Readings as columns: numbers as four arrays, then the rarer states and positions."""

    def batches(self) -> "Sequence[Columns]":
        """Return the rows by the batch that they came in, each with a dictionary that its producer repeats."""
        ...

    @property
    def dictionary(self) -> bytes:
        """The serialized names: producers repeat them, so that they serve as a key."""
        ...

    @property
    def device_index(self) -> NDArray[np.uint32]:
        """Position of each number's device among the names."""
        ...

    @property
    def property_index(self) -> NDArray[np.uint32]:
        """Position of each number's observed property among the names."""
        ...

    @property
    def event_time_us(self) -> NDArray[np.int64]:
        """Microseconds since the epoch."""
        ...

    @property
    def value(self) -> NDArray[np.float64]:
        """The numbers."""
        ...

    @property
    def states(self) -> Sequence[State]:
        """The words."""
        ...

    @property
    def positions(self) -> Sequence[Position]:
        """The places."""
        ...

    def names(self) -> Names:
        """Return what the indexes point to."""
        ...
