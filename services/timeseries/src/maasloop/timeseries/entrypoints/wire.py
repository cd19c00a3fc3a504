"""Protobuf messages of one shape, thousands at a time, as numpy arrays of bytes.

A message object for each of thousands of answers costs more than reading them from the database. Here a field of all
messages is a table of bytes with a column a message, and a mask says which bytes count: a varint of three bytes next to one
of five, a field that one message has and the next has not. One below the other, the bytes under the mask are the messages,
column by column. A row is the same byte of all messages, so that numpy goes through memory in order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maasloop.timeseries.domain.aggregating import SECOND_US

VARINT = 0
FIXED64 = 1
LENGTH = 2
MICROSECONDS_TO_NANOSECONDS = 1_000


class Table(NamedTuple):
    """Bytes of one or more fields, a column a message."""

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
    content = np.ascontiguousarray(np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(len(values), 8).T)
    return _tagged(field, FIXED64, [Table(content, _of_each(present, len(content)))], present)


def varints(field: int, values: NDArray[np.int64]) -> Table:
    """Return an integer of each message, negative ones in ten bytes; 0 is left out."""
    content, present = _varints(values), values != 0
    return _tagged(field, VARINT, [Table(content.bytes, content.kept & present)], present)


def texts(field: int, before: str, values: Sequence[str], present: NDArray[np.bool_] | None = None) -> Table:
    """Return a string of each message that has one: what is before all of them, and its own, which holds no NUL."""
    joined = np.frombuffer(("\0".join(values) + "\0").encode(), np.uint8)
    lengths = np.diff(np.flatnonzero(joined == 0), prepend=-1) - 1
    kept = np.arange(lengths.max(initial=0)) < lengths[:, None]
    content = np.zeros(kept.shape, np.uint8)
    content[kept] = joined[joined != 0]
    head = np.frombuffer(before.encode(), np.uint8)
    heads = Table(np.repeat(head[:, None], len(values), axis=1), np.ones((len(head), len(values)), np.bool_))
    parts = [_varints(lengths + len(head)), heads, Table(content.T, kept.T)]
    if present is None:
        return _tagged(field, LENGTH, parts, np.ones(len(values), np.bool_))
    return _tagged(field, LENGTH, [Table(each.bytes, each.kept & present) for each in parts], present)


def timestamps(field: int, time_us: NDArray[np.int64]) -> Table:
    """Return a google.protobuf.Timestamp of each message."""
    seconds, rest = np.divmod(time_us, SECOND_US)
    return messages(field, [varints(1, seconds), varints(2, rest * MICROSECONDS_TO_NANOSECONDS)])


def messages(field: int, fields: Sequence[Table], present: NDArray[np.bool_] | None = None) -> Table:
    """Return a message of each message, or of those that have one, made of fields."""
    parts = [_varints(np.sum([lengths_of(each) for each in fields], axis=0)), *fields]
    if present is None:
        return _tagged(field, LENGTH, parts, np.ones(parts[0].kept.shape[1], np.bool_))
    return _tagged(field, LENGTH, [Table(each.bytes, each.kept & present) for each in parts], present)


def serialized(table: Table) -> bytes:
    """Return the bytes of all messages, one after the other."""
    return table.bytes.T[table.kept.T].tobytes()


def lengths_of(table: Table) -> NDArray[np.int64]:
    """Return how many bytes each message has."""
    # Of rows that fit into it, a sum of bytes goes several times as fast.
    counted = np.uint8 if len(table.kept) <= np.iinfo(np.uint8).max else np.int64
    return table.kept.view(np.uint8).sum(axis=0, dtype=counted).astype(np.int64)


def one_below_the_other(tables: Sequence[Table]) -> Table:
    """Return fields of the same messages as one table."""
    if len(tables) == 1:
        return tables[0]
    return Table(np.concatenate([table.bytes for table in tables]), np.concatenate([table.kept for table in tables]))


def _varints(values: NDArray[np.int64]) -> Table:
    unsigned = values.astype(np.int64).view(np.uint64)
    most = int(unsigned.max(initial=0))
    width = max(-(-most.bit_length() // 7), 1)
    shifts = np.arange(width, dtype=np.uint64) * np.uint64(7)
    septets = unsigned >> shifts[:, None]
    # A byte counts as long as something is left; the last one that counts has no continuation bit.
    kept = septets > 0
    kept[0] = True
    content = septets.astype(np.uint8) & np.uint8(0x7F)
    content[:-1] |= kept[1:].view(np.uint8) << np.uint8(7)
    return Table(content, kept)


def _tagged(field: int, kind: int, content: Sequence[Table], present: NDArray[np.bool_]) -> Table:
    """Return a field; ``content`` has no bytes where it is not present."""
    head = np.frombuffer(tag(field, kind), np.uint8)
    heads = Table(np.repeat(head[:, None], len(present), axis=1), _of_each(present, len(head)))
    return one_below_the_other([heads, *content])


def _of_each(row: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    # Not broadcast: numpy would lay out the tables that come of it column by column.
    return np.repeat(row[None], count, axis=0)
