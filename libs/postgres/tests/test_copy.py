"""Columns reach PostgreSQL exactly, in its own binary format."""

from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from psycopg._copy_base import _format_row_binary
from psycopg.adapt import Transformer

from maasloop.core.clock import from_us
from maasloop.postgres.copy import Column, copy_in, encode_copy, times

ROWS_MAX = 40
TIMES_US = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
COLUMN_TYPES = {
    "bool": np.dtype(np.bool_),
    "int2": np.dtype(np.int16),
    "int4": np.dtype(np.int32),
    "int8": np.dtype(np.int64),
    "float4": np.dtype(np.float32),
    "float8": np.dtype(np.float64),
    "timestamptz": np.dtype("datetime64[us]"),
}


@st.composite
def _tables(draw: st.DrawFn) -> tuple[list[str], list[Column]]:
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMN_TYPES)), min_size=1, max_size=6))
    rows = draw(st.integers(0, ROWS_MAX))
    return kinds, [draw(_columns(kind, rows)) for kind in kinds]


def _columns(kind: str, rows: int) -> st.SearchStrategy[Column]:
    if kind == "timestamptz":
        return arrays.arrays(np.int64, rows, elements=TIMES_US).map(times)
    return arrays.arrays(COLUMN_TYPES[kind], rows)


def _psycopg_encodes(kinds: list[str], columns: list[Column]) -> bytes:
    transformer = Transformer(None)
    transformer.set_dumper_types([psycopg.adapters.types[kind].oid for kind in kinds], psycopg.pq.Format.BINARY)
    out = bytearray()
    for row in zip(*(_python_values(column) for column in columns), strict=True):
        _format_row_binary(row, transformer, out)
    return b"PGCOPY\n\xff\r\n\x00" + bytes(8) + bytes(out) + b"\xff\xff"


def _python_values(column: Column) -> list[Any]:
    if column.dtype.kind == "M":
        return [from_us(us) for us in column.view(np.int64).tolist()]
    return list(column.tolist())


@given(_tables())
def test_the_stream_equals_what_psycopg_writes_row_by_row(table: tuple[list[str], list[Column]]) -> None:
    """For every supported type and any values the bytes are those of psycopg's own row encoder."""
    kinds, columns = table

    assert encode_copy(columns) == _psycopg_encodes(kinds, columns)


async def test_copied_rows_read_back_as_they_were(postgres_dsn: str) -> None:
    """PostgreSQL itself reads every type back unchanged, infinities and the year 1 among them."""
    us = np.array([0, -62_135_596_800_000_000, 1_764_000_000_123_456], dtype=np.int64)
    columns: list[Column] = [
        np.array([True, False, True]),
        np.array([-32_768, 0, 32_767], dtype=np.int16),
        np.array([-(2**31), 0, 2**31 - 1], dtype=np.int32),
        np.array([-(2**63), 0, 2**63 - 1], dtype=np.int64),
        np.array([0.5, -0.25, np.inf], dtype=np.float32),
        np.array([0.1, -np.inf, 1e300]),
        times(us),
    ]
    names = sorted(COLUMN_TYPES)
    order = ["bool", "int2", "int4", "int8", "float4", "float8", "timestamptz"]
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as connection, connection.cursor() as cursor:
        await cursor.execute("SET timezone = UTC")
        await cursor.execute("CREATE TABLE readings (" + ", ".join(f'"{n}" {n}' for n in names) + ")")
        copied = await copy_in(cursor, "readings", order, columns)
        await cursor.execute("SELECT bool, int2, int4, int8, float4, float8, timestamptz FROM readings ORDER BY int2")
        rows = await cursor.fetchall()

    assert copied == 3
    assert rows == list(zip(*(_python_values(column) for column in columns), strict=True))


def test_big_endian_columns_are_taken_as_they_are() -> None:
    """A column that came big-endian from a file encodes as its native twin."""
    native = np.arange(5, dtype=np.int32)

    assert encode_copy([native.astype(">i4")]) == encode_copy([native])


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ([], "at least one column"),
        ([np.zeros(2), np.zeros(3)], "equally long"),
        ([np.zeros((2, 2))], "one-dimensional"),
        ([np.array(["a"])], "no PostgreSQL type"),
        ([np.zeros(1, dtype=np.uint64)], "no PostgreSQL type"),
        ([np.array(["NaT"], dtype="datetime64[us]")], "NaT"),
    ],
)
def test_what_cannot_be_encoded_is_refused(columns: list[Column], sentence: str) -> None:
    """Unsupported types, ragged columns and missing times are errors, never wrong rows."""
    with pytest.raises(ValueError, match=sentence):
        encode_copy(columns)
