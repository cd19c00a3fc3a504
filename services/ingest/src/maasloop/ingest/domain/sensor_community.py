"""What the firmware of Sensor.Community pushes: ``{"sensordatavalues": [{"value_type": "P1", "value": "12.3"}]}``.

Value types stand with the name of the sensor before them (``SDS_P1``, ``BME280_temperature``) or without. Those that are
about the device itself, and those that nobody here observes, are passed over. There is no event time: it is receipt.
"""

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

from .json_text import Json, number, read_json
from .readings import Decoded

SYSTEM = "sensor-community"
"""System part of the external ids of such sensors."""
VALUES_MAX = 100
PROPERTIES: dict[str, tuple[str, str]] = {
    "P0": ("pm1", "ug/m3"),
    "P1": ("pm10", "ug/m3"),
    "P2": ("pm25", "ug/m3"),
    "P4": ("pm4", "ug/m3"),
    "temperature": ("temperature", "Cel"),
    "humidity": ("humidity", "%"),
    "pressure": ("pressure", "Pa"),
    "co2_ppm": ("co2", "[ppm]"),
    "noise_LAeq": ("noise-level", "dB"),
    "noise_LA_max": ("noise-level-max", "dB"),
    "noise_LA_min": ("noise-level-min", "dB"),
    "counts_per_minute": ("counts-per-minute", "/min"),
}
"""Observed property and unit of each value type."""
NUMBER_LENGTH_MAX = 64


def external_id(sensor: str) -> str:
    """Return the external id of a sensor, as the header ``X-Sensor`` names it."""
    return f"{SYSTEM}:{sensor.strip().lower()}"


def decode_push(payload: bytes, receipt_time_us: int) -> Decoded:
    """Decode a push, or refuse it as a whole."""
    document = read_json(payload)
    values = document.get("sensordatavalues") if isinstance(document, dict) else None
    if not isinstance(values, list):
        message = 'an object {"sensordatavalues": […]} is needed'
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, message)
    if len(values) > VALUES_MAX:
        message = f"the payload holds {len(values)} values, at most {VALUES_MAX} are heard"
        raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
    decoded = Decoded()
    for index, entry in enumerate(values):
        if not isinstance(entry, dict) or not isinstance(entry.get("value_type"), str):
            decoded.refuse(index, Reason.PAYLOAD_UNDECODABLE)
            continue
        found = _property(str(entry["value_type"]))
        if found is None:
            continue
        value = _number(entry.get("value"))
        if value is None:
            decoded.refuse(index, Reason.VALUE_NOT_A_NUMBER)
        else:
            decoded.add_number(index, decoded.series_of("", *found), receipt_time_us, value)
    return decoded


def _property(value_type: str) -> tuple[str, str] | None:
    """Look a value type up, with and without the sensor before it."""
    return PROPERTIES.get(value_type) or PROPERTIES.get(value_type.partition("_")[2])


def _number(value: Json) -> float | None:
    """Read a number that most firmware writes as a text."""
    if not isinstance(value, str):
        return number(value)
    if len(value) > NUMBER_LENGTH_MAX or "_" in value:
        return None
    try:
        return float(value)
    except ValueError:
        return None
