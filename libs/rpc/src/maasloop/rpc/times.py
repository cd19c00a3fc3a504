"""Times of protobuf, of Python and in microseconds, exactly; a time outside what all three can say is refused."""

from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from maasloop.core.clock import from_us, to_us
from maasloop.core.errors import InvalidArgument

# 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the range of Timestamp and of datetime.
_SECONDS_MIN = -62_135_596_800
_SECONDS_MAX = 253_402_300_799
_NANOS_MAX = 999_999_999


def timestamp_from_us(us: int) -> Timestamp:
    """Return the Timestamp of microseconds since 1970."""
    seconds, rest_us = divmod(us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest_us * 1_000)


def us_from_timestamp(timestamp: Timestamp, field: str = "time") -> int:
    """Return microseconds since 1970, nanoseconds cut off, or refuse the field's value."""
    if not (_SECONDS_MIN <= timestamp.seconds <= _SECONDS_MAX and 0 <= timestamp.nanos <= _NANOS_MAX):
        message = f"{field} lies outside the years 1 to 9999"
        raise InvalidArgument("REQUEST_INVALID", message, {"field": field, "rule": "timestamp.range"})
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000


def timestamp_from(moment: datetime) -> Timestamp:
    """Return the Timestamp of an aware time."""
    return timestamp_from_us(to_us(moment))


def datetime_from(timestamp: Timestamp, field: str = "time") -> datetime:
    """Return the aware UTC time of a Timestamp, or refuse the field's value."""
    return from_us(us_from_timestamp(timestamp, field))


def duration_from_s(seconds: float) -> Duration:
    """Return the Duration of seconds, to the microsecond."""
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1_000_000))
    return duration


def s_from_duration(duration: Duration) -> float:
    """Return the seconds of a Duration."""
    return duration.seconds + duration.nanos / 1_000_000_000
