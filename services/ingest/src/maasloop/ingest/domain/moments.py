"""Event times as devices write them."""

from datetime import UTC, datetime, timedelta

from .readings import TIME_US_MAX

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
SECONDS_BELOW = 10**11
"""Epochs below this are seconds (until the year 5138)."""
MILLISECONDS_BELOW = 10**14
"""Epochs from ``SECONDS_BELOW`` to this are milliseconds (from 1973), above it microseconds (from 1973 too)."""
EPOCH_DIGITS_MAX = 20


def iso_us(text: str) -> int | None:
    """Return the microseconds since the epoch of an ISO 8601 time with an offset, none where it is not one."""
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else (moment - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def epoch_us(text: str) -> int | None:
    """Return the microseconds of a number of seconds, milliseconds or microseconds since the epoch, by its size."""
    try:
        if text.isdecimal() and text.isascii() and len(text) <= EPOCH_DIGITS_MAX:
            count = int(text)
            if count < SECONDS_BELOW:
                return count * 1_000_000
            return count * 1_000 if count < MILLISECONDS_BELOW else min(count, TIME_US_MAX)
        seconds = float(text)
    except ValueError:
        return None
    return round(seconds * 1e6) if -SECONDS_BELOW < seconds < SECONDS_BELOW and "_" not in text else None
