"""Joins small payloads of many devices into one batch, so that a single reading costs a share of a batch.

Only what is plain is taken: readings of the device that sent them, in the unit of their property, all decoded. Everything
else goes through the pipeline by itself, where it gets its refusals.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maasloop.api.common.v1.geo_pb2 import Point
from maasloop.api.observation.v1.observation_pb2 import DeviceSequence, PositionObservation, StateObservation
from maasloop.bus.columns import build_columns
from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import valid_id
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.domain.plain_json import decode_plain
from maasloop.ingest.domain.readings import Decoded, Place, RawReading
from maasloop.ingest.domain.senml import decode_senml
from maasloop.ingest.domain.units import SAME, conversion
from maasloop.ingest.ports import Batch

from .batches import Received, UnitOf, encodable
from .payloads import JSON, SENML

PAYLOAD_MAX_BYTES = 4_096
"""A larger payload is a batch of its own."""
ROWS_MAX = 4_096
PAIRS_MAX = 65_536
RECEIPT_SPAN_US = 1_000_000
"""Payloads that share a batch share its time of receipt: they came within this time."""

_CODECS = {JSON: decode_plain, SENML: decode_senml}


@dataclass(slots=True)
class Gathering:
    """Payloads of one door and district."""

    door: Door
    district: str
    receipt_time_us: int
    payload_count: int = 0
    _devices: dict[str, int] = field(default_factory=dict)
    _properties: dict[str, int] = field(default_factory=dict)
    _device: list[int] = field(default_factory=list)
    _property: list[int] = field(default_factory=list)
    _time_us: list[int] = field(default_factory=list)
    _value: list[float] = field(default_factory=list)
    _payload: list[int] = field(default_factory=list)
    _states: list[tuple[int, StateObservation]] = field(default_factory=list)
    _positions: list[tuple[int, PositionObservation]] = field(default_factory=list)
    _sequences: list[DeviceSequence] = field(default_factory=list)

    def take(self, received: Received, unit_of: UnitOf) -> bool:
        """Take a payload as the next one, or leave it as it is."""
        decoded = self._plain(received)
        if decoded is None:
            return False
        named = [(each.device, each.observed_property) for each in decoded.series]
        named += [(each.device, each.observed_property) for each in decoded.others]
        if not all(self._own(received.sender, *each) for each in named) or not all(_in_own_unit(decoded, unit_of)):
            return False
        places = [self._properties.setdefault(each, len(self._properties)) for _, each in named]
        device, payload = self._devices.setdefault(received.sender, len(self._devices)), self.payload_count
        for series, time_us, value in zip(
            decoded.number_series, decoded.number_time_us, decoded.number_value, strict=True
        ):
            self._device.append(device)
            self._property.append(places[series])
            self._time_us.append(time_us)
            self._value.append(value)
            self._payload.append(payload)
        for reading, place in zip(decoded.others, places[len(decoded.series) :], strict=True):
            self._add_other(reading, device, place)
        if decoded.sequence is not None:
            self._sequences.append(DeviceSequence(device_index=device, sequence=decoded.sequence))
        self.payload_count += 1
        return True

    def batch(self) -> tuple[Batch, NDArray[np.int64]]:
        """Return the readings, and the number of the payload of each row."""
        columns = build_columns(
            list(self._devices),
            list(self._properties),
            np.array(self._device, np.uint32),
            np.array(self._property, np.uint32),
            np.array(self._time_us, np.int64),
            np.array(self._value, np.float64),
            states=[state for _, state in self._states],
            positions=[position for _, position in self._positions],
            sequences=self._sequences,
        )
        payload = [*self._payload, *(each for each, _ in self._states), *(each for each, _ in self._positions)]
        return Batch(self.district, self.door, columns, self.receipt_time_us), np.array(payload, np.int64)

    def _plain(self, received: Received) -> Decoded | None:
        codec = _CODECS.get(received.content_type)
        late = abs(received.receipt_time_us - self.receipt_time_us) > RECEIPT_SPAN_US
        if codec is None or late or len(received.payload) > PAYLOAD_MAX_BYTES or len(self._payload) > ROWS_MAX:
            return None
        try:
            decoded = codec(received.payload, received.receipt_time_us)
        except InvalidArgument:
            return None
        sound = all(isinstance(each.result, Place) or encodable(str(each.result)) for each in decoded.others)
        return decoded if sound and not decoded.refused and (decoded.number_value or decoded.others) else None

    def _own(self, sender: str, device: str, observed_property: str) -> bool:
        """Tell whether a series is the sender's own and has room in the dictionary."""
        if device not in {"", sender}:
            return False
        room = (len(self._devices) + 1) * (len(self._properties) + 1) <= PAIRS_MAX
        return observed_property in self._properties or (room and valid_id(observed_property))

    def _add_other(self, reading: RawReading, device: int, place: int) -> None:
        row = {"device_index": device, "property_index": place, "event_time_us": reading.time_us}
        if isinstance(reading.result, Place):
            where = Point(longitude=reading.result.longitude, latitude=reading.result.latitude)
            self._positions.append((self.payload_count, PositionObservation(**row, position=where)))
        else:
            self._states.append((self.payload_count, StateObservation(**row, state=str(reading.result))))


def _in_own_unit(decoded: Decoded, unit_of: UnitOf) -> list[bool]:
    return [
        not each.unit or conversion(each.unit, unit_of(each.observed_property) or "") is SAME for each in decoded.series
    ]
