"""Columns of observations in memory: numpy arrays over the wire's own bytes, without a Python loop over rows.

``ObservationColumns`` on the wire holds packed little-endian arrays. The messages of ``packed.proto`` have the same
encoding with each column as bytes, so that reading is a view and writing is a copy of memory. ``parse_packed`` notices
a column that a sender split over several packed segments, which the encoding allows.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from maasloop.api.observation.v1.events_pb2 import RowGroup
from maasloop.api.observation.v1.observation_pb2 import (
    DeviceSequence,
    ObservationColumns,
    PositionObservation,
    SeriesDictionary,
    StateObservation,
)
from maasloop.api.observation.v1.packed_pb2 import PackedColumns
from maasloop.core.errors import InvalidArgument

READINGS_HEADER = "maasloop-readings"
"""Header of observation messages: how many readings the body holds, so that a stream can be counted without its bodies."""

SIZES_BYTES_MAX = 4 * 1024 * 1024
"""Dictionaries whose sizes are remembered by their bytes, together: senders repeat them, and many take turns."""
SIZES_BYTES_EACH = 256
"""What an entry takes beside the bytes of its dictionary."""

INDEX = np.dtype("<u4")
TIME_US = np.dtype("<i8")
VALUE = np.dtype("<f8")
_WIRE: tuple[np.dtype[Any], ...] = (INDEX, INDEX, TIME_US, VALUE)
_NOTHING = ObservationColumns()


@dataclass(frozen=True, slots=True)
class Columns:
    """Observations of one district: ``n`` numbers as four arrays of length ``n``, and the rarer states and positions.

    ``dictionary`` stays in its serialized form: senders repeat the same one, so that a reader may look up by its bytes
    what it found out about it before. The indexes of every row lie inside the dictionary.
    """

    dictionary: bytes
    device_index: NDArray[np.uint32]
    property_index: NDArray[np.uint32]
    event_time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    states: Sequence[StateObservation] = field(default=())
    positions: Sequence[PositionObservation] = field(default=())
    sequences: Sequence[DeviceSequence] = field(default=())
    """Devices' own counts of the payloads that the readings came in."""
    groups: Sequence["Columns"] = field(default=())
    """The same rows by the batch that they came in, each with the dictionary of that, where several travel together."""

    def __len__(self) -> int:
        """Return how many readings there are: numbers, states and positions."""
        return len(self.value) + len(self.states) + len(self.positions)

    def names(self) -> SeriesDictionary:
        """Return the parsed dictionary."""
        return SeriesDictionary.FromString(self.dictionary)

    def sizes(self) -> tuple[int, int]:
        """Return how many devices and observed properties the dictionary names."""
        return _sizes(self.dictionary)

    def batches(self) -> Sequence["Columns"]:
        """Return the rows by the batch that they came in: for readers that keep what they know of a dictionary."""
        return self.groups or (self,)

    def packed(self) -> PackedColumns:
        """Return the wire form."""
        return self.pack(PackedColumns())

    def pack(self, packed: PackedColumns) -> PackedColumns:
        """Fill an empty message with the wire form: one that is given to another as a field is copied whole."""
        packed.dictionary = self.dictionary
        packed.device_index = _bytes_of(self.device_index, INDEX)
        packed.property_index = _bytes_of(self.property_index, INDEX)
        packed.event_time_us = _bytes_of(self.event_time_us, TIME_US)
        packed.value = _bytes_of(self.value, VALUE)
        packed.states.extend(state.SerializeToString() for state in self.states)
        packed.positions.extend(position.SerializeToString() for position in self.positions)
        packed.sequences.extend(sequence.SerializeToString() for sequence in self.sequences)
        return packed

    def message(self) -> ObservationColumns:
        """Return the general message, for answers that are not hot."""
        return ObservationColumns.FromString(self.packed().SerializeToString())

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Columns":
        """Return the numbers that a mask or an index array selects, without states, positions and sequences."""
        return Columns(
            self.dictionary,
            self.device_index[rows],
            self.property_index[rows],
            self.event_time_us[rows],
            self.value[rows],
        )


