"""What controllers know of the street beyond what devices said, as observations: it is handed to ingest like any reading.

Each is reported only by a device whose type in the registry has the observed property.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .city import City
from .district import District
from .junction import Junction
from .reading import SECOND_US
from .signal_prediction import SignalPrediction

SIGNAL_CHANGE_EARLIEST = "signal-change-earliest"
SIGNAL_CHANGE_LIKELY = "signal-change-likely"
SIGNAL_CHANGE_LATEST = "signal-change-latest"
SIGNAL_CHANGE_CONFIDENCE = "signal-change-confidence"
QUEUE_LENGTH = "queue-length"
TRAVEL_TIME = "travel-time"
LINKS_EVERY_S = 10
TEXT_BYTES_MAX = 256
"""Of an observation that is a text; a junction with more groups than fit is told on its subject only."""
UNKNOWN = "-"


@dataclass(frozen=True, slots=True)
class Report:
    """A number or a text that a device observes."""

    district: str
    device: str
    observed_property: str
    time_us: int
    result: float | str


def report_prediction(city: City, district: District, prediction: SignalPrediction) -> Iterator[Report]:
    """Yield the seconds to each group's change, one word a group in the order of the data sheet, as the states are told."""
    known = city.observed_by(district.device(prediction.device))
    changes = [movement.change for movement in prediction.movements]
    now_s = prediction.street_second
    texts = {
        SIGNAL_CHANGE_EARLIEST: [UNKNOWN if one is None else _seconds(one.earliest_s, now_s) for one in changes],
        SIGNAL_CHANGE_LIKELY: [UNKNOWN if one is None else _seconds(one.likely_s, now_s) for one in changes],
        SIGNAL_CHANGE_LATEST: [UNKNOWN if one is None else _seconds(one.latest_s, now_s) for one in changes],
        SIGNAL_CHANGE_CONFIDENCE: [
            UNKNOWN if one is None else str(math.floor(100 * one.confidence)) for one in changes
        ],
    }
    for name, words in texts.items():
        text = " ".join(words)
        if name in known and len(text) <= TEXT_BYTES_MAX:
            yield Report(district.id, prediction.device, name, now_s * SECOND_US, text)


def report_links(city: City, district: District, junction: Junction, second: int) -> Iterator[Report]:
    """Yield queue and travel time of each lane, every so many seconds."""
    if second % LINKS_EVERY_S:
        return
    for link in junction.links():
        known = city.observed_by(district.device(link.detector))
        for name, value in ((QUEUE_LENGTH, link.queue), (TRAVEL_TIME, link.travel_s)):
            if name in known:
                yield Report(district.id, link.detector, name, second * SECOND_US, round(value, 1))


def _seconds(moment_s: float, now_s: int) -> str:
    return str(max(0, round(moment_s - now_s)))
