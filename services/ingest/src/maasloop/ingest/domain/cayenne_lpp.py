"""Cayenne Low Power Payload: channel, type, value, again and again; numbers are big-endian.

Channels without a mapping are passed over. From a type that is not known nothing can be told, because its length is not
known either: what came before it counts, and the rest is refused as one reading.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from maasloop.core.reasons import Reason

from .readings import Place

PLACE_TYPE = 136
_DEGREES = 1e-4


class _Scalar(NamedTuple):
    """A type whose value is one number."""

    width: int
    divisor: int
    signed: bool
    unit: str
    """SenML or UCUM code; empty for what has none of its own."""


_SCALARS: Mapping[int, _Scalar] = {
    0: _Scalar(1, 1, signed=False, unit=""),
    1: _Scalar(1, 1, signed=False, unit=""),
    2: _Scalar(2, 100, signed=True, unit=""),
    3: _Scalar(2, 100, signed=True, unit=""),
    101: _Scalar(2, 1, signed=False, unit="lx"),
    102: _Scalar(1, 1, signed=False, unit=""),
    103: _Scalar(2, 10, signed=True, unit="Cel"),
    104: _Scalar(1, 2, signed=False, unit="%"),
    115: _Scalar(2, 10, signed=False, unit="hPa"),
}
_OTHER_WIDTHS: Mapping[int, int] = {
    100: 4, 113: 6, 116: 2, 117: 2, 118: 4, 120: 1, 121: 2, 125: 2, 128: 2, 130: 4, 131: 4, 132: 2, 133: 4, 134: 6,
    135: 3, PLACE_TYPE: 9, 142: 1,
}  # fmt: skip
"""Bytes of the types whose values are passed over: vectors, colours, and what later versions added."""


class UplinkValue(NamedTuple):
    """One value of a radio payload."""

    observed_property: str
    result: float | Place
    unit: str
    """Empty = the property's own."""


@dataclass(frozen=True, slots=True)
class CayenneLpp:
    """Which observed property each channel and type belongs to."""

    observed_properties: Mapping[tuple[int, int], str]

    def read(self, payload: bytes, _f_port: int) -> Iterator[UplinkValue | Reason]:
        """Yield the values of a payload in its order."""
        position = 0
        while position < len(payload):
            head = payload[position : position + 2]
            scalar = _SCALARS.get(head[-1])
            width = scalar.width if scalar else _OTHER_WIDTHS.get(head[-1], 0)
            value = payload[position + 2 : position + 2 + width]
            if len(head) < 2 or not width or len(value) < width:  # noqa: PLR2004 - channel and type
                yield Reason.PAYLOAD_UNDECODABLE
                return
            position += 2 + width
            observed_property = self.observed_properties.get((head[0], head[1]))
            if observed_property is None:
                continue
            if scalar:
                number = int.from_bytes(value, "big", signed=scalar.signed) / scalar.divisor
                yield UplinkValue(observed_property, number, scalar.unit)
            elif head[1] == PLACE_TYPE:
                latitude, longitude = (int.from_bytes(value[at : at + 3], "big", signed=True) for at in (0, 3))
                yield UplinkValue(observed_property, Place(longitude * _DEGREES, latitude * _DEGREES), "")
