"""Readings as they stand in a payload, before anybody asked whether they make sense.

Numbers are kept as columns: a codec looks up a series once for each name and unit and appends to four lists for each
reading, so that no object is made for it.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from maasloop.core.reasons import Reason

PAYLOAD_MAX_BYTES = 256 * 1024
READINGS_MAX = 2_500
DEPTH_MAX = 8
TIME_US_MAX = 2**62


@dataclass(frozen=True, slots=True)
class Place:
    """A result that is a place."""

    longitude: float
    latitude: float


class RawSeries(NamedTuple):
    """What readings are about, as the payload names it."""

    device: str
    """Empty = the device that sent it."""
    observed_property: str
    unit: str = ""
    """UCUM or SenML code; empty = the property's own unit."""


@dataclass(slots=True)
class RawReading:
    """One reading of a payload; not frozen, because making one of those takes three times as long."""

    index: int
    device: str
    """Empty = the device that sent it."""
    observed_property: str
    time_us: int
    result: float | str | Place
    unit: str = ""
    """UCUM or SenML code; empty = the property's own unit."""


@dataclass(slots=True)
class Decoded:
    """Readings of a payload, and what is wrong with those that are none."""

    series: list[RawSeries] = field(default_factory=list)
    """What ``number_series`` points to."""
    number_index: list[int] = field(default_factory=list)
    """Position of each number in the payload."""
    number_series: list[int] = field(default_factory=list)
    number_time_us: list[int] = field(default_factory=list)
    number_value: list[float] = field(default_factory=list)
    others: list[RawReading] = field(default_factory=list)
    """Words and places."""
    refused: dict[int, Reason] = field(default_factory=dict)
    refused_devices: set[str] = field(default_factory=set)
    """Whom the refused ones are about, as far as they say: what is a person's must not be kept."""
    sequence: int | None = None
    """The sender's own count of its payloads, where it counts."""
    _places: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def series_of(self, device: str, observed_property: str, unit: str = "") -> int:
        """Return the position of a series, a new one where it has not occurred before."""
        name = (device, observed_property, unit)
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = self.new_series(device, observed_property, unit)
        return place

    def new_series(self, device: str, observed_property: str, unit: str = "") -> int:
        """Return the position of a series for a codec that remembers its series itself."""
        self.series.append(RawSeries(device, observed_property, unit))
        return len(self.series) - 1

    def add_number(self, index: int, series: int, time_us: int, value: float) -> None:
        """Append a number."""
        self.number_index.append(index)
        self.number_series.append(series)
        self.number_time_us.append(time_us)
        self.number_value.append(value)

    def refuse(self, index: int, reason: Reason, device: object = "") -> None:
        """Note that the reading at a position is none."""
        self.refused[index] = reason
        if device and isinstance(device, str):
            self.refused_devices.add(device)

    def readings(self) -> list[RawReading]:
        """Return the readings one by one, in the order of the payload."""
        columns = zip(self.number_index, self.number_series, self.number_time_us, self.number_value, strict=True)
        numbers = [
            RawReading(
                index,
                self.series[place].device,
                self.series[place].observed_property,
                time_us,
                value,
                self.series[place].unit,
            )
            for index, place, time_us, value in columns
        ]
        return sorted((*numbers, *self.others), key=lambda reading: reading.index)
