"""Queues and travel times of the lanes before a junction, from what the controller knows of them anyway.

A link is a controlled lane from its upstream detector to the stop line. Those on it, divided by those who come a second,
is how long each of them takes, whatever happens on the way (Little's law); no faster than the speed limit allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from maasloop.actuation.domain.signals.sheet import DetectorPosition, Sheet

from .estimate import RATE_MEMORY_S, LaneEstimate

RATE_MIN = 1.0 / RATE_MEMORY_S
"""Vehicles a second; of fewer no mean can be made within the memory, and who comes drives freely."""


@dataclass(frozen=True, slots=True)
class Link:
    """One lane: vehicles on it, and seconds from the upstream detector over the stop line."""

    detector: str
    """The stop-line detector, by which the link is known."""
    queue: float
    travel_s: float


class LinkMeter:
    """Averages the vehicles of each lane over the memory of its rate."""

    def __init__(self, sheet: Sheet) -> None:
        """Begin with empty lanes."""
        self._detectors: dict[str, str] = {}
        for detector in sheet.detectors:
            if detector.position is DetectorPosition.STOP_LINE:
                for lane, _ in detector.serves:
                    self._detectors.setdefault(lane, detector.id)
        self._mean: dict[str, float] = dict.fromkeys(self._detectors, 0.0)

    def hear(self, lanes: Mapping[str, LaneEstimate]) -> None:
        """Take in the lanes as they are in a second."""
        for name, mean in self._mean.items():
            self._mean[name] = mean + (lanes[name].queue - mean) / RATE_MEMORY_S

    def links(self, lanes: Mapping[str, LaneEstimate]) -> list[Link]:
        """Return every lane that has a stop-line detector."""
        found = []
        for name, detector in self._detectors.items():
            lane = lanes[name]
            free_s = lane.storage_m / lane.speed_mps
            travel_s = max(free_s, self._mean[name] / lane.rate) if lane.rate >= RATE_MIN else free_s
            found.append(Link(detector, lane.queue, travel_s))
        return found
