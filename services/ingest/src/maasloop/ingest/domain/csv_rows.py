"""CSV: a header of ``time,device,property,value`` in any order, then one reading a line.

Columns are separated by comma, semicolon or tab, whichever the header uses. ``device`` may be missing where the sender is
known, ``time`` where it is the time of receipt, and ``unit`` may be added. Times are ISO 8601 with an offset, or seconds,
milliseconds or microseconds since the epoch. A value is a number, ``true`` or ``false``, or else a word. A field may be
quoted, but holds no line break: a line is a reading, so that a wrong one spoils nothing but itself.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

from .moments import epoch_us, iso_us
from .readings import PAYLOAD_MAX_BYTES, READINGS_MAX, Decoded, RawReading

DELIMITERS = ",;\t"
REQUIRED = ("property", "value")
COLUMNS = frozenset({"time", "device", "property", "value", "unit"})
HEADER_BYTES_MAX = 1_024
_TRUTH = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class Header:
    """Where the columns stand."""

    delimiter: str
    width: int
    observed_property: int
    value: int
    time: int
    """-1 = no such column."""
    device: int
    unit: int


def read_header(line: str) -> Header:
    """Read the first line of a file, or refuse the file."""
    delimiter = next((each for each in DELIMITERS if each in line), ",")
    names = [name.strip().strip('"').lower() for name in line.removeprefix("\ufeff").split(delimiter)]
    wrong = not set(names) <= COLUMNS or len(set(names)) != len(names) or not set(REQUIRED) <= set(names)
    if wrong or len(line) > HEADER_BYTES_MAX:
        message = f"the first line must name the columns time,device,property,value; got {line[:100]!r}"
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, message)
    place = {name: names.index(name) if name in names else -1 for name in COLUMNS}
    return Header(
        delimiter, len(names), place["property"], place["value"], place["time"], place["device"], place["unit"]
    )


def lines_of(payload: bytes) -> list[str]:
    """Return the lines of a payload without their ends, or refuse it as a whole."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        message = f"the payload has {len(payload)} bytes, at most {PAYLOAD_MAX_BYTES} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    count = payload.count(b"\n")
    if count > READINGS_MAX + 1:
        message = f"the payload holds {count} lines, at most {READINGS_MAX} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, f"not UTF-8: {str(error)[:200]}") from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    return lines


def decode_csv(payload: bytes, receipt_time_us: int) -> Decoded:
    """Decode a payload with its header, or refuse it as a whole; index 0 is the line after the header."""
    lines = lines_of(payload)
    if not lines:
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "the payload is empty")
    return decode_lines(lines[1:], read_header(lines[0]), receipt_time_us)


def decode_lines(lines: Sequence[str], header: Header, receipt_time_us: int) -> Decoded:
    """Decode lines; empty ones are passed over."""
    if len(lines) > READINGS_MAX:
        message = f"the payload holds {len(lines)} lines, at most {READINGS_MAX} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    decoded = Decoded()
    series: dict[tuple[str, str, str], int] = {}
    times: dict[str, int | None] = {}
    indexes, places = decoded.number_index.append, decoded.number_series.append
    event_times, values = decoded.number_time_us.append, decoded.number_value.append
    for index, line in enumerate(lines):
        if not line:
            continue
        cells = line.split(header.delimiter) if '"' not in line else _quoted(line, header.delimiter)
        if len(cells) != header.width:
            decoded.refuse(index, Reason.PAYLOAD_UNDECODABLE)
            continue
        name = (
            cells[header.device] if header.device >= 0 else "",
            cells[header.observed_property],
            cells[header.unit] if header.unit >= 0 else "",
        )
        time_us: int | None = receipt_time_us
        if header.time >= 0:
            text = cells[header.time]
            time_us = times[text] if text in times else times.setdefault(text, _time_us(text))
        value = _value(cells[header.value])
        if time_us is None or value == "":
            reason = Reason.PAYLOAD_UNDECODABLE if time_us is None else Reason.VALUE_NOT_A_NUMBER
            decoded.refuse(index, reason, name[0])
        elif isinstance(value, str):
            decoded.others.append(RawReading(index, name[0], name[1], time_us, value))
        else:
            place = series.get(name)
            if place is None:
                place = series[name] = decoded.new_series(*name)
            indexes(index)
            places(place)
            event_times(time_us)
            values(value)
    return decoded


def _quoted(line: str, delimiter: str) -> list[str]:
    """Split a line with quotes in it; nothing where it is malformed."""
    try:
        rows = list(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return []
    return rows[0] if len(rows) == 1 else []


def _time_us(text: str) -> int | None:
    stripped = text.strip()
    found = epoch_us(stripped)
    return iso_us(stripped) if found is None else found


def _value(text: str) -> float | str:
    try:
        return float(text) if "_" not in text else text
    except ValueError:
        word = text.strip()
        return _TRUTH.get(word.lower(), word)
