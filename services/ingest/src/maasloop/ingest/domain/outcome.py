"""What became of a payload."""

from dataclasses import dataclass
from enum import StrEnum

from maasloop.core.reasons import Reason

REFUSALS_LISTED_MAX = 1_000
WHOLE_PAYLOAD = -1
"""Index of a refusal that is about the payload and not about one reading."""


class Door(StrEnum):
    """Where a payload came in."""

    MQTT = "mqtt"
    HTTP = "http"
    GRPC = "grpc"
    NATS = "nats"
    CHIRPSTACK = "chirpstack"
    SENSOR_COMMUNITY = "sensor-community"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused reading."""

    index: int
    """Position in the payload, from 0."""
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """Every reading of a payload is either durable or refused."""

    accepted_count: int
    refused_count: int
    refusals: tuple[Refusal, ...]
    """By index, at most ``REFUSALS_LISTED_MAX``."""


DETAILS: dict[Reason, str] = {
    Reason.DEVICE_UNKNOWN: "no such device in the district",
    Reason.DEVICE_INACTIVE: "the device is not active",
    Reason.DEVICE_FOREIGN: "the sender does not speak for this device",
    Reason.PROPERTY_UNKNOWN: "the device's type does not observe this property",
    Reason.VALUE_NOT_A_NUMBER: "the value is not a finite number, or of another kind than the property's",
    Reason.VALUE_OUT_OF_RANGE: "the value lies outside the physical range of the property",
    Reason.TIME_TOO_OLD: "the event time is older than 30 days or than the retention of the series",
    Reason.TIME_IN_FUTURE: "the event time is more than 5 minutes ahead",
    Reason.TEXT_INVALID: "the state is empty, longer than 256 bytes, or holds NUL",
    Reason.UNIT_MISMATCH: "the unit cannot be converted to the property's",
    Reason.SHED: "there is no room for readings of this priority now",
    Reason.CONSENT_MISSING: "no consent is in force for this personal series",
}
"""What people read beside a reason."""
