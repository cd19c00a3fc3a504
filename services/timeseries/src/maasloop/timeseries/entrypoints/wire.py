"""Protobuf messages of one shape, thousands at a time, as numpy arrays of bytes.

A message object for each of thousands of answers costs more than reading them from the database. Here a field of all
messages is a table of bytes with a row a message, and a mask says which bytes count: a varint of three bytes next to one of
five, a field that one message has and the next has not. Joined side by side, the bytes under the mask are the messages.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maasloop.timeseries.domain.aggregating import SECOND_US

VARINT = 0
FIXED64 = 1
LENGTH = 2
MICROSECONDS_TO_NANOSECONDS = 1_000


class Table(NamedTuple):
    """Bytes of one or more fields, a row a message."""

    bytes: NDArray[np.uint8]
    kept: NDArray[np.bool_]


def tag(field: int, kind: int) -> bytes:
    """Return the tag of a field."""
    return varint(field << 3 | kind)


def varint(value: int) -> bytes:
    """Return one varint."""
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(field: int, content: bytes) -> bytes:
    """Return a field whose value is bytes: a string, a message or a packed column."""
    return tag(field, LENGTH) + varint(len(content)) + content


def doubles(field: int, values: NDArray[np.float64], present: NDArray[np.bool_]) -> Table:
    """Return a double of each message that has one."""
    content = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(len(values), 8)
    return _tagged(field, FIXED64, Table(content, np.ones((len(values), 8), np.bool_)), present)


def varints(field: int, values: NDArray[np.int64]) -> Table:
    """Return an integer of each message, negative ones in ten bytes; 0 is left out."""
    return _tagged(field, VARINT, _varints(values), values != 0)


def timestamps(field: int, time_us: NDArray[np.int64]) -> Table:
    """Return a google.protobuf.Timestamp of each message."""
    seconds, rest = np.divmod(time_us, SECOND_US)
    return messages(field, [varints(1, seconds), varints(2, rest * MICROSECONDS_TO_NANOSECONDS)])


def messages(field: int, fields: Sequence[Table], present: NDArray[np.bool_] | None = None) -> Table:
    """Return a message of each message, made of fields."""
    content = side_by_side(fields)
    lengths = _varints(content.kept.sum(axis=1))
    whole = np.ones(len(content.bytes), np.bool_) if present is None else present
    return _tagged(field, LENGTH, side_by_side([lengths, content]), whole)


def rows(table: Table) -> Iterator[bytes]:
    """Yield the bytes of each message."""
    content = table.bytes[table.kept].tobytes()
    start = 0
    for end in np.cumsum(table.kept.sum(axis=1)).tolist():
        yield content[start:end]
        start = end


def side_by_side(tables: Sequence[Table]) -> Table:
    """Return fields of the same messages side by side."""
    if len(tables) == 1:
        return tables[0]
    return Table(
        np.concatenate([table.bytes for table in tables], axis=1),
        np.concatenate([table.kept for table in tables], axis=1),
    )


def _varints(values: NDArray[np.int64]) -> Table:
    unsigned = values.astype(np.int64).view(np.uint64)
    most = int(unsigned.max(initial=0))
    width = max(-(-most.bit_length() // 7), 1)
    shifts = np.arange(width, dtype=np.uint64) * np.uint64(7)
    septets = unsigned[:, None] >> shifts
    # A byte counts as long as something is left; the last one that counts has no continuation bit.
    kept = septets > 0
    kept[:, 0] = True
    more = np.zeros_like(kept)
    more[:, :-1] = kept[:, 1:]
    content = (septets & np.uint64(0x7F)).astype(np.uint8) | (more.view(np.uint8) * np.uint8(0x80))
    return Table(content, kept)


def _tagged(field: int, kind: int, content: Table, present: NDArray[np.bool_]) -> Table:
    head = np.frombuffer(tag(field, kind), np.uint8)
    heads = np.broadcast_to(head, (len(content.bytes), len(head)))
    kept = np.ones((len(content.bytes), len(head)), np.bool_)
    whole = side_by_side([Table(heads, kept), content])
    return Table(whole.bytes, whole.kept & present[:, None])
