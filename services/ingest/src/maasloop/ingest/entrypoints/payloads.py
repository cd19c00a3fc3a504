"""From the bytes of a payload to a batch of columns; what every door that takes payloads does first."""

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError

from maasloop.api.observation.v1.events_pb2 import DeviceResponse
from maasloop.api.observation.v1.observation_pb2 import ObservationColumns
from maasloop.api.observation.v1.packed_pb2 import PackedColumns
from maasloop.bus.columns import parse_packed, read_columns
from maasloop.bus.subjects import UplinkKind
from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import valid_id
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.csv_rows import decode_csv
from maasloop.ingest.domain.json_text import read_json
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.domain.plain_json import decode_plain
from maasloop.ingest.domain.readings import PAYLOAD_MAX_BYTES, Decoded
from maasloop.ingest.domain.senml import CBOR_LABELS, decode_records, decode_senml
from maasloop.ingest.handlers.record_response import REASON_BYTES_MAX, Response
from maasloop.ingest.ports import Batch, QuarantineEntry

from .batches import PAIRS_MAX, NameOf, Received, UnitOf, batch_of_decoded, require_few, require_pairs
from .cbor_records import read_cbor
from .events import decode_event, is_event

__all__ = ["PAIRS_MAX", "Received", "UnitOf", "decode", "decode_entry", "decode_response", "require_pairs"]

JSON = "application/json"
SENML = "application/senml+json"
SENML_CBOR = "application/senml+cbor"
CSV = "text/csv"
COLUMNS = "application/protobuf; type=maasloop.api.observation.v1.ObservationColumns"
CONTENT_TYPES = {
    UplinkKind.OBSERVATIONS_JSON: JSON,
    UplinkKind.OBSERVATIONS_SENML: SENML,
    UplinkKind.OBSERVATIONS_SENML_CBOR: SENML_CBOR,
    UplinkKind.OBSERVATIONS_PB: COLUMNS,
    UplinkKind.RESPONSES_JSON: JSON,
    UplinkKind.RESPONSES_PB: "application/protobuf; type=maasloop.api.observation.v1.DeviceResponse",
}


def decode(received: Received, unit_of: UnitOf) -> Batch:
    """Return the readings of a payload as columns, or refuse it as a whole."""
    if received.content_type == COLUMNS:
        packed = parse_packed(PackedColumns, ObservationColumns, received.payload)
        require_few(packed)
        columns = read_columns(packed)
        require_pairs(*columns.sizes())
        return Batch(received.district, received.door, columns, received.receipt_time_us, received.sender)
    return batch_of_decoded(received, _decoded(received), unit_of)


def _decoded(received: Received) -> Decoded:
    payload, receipt_time_us = received.payload, received.receipt_time_us
    match received.content_type:
        case "application/json":
            return decode_plain(payload, receipt_time_us)
        case "application/senml+json":
            return decode_senml(payload, receipt_time_us)
        case "application/senml+cbor":
            return decode_records(read_cbor(payload), CBOR_LABELS, receipt_time_us)
        case "text/csv":
            return decode_csv(payload, receipt_time_us)
        case _:
            message = f"{received.content_type[:100]!r} is not heard here"
            raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, message)


def decode_entry(entry: QuarantineEntry, unit_of: UnitOf, name_of: NameOf = lambda _: None) -> Batch:
    """Return the readings of a quarantined payload."""
    if not entry.payload:
        raise InvalidArgument(Reason(entry.reason), "nothing of this payload was kept")
    door = Door(entry.door) if entry.door in Door else Door.NATS
    # Rows of the doors for programs name the device that they are about, and have no sender.
    sender = entry.device if door is Door.MQTT or entry.content_type != COLUMNS else ""
    received = Received(door, entry.district, sender, entry.receipt_time_us, entry.content_type, entry.payload)
    if is_event(entry.content_type):
        return decode_event(received, name_of, unit_of)
    return decode(received, unit_of)


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
