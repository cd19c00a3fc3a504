"""Columns of numpy to PostgreSQL's binary COPY, without a loop over rows.

A tuple of binary COPY is a field count and, for each field, a length and a big-endian value. With fixed-width columns
every tuple is equally long, so the whole table is one packed structured array whose constant fields hold the counts
and lengths.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import AsyncCursor, sql

type Column = NDArray[Any]

_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"

EPOCH_SHIFT_US = 946_684_800_000_000
"""Microseconds from 1970-01-01, numpy's epoch, to 2000-01-01, PostgreSQL's."""
_TIME_DTYPE = np.dtype("datetime64[us]")
_WIRE = {
    np.dtype(np.bool_): ">i1",
    np.dtype(np.int16): ">i2",
    np.dtype(np.int32): ">i4",
    np.dtype(np.int64): ">i8",
    np.dtype(np.float32): ">f4",
    np.dtype(np.float64): ">f8",
    _TIME_DTYPE: ">i8",
}


def times(microseconds: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """View microseconds since 1970 as times, so that ``encode_copy`` makes them timestamptz."""
    return microseconds.view(_TIME_DTYPE)


ROWS_A_PIECE = 16_384
"""Rows that are encoded at once, so that a large table is never in memory twice."""


def encode_copy(columns: Sequence[Column]) -> bytes:
    """Return a complete binary COPY stream of equally long columns.

    bool, int16, int32, int64, float32 and float64 become boolean, int2, int4, int8, float4 and float8;
    ``datetime64[us]`` (see ``times``) becomes timestamptz. NULL cannot be written: NaT and other types raise
    ``ValueError``.
    """
    return b"".join((_HEADER, _tuples(columns), _TRAILER))


def _tuples(columns: Sequence[Column]) -> bytes:
    rows = _common_length(columns)
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for index, column in enumerate(columns):
        fields += [(f"length{index}", ">i4"), (f"value{index}", _wire_type(column))]
    table = np.empty(rows, dtype=np.dtype(fields))
    table["count"] = len(columns)
    for index, column in enumerate(columns):
        wire = table.dtype[f"value{index}"]
        table[f"length{index}"] = wire.itemsize
        table[f"value{index}"] = _shifted(column) if column.dtype == _TIME_DTYPE else column
    return table.tobytes()


async def copy_in(
    cursor: AsyncCursor[Any], table: str | sql.Composable, names: Sequence[str], columns: Sequence[Column]
) -> int:
    """Copy columns into a table within the cursor's transaction and return the number of rows."""
    if len(names) != len(columns):
        message = f"{len(names)} names for {len(columns)} columns"
        raise ValueError(message)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table) if isinstance(table, str) else table, sql.SQL(", ").join(map(sql.Identifier, names))
    )
    rows = _common_length(columns)
    async with cursor.copy(statement) as copy:
        await copy.write(_HEADER)
        for start in range(0, rows, ROWS_A_PIECE):
            await copy.write(_tuples([column[start : start + ROWS_A_PIECE] for column in columns]))
        await copy.write(_TRAILER)
    return cursor.rowcount


def _common_length(columns: Sequence[Column]) -> int:
    if not columns:
        message = "COPY needs at least one column"
        raise ValueError(message)
    lengths = {column.shape for column in columns}
    if len(lengths) != 1 or columns[0].ndim != 1:
        message = f"columns are one-dimensional and equally long; got shapes {sorted(lengths)}"
        raise ValueError(message)
    return len(columns[0])


def _wire_type(column: Column) -> str:
    try:
        return _WIRE[column.dtype.newbyteorder("=")]
    except KeyError:
        message = f"no PostgreSQL type for a column of {column.dtype}"
        raise ValueError(message) from None


def _shifted(column: Column) -> NDArray[np.int64]:
    if bool(np.isnat(column).any()):
        message = "a time is missing (NaT); COPY of columns has no NULL"
        raise ValueError(message)
    return column.view(np.int64) - EPOCH_SHIFT_US
