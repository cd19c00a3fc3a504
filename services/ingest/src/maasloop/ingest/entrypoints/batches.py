"""From readings as a codec found them to a batch of columns, in the units of their properties.

What is said once about many readings (device, property, unit) is looked at once; numbers are laid out and converted as
arrays.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maasloop.api.common.v1.geo_pb2 import Point
from maasloop.api.observation.v1.observation_pb2 import DeviceSequence, PositionObservation, StateObservation
from maasloop.api.observation.v1.packed_pb2 import PackedColumns
from maasloop.bus.columns import Columns, build_columns
from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import valid_id
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.facts import Named
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.domain.readings import READINGS_MAX, Decoded, Place, RawSeries
from maasloop.ingest.domain.units import SAME, Conversion, conversion
from maasloop.ingest.ports import Batch

PAIRS_MAX = 250_000
"""What is known about a pair takes 31 bytes, whether it has a reading or not: 8 MiB for the dictionary of a batch."""

type UnitOf = Callable[[str], str | None]
"""The unit of an observed property, none where it is not known."""
type NameOf = Callable[[str], Named | None]
"""The device that another system calls so, none where nobody is."""
type _Indexes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Received:
    """A payload and what the door knows of it."""

    door: Door
    district: str
    sender: str
    receipt_time_us: int
    content_type: str
    payload: bytes


def require_pairs(devices: int, properties: int) -> None:
    """Refuse a dictionary that allows more pairs than are looked up."""
    if devices * properties > PAIRS_MAX:
        message = f"{devices} devices times {properties} properties are more than {PAIRS_MAX}: split the batch"
        raise InvalidArgument(Reason.COLUMNS_INCONSISTENT, message)


def require_few(packed: PackedColumns) -> None:
    """Refuse more states and positions than are looked at one by one."""
    count = len(packed.states) + len(packed.positions) + len(packed.sequences)
    if count > READINGS_MAX:
        message = f"the batch holds {count} states, positions and counts, at most {READINGS_MAX} are heard: split it"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)


def batch_of_decoded(received: Received, decoded: Decoded, unit_of: UnitOf) -> Batch:
    """Lay readings out as columns: numbers, then states, then positions."""
    layout = _Layout(received, decoded, unit_of)
    columns, index = layout.columns()
    return Batch(
        received.district,
        received.door,
        columns,
        received.receipt_time_us,
        received.sender,
        layout.refused,
        index,
        received.content_type,
        received.payload,
        decoded.refused_devices,
    )


class _Layout:
    """The laying out of one payload."""

    def __init__(self, received: Received, decoded: Decoded, unit_of: UnitOf) -> None:
        self.refused = dict(decoded.refused)
        self._received = received
        self._decoded = decoded
        self._unit_of = unit_of
        self._devices: dict[str, int] = {}
        self._properties: dict[str, int] = {}
        self._wrong: dict[int, Reason] = {}
        """Series of numbers that are none, by their place among them."""

    def columns(self) -> tuple[Columns, list[int]]:
        """Return the columns, and the position in the payload of each row."""
        decoded = self._decoded
        device, observed_property, conversions = self._known_series()
        rows, index = self._good_numbers()
        series = np.array(decoded.number_series, np.intp)[rows]
        value = np.array(decoded.number_value, np.float64)[rows]
        states, positions, others = self._others()
        sequences = self._sequences()
        require_pairs(len(self._devices), len(self._properties))
        columns = build_columns(
            list(self._devices),
            list(self._properties),
            np.array(device, np.uint32)[series],
            np.array(observed_property, np.uint32)[series],
            np.array(decoded.number_time_us, np.int64)[rows],
            _converted(value, series, conversions),
            states=states,
            positions=positions,
            sequences=sequences,
        )
        return columns, index + others

    def _known_series(self) -> tuple[list[int], list[int], list[Conversion]]:
        """Return device, property and conversion of each series of numbers; note those that are none."""
        devices, properties, conversions = [], [], []
        for place, series in enumerate(self._decoded.series):
            found = self._place(series)
            if isinstance(found, Reason):
                self._wrong[place] = found
                found = (0, 0, SAME)
            devices.append(found[0])
            properties.append(found[1])
            conversions.append(found[2])
        require_pairs(len(self._devices), len(self._properties))
        return devices, properties, conversions

    def _place(self, series: RawSeries) -> tuple[int, int, Conversion] | Reason:
        """Return where a series stands in the dictionary and how its numbers are converted, or why there is none."""
        name, observed_property, unit = series
        name = name or self._received.sender
        device, place = self._devices.get(name), self._properties.get(observed_property)
        if device is None and not valid_id(name):
            return Reason.DEVICE_UNKNOWN
        if place is None and not valid_id(observed_property):
            return Reason.PROPERTY_UNKNOWN
        found: Conversion | None = SAME
        if unit:
            wanted = self._unit_of(observed_property)
            # Of a property that is not known the pipeline says so.
            found = SAME if wanted is None else conversion(unit, wanted)
        if found is None:
            return Reason.UNIT_MISMATCH
        if device is None:
            device = self._devices[name] = len(self._devices)
        if place is None:
            place = self._properties[observed_property] = len(self._properties)
        return device, place, found

    def _good_numbers(self) -> tuple[slice | _Indexes, list[int]]:
        """Return which numbers have a series, and their positions in the payload; note the others."""
        decoded = self._decoded
        wrong = self._wrong
        if not wrong:
            return slice(None), decoded.number_index
        good = []
        for row, place in enumerate(decoded.number_series):
            if place in wrong:
                self.refused[decoded.number_index[row]] = wrong[place]
            else:
                good.append(row)
        for place in wrong:
            decoded.refused_devices.add(decoded.series[place].device or self._received.sender)
        return np.array(good, np.intp), [decoded.number_index[row] for row in good]

    def _others(self) -> tuple[list[StateObservation], list[PositionObservation], list[int]]:
        """Return states, positions, and their places in the payload in this order."""
        states: list[StateObservation] = []
        positions: list[PositionObservation] = []
        state_index, position_index = [], []
        places: dict[tuple[str, str], tuple[int, int, Conversion] | Reason] = {}
        for reading in self._decoded.others:
            name = (reading.device, reading.observed_property)
            place = places.get(name)
            if place is None:
                place = places[name] = self._place(RawSeries(*name))
            result = reading.result
            if isinstance(result, str) and not result.isascii() and not encodable(result):
                place = Reason.TEXT_INVALID
            if isinstance(place, Reason):
                self.refused[reading.index] = place
                self._decoded.refused_devices.add(reading.device or self._received.sender)
                continue
            device, observed_property, _ = place
            if isinstance(result, Place):
                where = Point(longitude=result.longitude, latitude=result.latitude)
                position = PositionObservation(
                    device_index=device,
                    property_index=observed_property,
                    event_time_us=reading.time_us,
                    position=where,
                )
                positions.append(position)
                position_index.append(reading.index)
            else:
                state = StateObservation(
                    device_index=device,
                    property_index=observed_property,
                    event_time_us=reading.time_us,
                    state=str(result),
                )
                states.append(state)
                state_index.append(reading.index)
        return states, positions, state_index + position_index

    def _sequences(self) -> list[DeviceSequence]:
        """Return whose count the payload carries: the sender's, else that of the only device it is about."""
        sequence, sender = self._decoded.sequence, self._received.sender
        if sequence is None or not (sender or len(self._devices) == 1):
            return []
        device = self._devices.setdefault(sender or next(iter(self._devices)), len(self._devices))
        return [DeviceSequence(device_index=device, sequence=sequence)]


def _converted(value: NDArray[np.float64], series: _Indexes, conversions: list[Conversion]) -> NDArray[np.float64]:
    if all(each is SAME for each in conversions):
        return value
    scale = np.array(conversions, np.float64)[series]
    with np.errstate(over="ignore", invalid="ignore"):
        converted: NDArray[np.float64] = value * scale[:, 0] / scale[:, 1] + scale[:, 2]
    return converted


def encodable(text: str) -> bool:
    """Tell whether a text can be sent at all: JSON may hold half of a pair of surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
