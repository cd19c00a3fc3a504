"""The JSON of Maasloop's own devices.

``{"sequence": 17, "observations": [{"device": …, "property": "pm25", "time": …, "value": 12.5}]}`` with ``state`` (a
text) or ``position`` (longitude and latitude) instead of ``value``. ``device`` may be left out where the sender is known;
``time`` is RFC 3339 with an offset or whole microseconds since the epoch, left out it is the time of receipt.
``sequence`` is the sender's count of its payloads, where it counts them.
"""

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

from .json_text import Json, number, read_json
from .moments import iso_us
from .readings import READINGS_MAX, TIME_US_MAX, Decoded, Place, RawReading

SEQUENCE_MAX = 2**63 - 1
_KNOWN = frozenset({"device", "property", "time", "value", "state", "position"})
_RESULTS = ("value", "state", "position")


def decode_plain(payload: bytes, receipt_time_us: int) -> Decoded:
    """Decode a payload, or refuse it as a whole."""
    document = read_json(payload)
    observations = document.get("observations") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(observations, list):
        message = 'an object {"observations": […]} is needed'
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, message)
    if len(observations) > READINGS_MAX:
        message = f"the payload holds {len(observations)} readings, at most {READINGS_MAX} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    decoded = Decoded(sequence=_sequence(document))
    for index, observation in enumerate(observations):
        reason = _take(decoded, index, observation, receipt_time_us)
        if reason is not None:
            decoded.refuse(index, reason, observation.get("device") if isinstance(observation, dict) else "")
    return decoded


def _sequence(document: dict[str, Json]) -> int | None:
    sequence = document.get("sequence")
    if sequence is None:
        return None
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 <= sequence <= SEQUENCE_MAX:
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "`sequence` must be a whole number, not below 0")
    return sequence


def _take(decoded: Decoded, index: int, observation: Json, receipt_time_us: int) -> Reason | None:
    """Append a reading, or return why it is none."""
    if not isinstance(observation, dict) or not observation.keys() <= _KNOWN:
        return Reason.PAYLOAD_UNDECODABLE
    device, observed_property = observation.get("device", ""), observation.get("property")
    if not isinstance(device, str) or not isinstance(observed_property, str):
        return Reason.PAYLOAD_UNDECODABLE
    time_us = _time_us(observation["time"]) if "time" in observation else receipt_time_us
    given = [name for name in _RESULTS if name in observation]
    if time_us is None or len(given) != 1:
        return Reason.PAYLOAD_UNDECODABLE
    result = _result(given[0], observation[given[0]])
    if isinstance(result, Reason):
        return result
    if isinstance(result, float):
        decoded.add_number(index, decoded.series_of(device, observed_property), time_us, result)
    else:
        decoded.others.append(RawReading(index, device, observed_property, time_us, result))
    return None


def _time_us(value: Json) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-TIME_US_MAX, min(value, TIME_US_MAX))
    return iso_us(value) if isinstance(value, str) else None


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
