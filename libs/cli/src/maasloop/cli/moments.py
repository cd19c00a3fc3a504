"""Times and lengths as people write them: ``now``, ``-15m``, ``2026-03-01T08:00:00Z``; ``90s``, ``5m``, ``2h``, ``1d``."""

import re
from datetime import UTC, datetime, timedelta

import typer

from maasloop.core.clock import Clock, SystemClock

_LENGTH = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def length(text: str) -> timedelta:
    """Return the length of time that a text names."""
    match = _LENGTH.fullmatch(text)
    if match is None:
        message = f"a length of time is a number with s, m, h or d, for example 15m; got {text}"
        raise typer.BadParameter(message)
    try:
        return timedelta(**{_UNITS[match["unit"]]: float(match["number"])})
    except OverflowError:
        message = f"{text} is longer than anything lasts"
        raise typer.BadParameter(message) from None


def moment(text: str, clock: Clock | None = None) -> datetime:
    """Return the aware time that a text names: absolute, or relative to now; a time without an offset is UTC."""
    now = (clock or SystemClock()).now()
    if text == "now":
        return now
    try:
        if text[:1] in {"-", "+"} and _LENGTH.fullmatch(text[1:]):
            return now - length(text[1:]) if text[0] == "-" else now + length(text[1:])
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        message = f"a time is now, a length before or after it (-15m, +1h), or RFC 3339; got {text}"
        raise typer.BadParameter(message) from None
    except OverflowError:
        message = f"{text} is before the year 1 or after the year 9999"
        raise typer.BadParameter(message) from None
