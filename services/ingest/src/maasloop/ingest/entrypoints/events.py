"""What other systems send about devices that they have their own names for: the device is found before the readings.

A payload whose device is not known, or whose type has no codec, is refused as a whole; it lies in quarantine and may be
replayed when that is known.
"""

from dataclasses import replace

from google.protobuf.message import DecodeError

from maasloop.api.observation.v1.chirpstack_pb2 import ChirpstackUplink
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.domain import chirpstack, sensor_community
from maasloop.ingest.domain.chirpstack import Uplink
from maasloop.ingest.domain.facts import Named
from maasloop.ingest.domain.readings import PAYLOAD_MAX_BYTES, TIME_US_MAX
from maasloop.ingest.ports import Batch

from .batches import NameOf, Received, UnitOf, batch_of_decoded

CHIRPSTACK = "application/x-chirpstack-uplink"
"""An uplink event, JSON or protobuf: the first byte tells."""
PUSH = "application/x-sensor-community"
"""A push; ``; sensor=`` says of which sensor, as the header did."""
_SENSOR = "; sensor="
_JSON_STARTS = b"{ \t\r\n"


def push_type(sensor: str) -> str:
    """Return the content type of a push of a sensor."""
    return f"{PUSH}{_SENSOR}{sensor}"


def is_event(content_type: str) -> bool:
    """Tell whether a payload has to be decoded here."""
    return content_type == CHIRPSTACK or content_type.startswith(PUSH)


def decode_event(received: Received, name_of: NameOf, unit_of: UnitOf) -> Batch:
    """Return the readings of an event as columns, or refuse it as a whole."""
    if received.content_type == CHIRPSTACK:
        uplink = read_any_uplink(received.payload)
        named = _find(name_of, chirpstack.external_id(uplink.dev_eui))
        if named.uplink_codec is None:
            message = f"the type of {named.district}/{named.device} has no codec for radio payloads"
            raise Unreadable(named, Reason.PAYLOAD_UNDECODABLE, message)
        decoded = chirpstack.decode_uplink(uplink, named.uplink_codec, received.receipt_time_us)
    else:
        sensor = received.content_type.partition(_SENSOR)[2]
        named = _find(name_of, sensor_community.external_id(sensor))
        try:
            decoded = sensor_community.decode_push(received.payload, received.receipt_time_us)
        except InvalidArgument as error:
            raise Unreadable(named, Reason(error.reason), error.message) from None
    known = replace(received, district=named.district, sender=named.device)
    return batch_of_decoded(known, decoded, unit_of)


class Unreadable(InvalidArgument):
    """A payload of a device that is known, which no readings can be made of."""

    def __init__(self, named: Named, reason: Reason, message: str) -> None:
        """Keep whose payload it is: what is a person's must not be kept."""
        super().__init__(reason, message)
        self.named = named


def _find(name_of: NameOf, external_id: str) -> Named:
    named = name_of(external_id)
    if named is None:
        raise InvalidArgument(Reason.DEVICE_UNKNOWN, f"no device has the external id {external_id[:100]!r}")
    return named


def read_any_uplink(payload: bytes) -> Uplink:
    """Read an uplink event in either coding, or refuse it."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        message = f"the payload has {len(payload)} bytes, at most {PAYLOAD_MAX_BYTES} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    if payload[:1] in {_JSON_STARTS[at : at + 1] for at in range(len(_JSON_STARTS))}:
        return chirpstack.read_uplink(payload)
    try:
        event = ChirpstackUplink.FromString(payload)
    except DecodeError:
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "not an uplink event of ChirpStack") from None
    time_us = None
    if event.HasField("receipt_time"):
        time_us = event.receipt_time.seconds * 1_000_000 + event.receipt_time.nanos // 1_000
        time_us = max(-TIME_US_MAX, min(time_us, TIME_US_MAX))
    uplink = Uplink(event.device_info.dev_eui.lower(), time_us, event.f_cnt, event.f_port, event.data)
    return chirpstack.checked(uplink)
