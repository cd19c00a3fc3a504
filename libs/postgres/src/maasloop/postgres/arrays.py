"""Columns of numpy as parameters: one binary array each, without a loop over elements.

``unnest(%s::integer[], %s::timestamptz[])`` with ``packed`` columns is what COPY is for a statement that decides about
rows. An array on the wire is its dimensions and, for each element, a length and a big-endian value.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format

from .copy import EPOCH_SHIFT_US

_WIRE: dict[np.dtype[Any], tuple[int, int, str]] = {
    np.dtype(np.int32): (23, 1007, ">i4"),
    np.dtype(np.int64): (20, 1016, ">i8"),
    np.dtype(np.float64): (701, 1022, ">f8"),
    np.dtype("datetime64[us]"): (1184, 1185, ">i8"),
}
"""By type of column: identifiers of the element and of its array in PostgreSQL, and the element on the wire."""


class Packed:
    """A column that is sent as an array; made by ``packed``."""

    __slots__ = ("array_oid", "encoded")

    def __init__(self, array_oid: int, encoded: bytes) -> None:
        """Hold what is sent."""
        self.array_oid = array_oid
        self.encoded = encoded


def packed(column: NDArray[Any]) -> Packed:
    """Return a column as a parameter; int32, int64, float64 and ``datetime64[us]`` (see ``copy.times``), no NULL."""
    try:
        oid, array_oid, wire = _WIRE[column.dtype]
    except KeyError:
        message = f"no PostgreSQL array for a column of {column.dtype}"
        raise ValueError(message) from None
    elements = np.empty(len(column), dtype=[("length", ">i4"), ("value", wire)])
    elements["length"] = elements.dtype["value"].itemsize
    elements["value"] = column.view(np.int64) - EPOCH_SHIFT_US if column.dtype.kind == "M" else column
    if not len(column):
        return Packed(array_oid, np.array([0, 0, oid], ">i4").tobytes())
    header = np.array([1, 0, oid, len(column), 1], ">i4")
    return Packed(array_oid, header.tobytes() + elements.tobytes())


class _PackedDumper(Dumper):
    """Hands the bytes over as they are; one dumper for each type of array."""

    format = Format.BINARY

    def get_key(  # type: ignore[override]  # a key has to be hashable, as an oid is; the stub says types only
        self,
        obj: Packed,
        format: PyFormat,  # noqa: A002 - psycopg's name
    ) -> tuple[type, int]:
        return (Packed, obj.array_oid)

    def upgrade(self, obj: Packed, format: PyFormat) -> "_PackedDumper":  # noqa: A002 - psycopg's name
        dumper = _PackedDumper(Packed)
        dumper.oid = obj.array_oid
        return dumper

    def dump(self, obj: Packed) -> bytes:
        return obj.encoded


def register_packed(context: AdaptContext) -> None:
    """Let a connection take ``Packed`` parameters."""
    context.adapters.register_dumper(Packed, _PackedDumper)