def _bytes_of(column: NDArray[Any], wire: np.dtype[Any]) -> bytes:
    """Return a column as it stands on the wire; one that is a view of all of some bytes is those bytes."""
    whole = column.base
    if isinstance(whole, bytes) and column.dtype == wire and len(whole) == column.nbytes:
        return whole
    return np.ascontiguousarray(column, wire).tobytes()


def concatenated[Column: np.generic](columns: Sequence[NDArray[Column]]) -> NDArray[Column]:
    """Return arrays of one type as one, as a view of bytes that can be sent as they are."""
    return np.frombuffer(b"".join([np.ascontiguousarray(column).data for column in columns]), columns[0].dtype)


def read_columns(packed: PackedColumns, row_groups: Sequence[RowGroup] = ()) -> Columns:
    """View the columns of a received message, or refuse what is inconsistent (COLUMNS_INCONSISTENT).

    The arrays are read-only views of the message's bytes, except indexes of devices in groups.
    """
    # Each look at a field copies its bytes.
    arrays = (packed.device_index, packed.property_index, packed.event_time_us, packed.value)
    count = len(arrays[-1]) // VALUE.itemsize
    if tuple(map(len, arrays)) != tuple(count * wire.itemsize for wire in _WIRE):
        sizes = [f"{len(array) / wire.itemsize:g}" for array, wire in zip(arrays, _WIRE, strict=True)]
        message = f"the columns of a batch must have the same length; got {sizes}"
        raise InvalidArgument("COLUMNS_INCONSISTENT", message)
    others = _others(packed)
    columns = Columns(
        packed.dictionary,
        np.frombuffer(arrays[0], INDEX),
        np.frombuffer(arrays[1], INDEX),
        np.frombuffer(arrays[2], TIME_US),
        np.frombuffer(arrays[3], VALUE),
        list(others.states),
        list(others.positions),
        list(others.sequences),
    )
    if row_groups:
        return replace(columns, groups=_grouped(columns, row_groups))
    _require_inside(columns)
    return columns


def _grouped(columns: Columns, row_groups: Sequence[RowGroup]) -> list[Columns]:
    """Return the rows by the batch that they came in."""
    rows = list(accumulate((group.row_count for group in row_groups), initial=0))
    names = list(accumulate((group.devices_bytes for group in row_groups), initial=0))
    _require_whole(columns, row_groups, rows[-1])
    properties, devices, groups = columns.dictionary[names[-1] :], 0, []
    named = _sizes(properties)
    for place in range(len(row_groups)):
        chosen = slice(rows[place], rows[place + 1])
        group = Columns(
            columns.dictionary[names[place] : names[place + 1]] + properties,
            # An index of another group wraps around and lies outside.
            columns.device_index[chosen] - INDEX.type(devices),
            columns.property_index[chosen],
            columns.event_time_us[chosen],
            columns.value[chosen],
        )
        _require_inside(group)
        sizes = group.sizes()
        if named[0] or sizes[1] != named[1]:
            message = "a dictionary whose groups are not devices, then observed properties"
            raise InvalidArgument("COLUMNS_INCONSISTENT", message)
        devices += sizes[0]
        groups.append(group)
    return groups


def _require_whole(columns: Columns, row_groups: Sequence[RowGroup], rows: int) -> None:
    negative = any(group.row_count < 0 or group.devices_bytes < 0 for group in row_groups)
    if negative or columns.sequences or not rows == len(columns) == len(columns.value):
        message = f"groups of {rows} rows in a message of {len(columns)}"
        raise InvalidArgument("COLUMNS_INCONSISTENT", message)


def _others(packed: PackedColumns) -> ObservationColumns:
    """Parse states, positions and counts at once."""
    if not packed.states and not packed.positions and not packed.sequences:
        return _NOTHING
    some = PackedColumns(states=packed.states, positions=packed.positions, sequences=packed.sequences)
    try:
        return ObservationColumns.FromString(some.SerializeToString())
    except DecodeError as error:
        raise InvalidArgument("PAYLOAD_UNDECODABLE", "a state, a position or a count cannot be read") from error


