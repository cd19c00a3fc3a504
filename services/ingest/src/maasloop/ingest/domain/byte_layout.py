"""Radio payloads whose values stand at fixed places, described by data.

The bytes of a field are read as a number, masked, shifted right to the lowest bit of the mask, multiplied by ``scale``,
and ``shift`` is added. A field that lies beyond the ends of a payload gives no reading; a payload that no field of its
port lies in is refused as one.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from maasloop.core.reasons import Reason

from .cayenne_lpp import UplinkValue

FLOAT_WIDTHS = {4: "f", 8: "d"}


class Encoding(StrEnum):
    """How bytes become a number."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"
    FLOAT = "float"


@dataclass(frozen=True, slots=True)
class ByteField:
    """One value."""

    observed_property: str
    offset: int
    """First byte; negative counts from the end."""
    width: int
    f_port: int = 0
    """0 = every port."""
    encoding: Encoding = Encoding.UNSIGNED
    little_endian: bool = False
    bit_mask: int = 0
    """0 = all bits."""
    scale: float = 1.0
    shift: float = 0.0
    unit: str = ""
    """UCUM code of the result, empty = the property's own."""

    def read(self, payload: bytes) -> UplinkValue | None:
        """Return the value, none where the payload does not reach."""
        start = self.offset if self.offset >= 0 else len(payload) + self.offset
        content = payload[start : start + self.width] if start >= 0 else b""
        if len(content) < self.width or not content:
            return None
        if self.encoding is Encoding.FLOAT:
            code = FLOAT_WIDTHS.get(self.width)
            if code is None:
                return None
            number = float(struct.unpack(f"{'<' if self.little_endian else '>'}{code}", content)[0])
        else:
            number = float(self._integer(content))
        return UplinkValue(self.observed_property, number * self.scale + self.shift, self.unit)

    def _integer(self, content: bytes) -> int:
        signed = self.encoding is Encoding.SIGNED
        order: Literal["little", "big"] = "little" if self.little_endian else "big"
        if not self.bit_mask:
            return int.from_bytes(content, order, signed=signed)
        lowest = (self.bit_mask & -self.bit_mask).bit_length() - 1
        number = (int.from_bytes(content, order) & self.bit_mask) >> lowest
        width = self.bit_mask.bit_length() - lowest
        return number - (1 << width) if signed and number >> (width - 1) else number


@dataclass(frozen=True, slots=True)
class ByteLayout:
    """The fields of a payload."""

    fields: tuple[ByteField, ...]

    def read(self, payload: bytes, f_port: int) -> Iterator[UplinkValue | Reason]:
        """Yield the values of a payload in the order of the fields."""
        found = False
        for field in self.fields:
            if field.f_port in {0, f_port}:
                value = field.read(payload)
                if value is not None:
                    found = True
                    yield value
        if not found:
            yield Reason.PAYLOAD_UNDECODABLE
