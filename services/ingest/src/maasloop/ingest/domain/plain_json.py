"""The JSON of Maasloop's own devices.

``{"observations": [{"device": …, "property": "pm25", "time": …, "value": 12.5}]}`` with ``state`` (a text) or
``position`` (longitude and latitude) instead of ``value``. ``device`` may be left out where the sender is known;
``time`` is RFC 3339 with an offset or whole microseconds since the epoch, left out it is the time of receipt.
"""

from datetime import datetime

from maasloop.core.clock import to_us
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

from .json_text import Json, number, read_json
from .readings import READINGS_MAX, TIME_US_MAX, Decoded, Place, RawReading

_KNOWN = {"device", "property", "time", "value", "state", "position"}
_RESULTS = ("value", "state", "position")


def decode_plain(payload: bytes) -> Decoded:
    """Decode a payload, or refuse it as a whole."""
    document = read_json(payload)
    observations = document.get("observations") if isinstance(document, dict) else None
    if not isinstance(observations, list):
        message = 'an object {"observations": […]} is needed'
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, message)
    if len(observations) > READINGS_MAX:
        message = f"the payload holds {len(observations)} readings, at most {READINGS_MAX} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    decoded = Decoded()
    for index, observation in enumerate(observations):
        reading = _reading(index, observation)
        if isinstance(reading, RawReading):
            decoded.readings.append(reading)
        else:
            decoded.refused[index] = reading
            device = observation.get("device") if isinstance(observation, dict) else None
            if isinstance(device, str):
                decoded.refused_devices.add(device)
    return decoded


def _reading(index: int, observation: Json) -> RawReading | Reason:
    if not isinstance(observation, dict) or not observation.keys() <= _KNOWN:
        return Reason.PAYLOAD_UNDECODABLE
    device, observed_property = observation.get("device", ""), observation.get("property")
    if not isinstance(device, str) or not isinstance(observed_property, str):
        return Reason.PAYLOAD_UNDECODABLE
    time_us = _time_us(observation["time"]) if "time" in observation else None
    if time_us is None and "time" in observation:
        return Reason.PAYLOAD_UNDECODABLE
    given = [name for name in _RESULTS if name in observation]
    if len(given) != 1:
        return Reason.PAYLOAD_UNDECODABLE
    result = _result(given[0], observation[given[0]])
    return result if isinstance(result, Reason) else RawReading(index, device, observed_property, time_us, result)


def _time_us(value: Json) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-TIME_US_MAX, min(value, TIME_US_MAX))
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return to_us(moment) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _result(name: str, value: Json) -> float | str | Place | Reason:
    if name == "state":
        return value if isinstance(value, str) else Reason.TEXT_INVALID
    if name == "position":
        return _place(value)
    if isinstance(value, bool):
        return float(value)
    found = number(value)
    return Reason.VALUE_NOT_A_NUMBER if found is None else found


def _place(value: Json) -> Place | Reason:
    if not isinstance(value, dict):
        return Reason.PAYLOAD_UNDECODABLE
    longitude, latitude = number(value.get("longitude")), number(value.get("latitude"))
    if longitude is None or latitude is None:
        return Reason.VALUE_NOT_A_NUMBER
    return Place(longitude, latitude)