def parse_packed[Packed: Message](packed: type[Packed], general: type[Message], serialized: bytes) -> Packed:
    """Parse a message as its wire-identical view, whatever legal encoding the sender chose.

    A view keeps only the last segment of a column that came in several; then it is shorter than what was received, and
    the message goes through its general form, which joins them. Raises ``InvalidArgument`` (PAYLOAD_UNDECODABLE).
    """
    try:
        view = packed.FromString(serialized)
        if view.ByteSize() != len(serialized):
            view = packed.FromString(general.FromString(serialized).SerializeToString())
    except DecodeError as error:
        message = f"not a serialized {general.DESCRIPTOR.full_name}"
        raise InvalidArgument("PAYLOAD_UNDECODABLE", message) from error
    return view


def parse_columns(serialized: bytes) -> Columns:
    """Read serialized ``ObservationColumns`` of any legal encoding, also with split columns."""
    return read_columns(parse_packed(PackedColumns, ObservationColumns, serialized))


class ByDictionary[Found]:
    """What was found out about dictionaries by their bytes; those asked for last stay, within a bound of memory."""

    def __init__(self, find: Callable[[bytes], Found], *, bytes_max: int, bytes_each: Callable[[Found], int]) -> None:
        """``find`` finds it out, ``bytes_each`` tells what it takes beside the bytes of its dictionary."""
        self._find = find
        self._bytes_max = bytes_max
        self._bytes_each = bytes_each
        self._known: OrderedDict[bytes, Found] = OrderedDict()
        self._bytes = 0

    def __call__(self, dictionary: bytes) -> Found:
        """Return what is known, and find it out where nothing is."""
        found = self._known.get(dictionary)
        if found is not None:
            self._known.move_to_end(dictionary)
            return found
        found = self._known[dictionary] = self._find(dictionary)
        self._bytes += len(dictionary) + self._bytes_each(found)
        while self._bytes > self._bytes_max:
            old, forgotten = self._known.popitem(last=False)
            self._bytes -= len(old) + self._bytes_each(forgotten)
        return found


def _count_names(dictionary: bytes) -> tuple[int, int]:
    try:
        names = SeriesDictionary.FromString(dictionary)
    except DecodeError as error:
        raise InvalidArgument("PAYLOAD_UNDECODABLE", "the dictionary cannot be read") from error
    return len(names.devices), len(names.observed_properties)


_sizes = ByDictionary(_count_names, bytes_max=SIZES_BYTES_MAX, bytes_each=lambda _: SIZES_BYTES_EACH)


def _require_inside(columns: Columns) -> None:
    devices, properties = _sizes(columns.dictionary)
    highest_device = int(np.maximum.reduce(columns.device_index, initial=0))
    highest_property = int(np.maximum.reduce(columns.property_index, initial=0))
    others: list[StateObservation | PositionObservation] = [*columns.states, *columns.positions]
    if others or columns.sequences:
        highest_device = max(highest_device, *(other.device_index for other in (*others, *columns.sequences)))
        highest_property = max([highest_property, *(other.property_index for other in others)])
    rows = len(columns) > 0
    if ((rows or columns.sequences) and highest_device >= devices) or (rows and highest_property >= properties):
        message = f"an index points outside the dictionary of {devices} devices and {properties} observed properties"
        raise InvalidArgument("COLUMNS_INCONSISTENT", message)


def build_columns(
    devices: Sequence[str],
    observed_properties: Sequence[str],
    device_index: Sequence[int] | NDArray[np.integer],
    property_index: Sequence[int] | NDArray[np.integer],
    event_time_us: Sequence[int] | NDArray[np.integer],
    value: Sequence[float] | NDArray[np.floating],
    *,
    states: Sequence[StateObservation] = (),
    positions: Sequence[PositionObservation] = (),
    sequences: Sequence[DeviceSequence] = (),
) -> Columns:
    """Make columns from names and values."""
    dictionary = SeriesDictionary(devices=devices, observed_properties=observed_properties)
    columns = Columns(
        dictionary=dictionary.SerializeToString(deterministic=True),
        device_index=np.asarray(device_index, INDEX),
        property_index=np.asarray(property_index, INDEX),
        event_time_us=np.asarray(event_time_us, TIME_US),
        value=np.asarray(value, VALUE),
        states=states,
        positions=positions,
        sequences=sequences,
    )
    _require_inside(columns)
    return columns
