"""The presence detectors of the lamps: who moves near a pole."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

RANGE_M = 22.0


class PresenceField:
    """All detectors of a district at once."""

    def __init__(self, places: Sequence[tuple[float, float]]) -> None:
        """Stand at these places, in metres."""
        self._places = np.asarray(places, np.float64).reshape(-1, 2)

    def detect(self, movers: Collection[tuple[float, float]]) -> NDArray[np.bool_]:
        """Return, for each detector, whether anybody is in its range."""
        if not movers:
            return np.zeros(len(self._places), np.bool_)
        found = np.asarray(list(movers), np.float64)
        apart = self._places[:, None, :] - found[None, :, :]
        near: NDArray[np.bool_] = (np.einsum("ijk,ijk->ij", apart, apart) < RANGE_M**2).any(axis=1)
        return near
