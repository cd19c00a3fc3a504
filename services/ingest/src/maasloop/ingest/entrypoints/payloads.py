"""From the bytes of a payload to a batch of columns; what every door that takes payloads does first."""

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError

from maasloop.api.common.v1.geo_pb2 import Point
from maasloop.api.observation.v1.events_pb2 import DeviceResponse
from maasloop.api.observation.v1.observation_pb2 import PositionObservation, StateObservation
from maasloop.bus.columns import build_columns, parse_columns
from maasloop.bus.subjects import UplinkKind
from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import valid_id
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.json_text import read_json
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.domain.plain_json import decode_plain
from maasloop.ingest.domain.readings import PAYLOAD_MAX_BYTES, Decoded, Place, RawReading
from maasloop.ingest.domain.senml import decode_senml
from maasloop.ingest.domain.units import convert
from maasloop.ingest.handlers.record_response import REASON_BYTES_MAX, Response
from maasloop.ingest.ports import Batch, QuarantineEntry

JSON = "application/json"
SENML = "application/senml+json"
COLUMNS = "application/protobuf; type=maasloop.api.observation.v1.ObservationColumns"
CONTENT_TYPES = {
    UplinkKind.OBSERVATIONS_JSON: JSON,
    UplinkKind.OBSERVATIONS_SENML: SENML,
    UplinkKind.OBSERVATIONS_PB: COLUMNS,
    UplinkKind.RESPONSES_JSON: JSON,
    UplinkKind.RESPONSES_PB: "application/protobuf; type=maasloop.api.observation.v1.DeviceResponse",
}
PAIRS_MAX = 1_000_000

type UnitOf = Callable[[str], str | None]
"""The unit of an observed property, none where it is not known."""


@dataclass(frozen=True, slots=True)
class Received:
    """A payload and what the door knows of it."""

    door: Door
    district: str
    sender: str
    receipt_time_us: int
    content_type: str
    payload: bytes


def decode(received: Received, unit_of: UnitOf) -> Batch:
    """Return the readings of a payload as columns, or refuse it as a whole."""
    if received.content_type == JSON:
        return _batch(received, decode_plain(received.payload), unit_of)
    if received.content_type == SENML:
        return _batch(received, decode_senml(received.payload, received.receipt_time_us), unit_of)
    if received.content_type == COLUMNS:
        columns = parse_columns(received.payload)
        require_pairs(len(columns.names().devices), len(columns.names().observed_properties))
        return Batch(received.district, received.door, columns, received.receipt_time_us, received.sender)
    raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, f"{received.content_type[:100]!r} is not heard here")


def decode_entry(entry: QuarantineEntry, unit_of: UnitOf) -> Batch:
    """Return the readings of a quarantined payload."""
    if not entry.payload:
        raise InvalidArgument(Reason(entry.reason), "nothing of this payload was kept")
    door = Door(entry.door) if entry.door in Door else Door.NATS
    # Rows of the doors for programs name the device that they are about, and have no sender.
    sender = entry.device if door is Door.MQTT or entry.content_type != COLUMNS else ""
    return decode(
        Received(door, entry.district, sender, entry.receipt_time_us, entry.content_type, entry.payload), unit_of
    )


def require_pairs(devices: int, properties: int) -> None:
    """Refuse a dictionary that allows more pairs than are looked up."""
    if devices * properties > PAIRS_MAX:
        message = f"{devices} devices times {properties} properties are more than {PAIRS_MAX}: split the batch"
        raise InvalidArgument(Reason.COLUMNS_INCONSISTENT, message)


def _batch(received: Received, decoded: Decoded, unit_of: UnitOf) -> Batch:
    """Lay readings out as columns: numbers, then states, then positions."""
    refused = dict(decoded.refused)
    devices: dict[str, int] = {}
    properties: dict[str, int] = {}
    numbers: list[tuple[int, int, int, int, float]] = []
    states: list[tuple[int, StateObservation]] = []
    positions: list[tuple[int, PositionObservation]] = []
    for reading in decoded.readings:
        device = reading.device or received.sender
        wrong = _wrong(device, reading)
        result = reading.result if wrong else _converted(reading, unit_of)
        if wrong or isinstance(result, Reason):
            refused[reading.index] = wrong or Reason(str(result))
            decoded.refused_devices.add(device)
            continue
        row = (
            devices.setdefault(device, len(devices)),
            properties.setdefault(reading.observed_property, len(properties)),
        )
        time_us = received.receipt_time_us if reading.time_us is None else reading.time_us
        if isinstance(result, str):
            state = StateObservation(device_index=row[0], property_index=row[1], event_time_us=time_us, state=result)
            states.append((reading.index, state))
        elif isinstance(result, Place):
            place = Point(longitude=result.longitude, latitude=result.latitude)
            position = PositionObservation(
                device_index=row[0], property_index=row[1], event_time_us=time_us, position=place
            )
            positions.append((reading.index, position))
        else:
            numbers.append((reading.index, *row, time_us, result))
    require_pairs(len(devices), len(properties))
    columns = build_columns(
        list(devices),
        list(properties),
        [number[1] for number in numbers],
        [number[2] for number in numbers],
        [number[3] for number in numbers],
        [number[4] for number in numbers],
        states=[state for _, state in states],
        positions=[position for _, position in positions],
    )
    index = [number[0] for number in numbers] + [each[0] for each in states] + [each[0] for each in positions]
    return Batch(
        received.district,
        received.door,
        columns,
        received.receipt_time_us,
        received.sender,
        refused,
        index,
        received.content_type,
        received.payload,
        decoded.refused_devices,
    )


def _wrong(device: str, reading: RawReading) -> Reason | None:
    """Return what can be told without the registry."""
    if not valid_id(device):
        return Reason.DEVICE_UNKNOWN
    if not valid_id(reading.observed_property):
        return Reason.PROPERTY_UNKNOWN
    if isinstance(reading.result, str) and not reading.result.isascii():
        try:
            reading.result.encode()
        except UnicodeEncodeError:
            return Reason.TEXT_INVALID
    return None


def _converted(reading: RawReading, unit_of: UnitOf) -> float | str | Place | Reason:
    if not reading.unit or not isinstance(reading.result, float):
        return reading.result
    wanted = unit_of(reading.observed_property)
    if wanted is None:
        # The pipeline says that the property is not known.
        return reading.result
    value = convert(reading.result, reading.unit, wanted)
    return Reason.UNIT_MISMATCH if value is None else value


def decode_response(received: Received, kind: UplinkKind) -> Response:
    """Return what a device said about a command, or refuse the payload."""
    if len(received.payload) > PAYLOAD_MAX_BYTES:
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, f"an answer has at most {PAYLOAD_MAX_BYTES} bytes")
    try:
        if kind is UplinkKind.RESPONSES_JSON:
            read_json(received.payload)
            message = Parse(received.payload, DeviceResponse(), ignore_unknown_fields=True)
        else:
            message = DeviceResponse.FromString(received.payload)
    except (ParseError, DecodeError, ValueError) as error:
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, f"not a DeviceResponse: {str(error)[:200]}") from None
    message.device = message.device or received.sender
    if not valid_id(message.device):
        raise InvalidArgument(Reason.DEVICE_UNKNOWN, "the answering device has no id")
    message.reason = message.reason.encode()[:REASON_BYTES_MAX].decode("utf-8", "ignore")
    return Response(
        received.district, received.sender, message.device, message.SerializeToString(), received.receipt_time_us
    )
