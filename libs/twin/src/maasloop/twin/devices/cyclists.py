"""Cyclists of the night: people on bicycles whom the demand of a scenario leaves out, riding where the streets lead."""

from random import Random
from typing import Any

import sumolib

SPEED_MPS = 5.0
EDGE_MIN_M = 8.0


class Cyclist:
    """One rider, who takes a random way at every junction."""

    def __init__(self, net: Any, random: Random) -> None:
        """Begin somewhere in the network."""
        self._random = random
        self._edges = [edge for edge in net.getEdges(withInternal=False) if edge.getLength() >= EDGE_MIN_M]
        self._edge = random.choice(self._edges)
        self._offset_m = random.uniform(0.0, float(self._edge.getLength()))

    @property
    def place(self) -> tuple[float, float]:
        """Return x and y in metres in the plane of the network."""
        offset_m = min(self._offset_m, float(self._edge.getLength()) - 0.1)
        x, y = sumolib.geomhelper.positionAtShapeOffset(self._edge.getShape(), offset_m)[:2]
        return float(x), float(y)

    def ride(self) -> None:
        """Ride for one second."""
        self._offset_m += SPEED_MPS
        while self._offset_m >= self._edge.getLength():
            self._offset_m -= float(self._edge.getLength())
            ways = sorted(self._edge.getOutgoing(), key=lambda edge: str(edge.getID()))
            self._edge = self._random.choice(ways or self._edges)
