"""SenML JSON (RFC 8428): a list of records, in which base values hold for the records after them.

The name of a record, base name and name together, is ``{device}/{property}`` or, where the sender is known, the property
alone. Times below 2**28 seconds are relative to receipt. A field whose name ends in ``_`` must be understood, and none
is.
"""

from dataclasses import dataclass

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

from .json_text import Json, number, read_json
from .readings import READINGS_MAX, TIME_US_MAX, Decoded, RawReading

VERSION_MAX = 10
RELATIVE_BELOW_S = 2.0**28
_VALUES = ("v", "vb", "vs", "vd", "s")


@dataclass(slots=True)
class _Base:
    """Base values in force."""

    name: str = ""
    time_s: float = 0.0
    unit: str = ""
    value: float = 0.0


def decode_senml(payload: bytes, receipt_time_us: int) -> Decoded:
    """Decode a payload, or refuse it as a whole."""
    records = read_json(payload)
    if not isinstance(records, list):
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "a list of SenML records is needed")
    if len(records) > READINGS_MAX:
        message = f"the payload holds {len(records)} records, at most {READINGS_MAX} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    decoded, base = Decoded(), _Base()
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, f"record {index} is no object")
        _take_base(record, base, index)
        if not any(name in record for name in _VALUES) and not {"n", "u", "t"} & record.keys():
            continue
        reading = _reading(index, record, base, receipt_time_us)
        if isinstance(reading, RawReading):
            decoded.readings.append(reading)
        else:
            decoded.refused[index] = reading
            decoded.refused_devices.add(f"{base.name}{record.get('n', '')}".rpartition("/")[0])
    return decoded


def _take_base(record: dict[str, Json], base: _Base, index: int) -> None:
    """Take base values over; a wrong one spoils everything after it, so that the payload is refused."""
    unknown = [name for name in record if name.endswith("_")]
    version = number(record.get("bver", VERSION_MAX))
    name, unit = record.get("bn", base.name), record.get("bu", base.unit)
    time_s, value = number(record.get("bt", base.time_s)), number(record.get("bv", base.value))
    sound = isinstance(name, str) and isinstance(unit, str) and time_s is not None and value is not None
    if unknown or version is None or version > VERSION_MAX or not sound:
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, f"record {index} has base fields that cannot be understood")
    base.name, base.unit, base.time_s, base.value = str(name), str(unit), time_s or 0.0, value or 0.0


def _reading(index: int, record: dict[str, Json], base: _Base, receipt_time_us: int) -> RawReading | Reason:
    name, unit, time_s = record.get("n", ""), record.get("u", base.unit), number(record.get("t", 0))
    given = [field for field in _VALUES if field in record]
    if not isinstance(name, str) or not isinstance(unit, str) or time_s is None or len(given) != 1:
        return Reason.PAYLOAD_UNDECODABLE
    result = _result(given[0], record[given[0]], base)
    if isinstance(result, Reason):
        return result
    device, _, observed_property = (base.name + name).rpartition("/")
    time_us = _time_us(base.time_s + time_s, receipt_time_us)
    return RawReading(index, device, observed_property, time_us, result, unit if given[0] == "v" else "")


def _result(field: str, value: Json, base: _Base) -> float | str | Reason:
    if field == "v":
        found = number(value)
        return Reason.VALUE_NOT_A_NUMBER if found is None else found + base.value
    if field == "vb":
        return float(value) if isinstance(value, bool) else Reason.VALUE_NOT_A_NUMBER
    if field == "vs":
        return value if isinstance(value, str) else Reason.TEXT_INVALID
    return Reason.VALUE_NOT_A_NUMBER


def _time_us(time_s: float, receipt_time_us: int) -> int:
    limit_s = TIME_US_MAX / 1_000_000
    if not -limit_s < time_s < limit_s:
        return TIME_US_MAX if time_s > 0 else -TIME_US_MAX
    whole, rest = divmod(time_s, 1.0)
    us = int(whole) * 1_000_000 + round(rest * 1_000_000)
    return us + receipt_time_us if time_s < RELATIVE_BELOW_S else us
