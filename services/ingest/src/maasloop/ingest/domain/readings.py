"""Readings as they stand in a JSON payload, before anybody asked whether they make sense."""

from dataclasses import dataclass, field

from maasloop.core.reasons import Reason

PAYLOAD_MAX_BYTES = 256 * 1024
READINGS_MAX = 5_000
DEPTH_MAX = 8
TIME_US_MAX = 2**62


@dataclass(frozen=True, slots=True)
class Place:
    """A result that is a place."""

    longitude: float
    latitude: float


@dataclass(frozen=True, slots=True)
class RawReading:
    """One reading of a payload."""

    index: int
    device: str
    """Empty = the device that sent it."""
    observed_property: str
    time_us: int | None
    """None = the time of receipt."""
    result: float | str | Place
    unit: str = ""
    """UCUM or SenML code; empty = the property's own unit."""


@dataclass(slots=True)
class Decoded:
    """Readings of a payload, and what is wrong with those that are none."""

    readings: list[RawReading] = field(default_factory=list)
    refused: dict[int, Reason] = field(default_factory=dict)
    refused_devices: set[str] = field(default_factory=set)
    """Whom the refused ones are about, as far as they say: what is a person's must not be kept."""
