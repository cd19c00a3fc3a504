"""Cuts and joins columns for the wire: one message holds one subject, at most 512 KiB, and names nothing it lacks.

A portion of a batch gets a dictionary of its own, so that no message names a personal device whose readings went
elsewhere; the batch as it came keeps its bytes.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from maasloop.api.observation.v1.observation_pb2 import DeviceSequence, PositionObservation, StateObservation
from maasloop.bus.columns import Columns, build_columns
from maasloop.ingest.ports import Portion

MESSAGE_MAX_BYTES = 512 * 1024
ROW_BYTES = 24
DICTIONARY_REPEATED_MAX_BYTES = 64 * 1024
"""A larger dictionary is not repeated in each part of a batch that is cut."""


def columns_of(portion: Portion) -> Columns:
    """Return the columns of a portion."""
    columns = cast("Columns", portion.columns)
    if portion.numbers is None:
        return columns
    states = cast("Sequence[StateObservation]", portion.states)
    positions = cast("Sequence[PositionObservation]", portion.positions)
    sequences = cast("Sequence[DeviceSequence]", portion.sequences)
    return compact(columns, portion.numbers, states, positions, sequences)


def compact(
    columns: Columns,
    rows: NDArray[np.bool_] | slice,
    states: Sequence[StateObservation],
    positions: Sequence[PositionObservation],
    sequences: Sequence[DeviceSequence] = (),
) -> Columns:
    """Return chosen rows with a dictionary of the names they use; ``sequences`` are of devices that have rows."""
    names = columns.names()
    others = [(row.device_index, row.property_index) for row in states]
    others += [(row.device_index, row.property_index) for row in positions]
    counted = [each.device_index for each in sequences]
    devices, device_of = _used(columns.device_index[rows], [*(device for device, _ in others), *counted])
    properties, property_of = _used(columns.property_index[rows], [each for _, each in others])

    def place(used: NDArray[np.uint32], index: int) -> int:
        return int(np.searchsorted(used, index))

    return build_columns(
        [names.devices[index] for index in devices.tolist()],
        [names.observed_properties[index] for index in properties.tolist()],
        device_of[: -(len(others) + len(counted)) or None],
        property_of[: -len(others) or None],
        columns.event_time_us[rows],
        columns.value[rows],
        states=[_state(row, place(devices, row.device_index), place(properties, row.property_index)) for row in states],
        positions=[
            _position(row, place(devices, row.device_index), place(properties, row.property_index)) for row in positions
        ],
        sequences=[
            DeviceSequence(device_index=place(devices, each.device_index), sequence=each.sequence) for each in sequences
        ],
    )


def _used(numbers: NDArray[np.uint32], others: Sequence[int]) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    used, places = np.unique(np.concatenate((numbers, np.array(others, np.uint32))), return_inverse=True)
    return used, places


def _state(row: StateObservation, device: int, observed_property: int) -> StateObservation:
    return StateObservation(
        device_index=device, property_index=observed_property, event_time_us=row.event_time_us, state=row.state
    )


def _position(row: PositionObservation, device: int, observed_property: int) -> PositionObservation:
    return PositionObservation(
        device_index=device, property_index=observed_property, event_time_us=row.event_time_us, position=row.position
    )


def size_bytes(columns: Columns) -> int:
    """Return about how many bytes the columns take on the wire."""
    states = sum(row.ByteSize() + 4 for row in columns.states)
    others = 48 * len(columns.positions) + 16 * len(columns.sequences)
    return len(columns.dictionary) + ROW_BYTES * len(columns.value) + states + others


def parts(columns: Columns) -> Iterator[Columns]:
    """Cut columns into messages of at most ``MESSAGE_MAX_BYTES``."""
    if size_bytes(columns) <= MESSAGE_MAX_BYTES:
        yield columns
        return
    if columns.sequences:
        # A message of their own, with names of their own.
        yield compact(columns, slice(0, 0), (), (), columns.sequences)
    repeated = len(columns.dictionary) <= DICTIONARY_REPEATED_MAX_BYTES
    # Compact names and a row take at most 64 + 24 bytes; repeated names leave the rest to the rows.
    count = (MESSAGE_MAX_BYTES - len(columns.dictionary)) // ROW_BYTES if repeated else MESSAGE_MAX_BYTES // 96
    for start in range(0, len(columns.value), count):
        rows = slice(start, start + count)
        if repeated:
            yield Columns(
                columns.dictionary,
                columns.device_index[rows],
                columns.property_index[rows],
                columns.event_time_us[rows],
                columns.value[rows],
            )
        else:
            yield compact(columns, rows, (), ())
    none = slice(0, 0)
    others = MESSAGE_MAX_BYTES // 512
    for start in range(0, len(columns.states), others):
        yield compact(columns, none, columns.states[start : start + others], ())
    for start in range(0, len(columns.positions), others):
        yield compact(columns, none, (), columns.positions[start : start + others])


def join(many: Sequence[Columns]) -> Columns:
    """Return the rows of many small columns as one, each name once."""
    if len(many) == 1:
        return many[0]
    devices: dict[str, int] = {}
    properties: dict[str, int] = {}
    device_index, property_index = [], []
    states: list[StateObservation] = []
    positions: list[PositionObservation] = []
    sequences: list[DeviceSequence] = []
    for columns in many:
        names = columns.names()
        device_of = np.array([devices.setdefault(name, len(devices)) for name in names.devices], np.uint32)
        property_of = np.array(
            [properties.setdefault(name, len(properties)) for name in names.observed_properties], np.uint32
        )
        if len(columns.value):
            device_index.append(device_of[columns.device_index])
            property_index.append(property_of[columns.property_index])
        states += [
            _state(row, int(device_of[row.device_index]), int(property_of[row.property_index]))
            for row in columns.states
        ]
        positions += [
            _position(row, int(device_of[row.device_index]), int(property_of[row.property_index]))
            for row in columns.positions
        ]
        sequences += [
            DeviceSequence(device_index=int(device_of[each.device_index]), sequence=each.sequence)
            for each in columns.sequences
        ]
    nothing = np.empty(0, np.uint32)
    return build_columns(
        list(devices),
        list(properties),
        np.concatenate(device_index or [nothing]),
        np.concatenate(property_index or [nothing]),
        np.concatenate([columns.event_time_us for columns in many]),
        np.concatenate([columns.value for columns in many]),
        states=states,
        positions=positions,
        sequences=sequences,
    )
