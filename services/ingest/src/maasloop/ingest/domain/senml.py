"""SenML (RFC 8428): a list of records, in which base values hold for the records after them; JSON and CBOR.

The name of a record, base name and name together, is ``{device}/{property}`` or, where the sender is known, the property
alone. Times below 2**28 seconds are relative to receipt. A record has a value, or a sum (the integral over time, in the
unit of the value times a second), or leans on a base value alone; beside a value its sum is passed over. A data value is
no kind of result here. A field whose name ends in ``_`` must be understood, and none is.

CBOR labels the same fields with numbers; records are otherwise the same, so that one loop reads both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

from .json_text import number, read_json
from .readings import READINGS_MAX, TIME_US_MAX, Decoded, RawReading
from .units import TIMES_SECOND

VERSION_MAX = 10
RELATIVE_BELOW_S = 2.0**28
_LIMIT_S = TIME_US_MAX / 1_000_000
_EXACT_MAX = 2**53

type Label = str | int
type Record = Mapping[Label, Any]


@dataclass(frozen=True, slots=True)
class Labels:
    """How the fields of a record are called in one coding."""

    base_version: Label
    base_name: Label
    base_time: Label
    base_unit: Label
    base_value: Label
    base_sum: Label
    name: Label
    unit: Label
    value: Label
    text: Label
    boolean: Label
    sum: Label
    time: Label
    update_time: Label
    data: Label

    def plain(self) -> frozenset[Label]:
        """Return the fields of a record that is a number and nothing else."""
        return frozenset({self.name, self.unit, self.value, self.time})

    def bases(self) -> frozenset[Label]:
        """Return the fields that hold for the records after them, too."""
        return frozenset(
            {self.base_version, self.base_name, self.base_time, self.base_unit, self.base_value, self.base_sum}
        )

    def own(self) -> frozenset[Label]:
        """Return the fields that are about a record and not about those after it; an update time alone says nothing."""
        return frozenset({self.name, self.unit, self.time, self.sum, *self.values()})

    def values(self) -> tuple[Label, ...]:
        """Return the fields of which a record has one."""
        return (self.value, self.text, self.boolean, self.data)


JSON_LABELS: Final = Labels(
    "bver", "bn", "bt", "bu", "bv", "bs", "n", "u", "v", "vs", "vb", "s", "t", "ut", "vd"
)  # fmt: skip
CBOR_LABELS: Final = Labels(-1, -2, -3, -4, -5, -6, 0, 1, 2, 3, 4, 5, 6, 7, 8)


@dataclass(slots=True)
class _Base:
    """Base values in force."""

    name: str = ""
    time_s: float = 0.0
    unit: str = ""
    value: float | None = None
    sum: float | None = None


def decode_senml(payload: bytes, receipt_time_us: int) -> Decoded:
    """Decode SenML in JSON, or refuse it as a whole."""
    return decode_records(read_json(payload), JSON_LABELS, receipt_time_us)


def decode_records(records: Any, labels: Labels, receipt_time_us: int) -> Decoded:  # noqa: ANN401 - what a reader returned
    """Decode records that were read, or refuse the payload as a whole."""
    if not isinstance(records, list):
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "a list of SenML records is needed")
    if len(records) > READINGS_MAX:
        message = f"the payload holds {len(records)} records, at most {READINGS_MAX} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    return _Pack(labels, receipt_time_us).read(records)


class _Pack:
    """The reading of one pack."""

    def __init__(self, labels: Labels, receipt_time_us: int) -> None:
        self._labels = labels
        self._receipt_time_us = receipt_time_us
        self._own = labels.own()
        self._words = frozenset({labels.name, labels.text, labels.time})
        self._known = self._own | labels.bases() | {labels.update_time}
        self._names: dict[str, tuple[str, str]] = {}
        self._values = labels.values()
        self._base = _Base()
        self._decoded = Decoded()
        self._series: dict[tuple[Any, Any], int] = {}
        """Series by name and unit as the records write them, under the base values in force."""

    def read(self, records: list[Any]) -> Decoded:
        """Read every record: those of a plain number here, with base values or without, the others one by one."""
        labels, base, series, decoded = self._labels, self._base, self._series, self._decoded
        name_label, unit_label, value_label, time_label = labels.name, labels.unit, labels.value, labels.time
        plain, based = labels.plain(), labels.plain() | labels.bases()
        indexes, places = decoded.number_index.append, decoded.number_series.append
        times, values = decoded.number_time_us.append, decoded.number_value.append
        last_base_s, last_s, time_us = 0.0, 0.0, self._time_us(0.0, 0.0)
        for index, record in enumerate(records):
            if record.__class__ is dict and record.keys() <= based:
                if not record.keys() <= plain:
                    self._take_base(record, index)
                value, time_s = record.get(value_label), record.get(time_label, 0.0)
                if value.__class__ is int and -_EXACT_MAX <= value <= _EXACT_MAX:
                    value = float(value)
                if value.__class__ is float and (time_s.__class__ is float or time_s.__class__ is int):
                    name, unit = record.get(name_label, ""), record.get(unit_label)
                    if name.__class__ is str and (unit is None or unit.__class__ is str):
                        place = series.get((name, unit))
                        if place is None:
                            place = series[name, unit] = self._place(name, unit)
                        indexes(index)
                        places(place)
                        if time_s != last_s or base.time_s != last_base_s:
                            last_s, last_base_s = time_s, base.time_s
                            time_us = self._time_us(last_base_s, last_s)
                        times(time_us)
                        values(value if base.value is None else value + base.value)
                        continue
            elif record.__class__ is dict and record.keys() <= self._words:
                self._read_word(index, record)
                continue
            self._read_any(index, record)
        return decoded

    def _read_word(self, index: int, record: Record) -> None:
        """Read a record that is a word and nothing else."""
        labels = self._labels
        name, text = record.get(labels.name, ""), record.get(labels.text)
        offset_s = record.get(labels.time, 0.0)
        if name.__class__ is not str or text.__class__ is not str or offset_s.__class__ not in {float, int}:
            self._read_any(index, record)
            return
        names = self._names.get(name)
        if names is None:
            device, _, observed_property = (self._base.name + name).rpartition("/")
            names = self._names[name] = (device, observed_property)
        self._decoded.others.append(RawReading(index, *names, self._time_us(self._base.time_s, offset_s), text))

    def _place(self, name: str, unit: str | None) -> int:
        device, _, observed_property = (self._base.name + name).rpartition("/")
        return self._decoded.new_series(device, observed_property, self._base.unit if unit is None else unit)

    def _read_any(self, index: int, record: Any) -> None:  # noqa: ANN401 - of a stranger
        """Read any record, slowly."""
        if not isinstance(record, dict):
            raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, f"record {index} is no object")
        labels = self._labels
        if not record.keys() <= self._own:
            self._take_base(record, index)
            if self._own.isdisjoint(record):
                return
        reason = self._take_reading(index, record)
        if reason is not None:
            name = record.get(labels.name, "")
            full = self._base.name + (name if isinstance(name, str) else "")
            self._decoded.refuse(index, reason, full.rpartition("/")[0])

    def _take_base(self, record: Record, index: int) -> None:
        """Take base values over; a wrong one spoils everything after it, so that the payload is refused."""
        labels, base = self._labels, self._base
        name, unit = record.get(labels.base_name, base.name), record.get(labels.base_unit, base.unit)
        sound = isinstance(name, str) and isinstance(unit, str)
        time_s = base.time_s if labels.base_time not in record else number(record[labels.base_time])
        value, total = base.value, base.sum
        if labels.base_value in record:
            value = number(record[labels.base_value])
            sound = sound and (value is not None or record[labels.base_value] is None)
        if labels.base_sum in record:
            total = number(record[labels.base_sum])
            sound = sound and (total is not None or record[labels.base_sum] is None)
        version = record.get(labels.base_version, VERSION_MAX)
        old = version.__class__ in {int, float} and version <= VERSION_MAX
        foreign = not record.keys() <= self._known and any(
            isinstance(field, str) and field.endswith("_") for field in record
        )
        if foreign or not old or not sound or time_s is None:
            message = f"record {index} has base fields that cannot be understood"
            raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, message)
        if (name, unit) != (base.name, base.unit):
            self._series.clear()
            self._names.clear()
        base.name, base.unit, base.time_s, base.value, base.sum = name, unit, time_s, value, total

    def _take_reading(self, index: int, record: Record) -> Reason | None:
        """Append a reading, or return why it is none."""
        labels, base = self._labels, self._base
        name, unit = record.get(labels.name, ""), record.get(labels.unit, base.unit)
        offset_s = number(record.get(labels.time, 0))
        given = [field for field in self._values if field in record]
        if not isinstance(name, str) or not isinstance(unit, str) or offset_s is None or len(given) > 1:
            return Reason.PAYLOAD_UNDECODABLE
        if not given and labels.sum not in record and base.value is None:
            return Reason.PAYLOAD_UNDECODABLE
        result: float | str | Reason
        if not given and labels.sum in record:
            result = _sum(record[labels.sum], base.sum)
            unit = TIMES_SECOND.get(unit, f"{unit}.s") if unit else ""
        else:
            result = self._result(given[0] if given else labels.value, record)
        if isinstance(result, Reason):
            return result
        device, _, observed_property = (base.name + name).rpartition("/")
        time_us = self._time_us(base.time_s, offset_s)
        if isinstance(result, str):
            self._decoded.others.append(RawReading(index, device, observed_property, time_us, result))
        else:
            unit = "" if given and given[0] == labels.boolean else unit
            series = self._decoded.series_of(device, observed_property, unit)
            self._decoded.add_number(index, series, time_us, result)
        return None

    def _result(self, field: Label, record: Record) -> float | str | Reason:
        labels, value = self._labels, record.get(field, 0.0)
        if field == labels.value:
            found = number(value)
            return Reason.VALUE_NOT_A_NUMBER if found is None else found + (self._base.value or 0.0)
        if field == labels.boolean:
            return float(value) if isinstance(value, bool) else Reason.VALUE_NOT_A_NUMBER
        if field == labels.text:
            return value if isinstance(value, str) else Reason.TEXT_INVALID
        return Reason.VALUE_NOT_A_NUMBER

    def _time_us(self, base_s: float, offset_s: float) -> int:
        """Return the event time; what is no time lies beyond every limit."""
        try:
            time_s = base_s + offset_s
        except OverflowError:
            time_s = _LIMIT_S if offset_s > 0 else -_LIMIT_S
        if not -_LIMIT_S < time_s < _LIMIT_S:
            return -TIME_US_MAX if time_s < 0 else TIME_US_MAX
        us = round(time_s * 1e6)
        return us + self._receipt_time_us if time_s < RELATIVE_BELOW_S else us


def _sum(value: Any, base: float | None) -> float | Reason:  # noqa: ANN401 - of a stranger
    found = number(value)
    return Reason.VALUE_NOT_A_NUMBER if found is None else found + (base or 0.0)
