"""Texts of alerts in Dutch and English: templates with three places, and how values and times are written.

Values come from devices: what they put into a text is cut to length and stripped of control characters, so that a
state can neither break a mail header nor fill a screen.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from string import Formatter

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

DUTCH = "nl"
ENGLISH = "en"
LANGUAGES = (DUTCH, ENGLISH)
PLACES = frozenset({"device", "value", "time"})
TITLE_RENDERED_MAX = 300
BODY_RENDERED_MAX = 4_000
STATE_SHOWN_MAX = 64
DECIMALS_SHOWN = 3
PLAIN_FROM = 0.001
PLAIN_TO = 1e15

_DUTCH_MONTHS = "januari februari maart april mei juni juli augustus september oktober november december"  # codespell:ignore juni,juli,oktober
_ENGLISH_MONTHS = "January February March April May June July August September October November December"
_MONTHS: Mapping[str, list[str]] = {DUTCH: _DUTCH_MONTHS.split(), ENGLISH: _ENGLISH_MONTHS.split()}

type Shown = float | str
"""The value that a text shows: of a reading, or a word."""


def require_template(template: str, field: str, length_max: int) -> None:
    """Refuse a template that is empty, too long, or has other places than ``{device}``, ``{value}`` and ``{time}``."""
    if not template.strip() or len(template) > length_max:
        raise _invalid(field, f"1 to {length_max} characters are needed")
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise _invalid(field, str(error)) from None
    for _, place, specification, conversion in parts:
        if place is not None and (place not in PLACES or specification or conversion):
            raise _invalid(field, f"{{{place}}} is no place; there are {{device}}, {{value}} and {{time}}")


def rendered(
    templates: Mapping[str, str], *, device: str, shown: Shown, time: datetime, length_max: int
) -> dict[str, str]:
    """Return the text by language."""
    return {
        language: _clean(
            template.format(device=device, value=written(shown, language), time=written_time(time, language)),
            length_max,
        )
        for language, template in templates.items()
    }


def written(shown: Shown, language: str) -> str:
    """Return a value as people of the language write it: ``1234.5`` is ``1234,5`` in Dutch."""
    if isinstance(shown, str):
        return _clean(shown, STATE_SHOWN_MAX).replace("\n", " ")
    size = abs(shown)
    if size and not PLAIN_FROM <= size < PLAIN_TO:
        text = f"{shown:.{DECIMALS_SHOWN}g}"
    else:
        text = f"{shown:.{DECIMALS_SHOWN}f}".rstrip("0").rstrip(".")
        text = "0" if text == "-0" else text
    return text.replace(".", ",") if language == DUTCH else text


def written_time(time: datetime, language: str) -> str:
    """Return a time in words, to the second, in UTC."""
    moment = time.astimezone(UTC)
    return f"{moment.day} {_MONTHS[language][moment.month - 1]} {moment.year} {moment:%H:%M:%S} UTC"


def _clean(text: str, length_max: int) -> str:
    whole = "".join(character if character.isprintable() or character == "\n" else " " for character in text)
    return whole if len(whole) <= length_max else f"{whole[: length_max - 1]}…"


def _invalid(field: str, why: str) -> InvalidArgument:
    metadata = {"field": field, "rule": "string.template"}
    return InvalidArgument(Reason.REQUEST_INVALID, f"{field} is no template: {why}", metadata)
