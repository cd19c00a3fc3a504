"""What devices say: readings, and their coding for each door.

The order inside a payload is the order in which a door answers for single readings: numbers, states, positions for
columns; as sent for JSON and SenML.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from maasloop.api.common.v1.geo_pb2 import Point
from maasloop.api.observation.v1.observation_pb2 import (
    ObservationColumns,
    PositionObservation,
    SeriesDictionary,
    StateObservation,
)

MICROSECONDS = 1_000_000


class Position(NamedTuple):
    """Degrees east of Greenwich and north of the equator."""

    longitude: float
    latitude: float


class Reading(NamedTuple):
    """One observation; ``series`` and ``event_time_us`` are what a row is known by."""

    device: str
    observed_property: str
    event_time_us: int
    result: float | str | Position

    @property
    def series(self) -> tuple[str, str]:
        """Return device and observed property."""
        return self.device, self.observed_property


def in_column_order(readings: Iterable[Reading]) -> list[Reading]:
    """Order readings as columns hold them: numbers, states, positions."""
    return sorted(readings, key=_kind)


def _kind(reading: Reading) -> int:
    return 1 if isinstance(reading.result, str) else 2 if isinstance(reading.result, Position) else 0


def to_columns(readings: Sequence[Reading]) -> ObservationColumns:
    """Return readings, already ``in_column_order``, as a columnar batch."""
    devices = {name: index for index, name in enumerate(dict.fromkeys(reading.device for reading in readings))}
    names = dict.fromkeys(reading.observed_property for reading in readings)
    properties = {name: index for index, name in enumerate(names)}
    columns = ObservationColumns(dictionary=SeriesDictionary(devices=devices, observed_properties=properties))
    for reading in readings:
        place = devices[reading.device], properties[reading.observed_property]
        _append(columns, *place, reading)
    return columns


def _append(columns: ObservationColumns, device_index: int, property_index: int, reading: Reading) -> None:
    time_us, result = reading.event_time_us, reading.result
    if isinstance(result, str):
        columns.states.append(
            StateObservation(
                device_index=device_index, property_index=property_index, event_time_us=time_us, state=result
            )
        )
    elif isinstance(result, Position):
        point = Point(longitude=result.longitude, latitude=result.latitude)
        columns.positions.append(
            PositionObservation(
                device_index=device_index, property_index=property_index, event_time_us=time_us, position=point
            )
        )
    else:
        columns.device_index.append(device_index)
        columns.property_index.append(property_index)
        columns.event_time_us.append(time_us)
        columns.value.append(result)


def from_columns(columns: ObservationColumns) -> list[Reading]:
    """Return the readings of a columnar batch, in column order."""
    devices, names = columns.dictionary.devices, columns.dictionary.observed_properties
    rows = zip(columns.device_index, columns.property_index, columns.event_time_us, columns.value, strict=True)
    numbers = [Reading(devices[device], names[name], time_us, value) for device, name, time_us, value in rows]
    states = [
        Reading(devices[one.device_index], names[one.property_index], one.event_time_us, one.state)
        for one in columns.states
    ]
    positions = [
        Reading(
            devices[one.device_index],
            names[one.property_index],
            one.event_time_us,
            Position(one.position.longitude, one.position.latitude),
        )
        for one in columns.positions
    ]
    return [*numbers, *states, *positions]


def to_json(readings: Sequence[Reading]) -> bytes:
    """Return readings as ``observations-json``."""
    return json.dumps({"observations": [_json(reading) for reading in readings]}, separators=(",", ":")).encode()


def _json(reading: Reading) -> dict[str, Any]:
    one: dict[str, Any] = {
        "device": reading.device,
        "property": reading.observed_property,
        "time": reading.event_time_us,
    }
    if isinstance(reading.result, str):
        one["state"] = reading.result
    elif isinstance(reading.result, Position):
        one["position"] = {"longitude": reading.result.longitude, "latitude": reading.result.latitude}
    else:
        one["value"] = reading.result
    return one


def from_json(body: bytes) -> list[Reading]:
    """Return the readings of a payload as ``to_json`` writes it; none of one that holds something else."""
    said = json.loads(body).get("observations", [])
    return [Reading(one["device"], one["property"], one["time"], _result(one)) for one in said]


def _result(one: dict[str, Any]) -> float | str | Position:
    if "state" in one:
        return str(one["state"])
    if "position" in one:
        return Position(one["position"]["longitude"], one["position"]["latitude"])
    return float(one["value"])


def to_senml(readings: Sequence[Reading], units: dict[str, str]) -> bytes:
    """Return readings of one device as SenML JSON (RFC 8428), with base name and base time in the first record."""
    first = readings[0]
    records: list[dict[str, Any]] = []
    for reading in readings:
        record: dict[str, Any] = {"n": reading.observed_property, "v": reading.result}
        if unit := units.get(reading.observed_property):
            record["u"] = unit
        if offset_us := reading.event_time_us - first.event_time_us:
            record["t"] = offset_us / MICROSECONDS
        records.append(record)
    records[0] |= {"bn": f"{first.device}/", "bt": first.event_time_us / MICROSECONDS}
    return json.dumps(records, separators=(",", ":")).encode()
