"""Uplink events of a ChirpStack v4 network server, and the readings in their radio payload.

The event says which device, when a gateway heard it, the device's count of its frames, the port and the decrypted bytes;
what those mean is said by the codec of the device's type. In JSON the bytes are base64 and names are in camel case.
"""

import base64
import binascii
from dataclasses import dataclass

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

from .byte_layout import ByteLayout
from .cayenne_lpp import CayenneLpp
from .json_text import Json, read_json
from .moments import iso_us
from .readings import Decoded, RawReading

SYSTEM = "lorawan"
"""System part of the external ids of LoRaWAN devices."""
EUI_LENGTH = 16
F_PORT_MAX = 255
F_CNT_MAX = 2**32 - 1
DATA_MAX_BYTES = 256
"""A LoRaWAN payload has at most 242 bytes."""


@dataclass(frozen=True, slots=True)
class Uplink:
    """What an event says."""

    dev_eui: str
    time_us: int | None
    """When the first gateway heard it, none where the event does not say."""
    f_cnt: int
    f_port: int
    data: bytes


def checked(uplink: Uplink) -> Uplink:
    """Return an uplink that can be one, or refuse it."""
    eui = uplink.dev_eui
    if len(eui) != EUI_LENGTH or not set(eui) <= set("0123456789abcdef"):
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "the event names no DevEUI of 16 hexadecimal digits")
    if not 0 <= uplink.f_cnt <= F_CNT_MAX or not 0 <= uplink.f_port <= F_PORT_MAX:
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "the event has no frame counter or port of LoRaWAN")
    if len(uplink.data) > DATA_MAX_BYTES:
        message = f"the radio payload has {len(uplink.data)} bytes, at most {DATA_MAX_BYTES} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    return uplink


def external_id(dev_eui: str) -> str:
    """Return the external id of a device."""
    return f"{SYSTEM}:{dev_eui}"


def read_uplink(payload: bytes) -> Uplink:
    """Read an event in JSON, or refuse it."""
    document = read_json(payload)
    if not isinstance(document, dict):
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "an object is needed")
    info, data, time = document.get("deviceInfo"), document.get("data", ""), document.get("time")
    eui = info.get("devEui") if isinstance(info, dict) else None
    if not isinstance(eui, str) or not isinstance(data, str):
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "`deviceInfo.devEui` and `data` must be texts")
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "`data` is no base64") from None
    f_cnt, f_port = _whole(document.get("fCnt", 0)), _whole(document.get("fPort", 0))
    return checked(Uplink(eui.lower(), iso_us(time) if isinstance(time, str) else None, f_cnt, f_port, content))


def _whole(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def decode_uplink(uplink: Uplink, codec: CayenneLpp | ByteLayout, receipt_time_us: int) -> Decoded:
    """Return the readings of an uplink; the sender is its device."""
    decoded = Decoded(sequence=uplink.f_cnt)
    time_us = receipt_time_us if uplink.time_us is None else uplink.time_us
    for index, value in enumerate(codec.read(uplink.data, uplink.f_port) if uplink.data else ()):
        if isinstance(value, Reason):
            decoded.refuse(index, value)
        elif isinstance(value.result, float):
            series = decoded.series_of("", value.observed_property, value.unit)
            decoded.add_number(index, series, time_us, value.result)
        else:
            decoded.others.append(RawReading(index, "", value.observed_property, time_us, value.result))
    return decoded
