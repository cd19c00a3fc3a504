"""Conversion between units of the same dimension, by UCUM code; SenML's own spellings are known too.

Only linear scales are converted. A unit that is not listed converts to itself and to nothing else.
"""

from typing import NamedTuple


class _Scale(NamedTuple):
    """A value times ``factor`` plus ``offset`` is the value in the dimension's own unit."""

    dimension: str
    factor: float
    offset: float = 0.0


_SCALES: dict[str, _Scale] = {
    "1": _Scale("ratio", 1.0),
    "/": _Scale("ratio", 1.0),
    "count": _Scale("ratio", 1.0),
    "%": _Scale("ratio", 0.01),
    "%RH": _Scale("ratio", 0.01),
    "%EL": _Scale("ratio", 0.01),
    "[ppth]": _Scale("ratio", 1e-3),
    "[ppm]": _Scale("ratio", 1e-6),
    "K": _Scale("temperature", 1.0),
    "Cel": _Scale("temperature", 1.0, 273.15),
    "[degF]": _Scale("temperature", 5.0 / 9.0, 459.67 * 5.0 / 9.0),
    "mW": _Scale("power", 1e-3),
    "W": _Scale("power", 1.0),
    "kW": _Scale("power", 1e3),
    "MW": _Scale("power", 1e6),
    "J": _Scale("energy", 1.0),
    "kJ": _Scale("energy", 1e3),
    "W.h": _Scale("energy", 3.6e3),
    "Wh": _Scale("energy", 3.6e3),
    "kW.h": _Scale("energy", 3.6e6),
    "kWh": _Scale("energy", 3.6e6),
    "ug/m3": _Scale("concentration", 1e-6),
    "mg/m3": _Scale("concentration", 1e-3),
    "g/m3": _Scale("concentration", 1.0),
    "kg/m3": _Scale("concentration", 1e3),
    "lx": _Scale("illuminance", 1.0),
    "klx": _Scale("illuminance", 1e3),
    "m/s": _Scale("speed", 1.0),
    "km/h": _Scale("speed", 1.0 / 3.6),
    "mm/h": _Scale("speed", 1.0 / 3.6e6),
    "mm/s": _Scale("speed", 1e-3),
    "m": _Scale("length", 1.0),
    "mm": _Scale("length", 1e-3),
    "cm": _Scale("length", 1e-2),
    "km": _Scale("length", 1e3),
    "us": _Scale("time", 1e-6),
    "ms": _Scale("time", 1e-3),
    "s": _Scale("time", 1.0),
    "min": _Scale("time", 60.0),
    "h": _Scale("time", 3.6e3),
    "d": _Scale("time", 86.4e3),
    "Hz": _Scale("frequency", 1.0),
    "/s": _Scale("frequency", 1.0),
    "1/s": _Scale("frequency", 1.0),
    "/min": _Scale("frequency", 1.0 / 60.0),
    "1/min": _Scale("frequency", 1.0 / 60.0),
    "beat/min": _Scale("frequency", 1.0 / 60.0),
    "mV": _Scale("voltage", 1e-3),
    "V": _Scale("voltage", 1.0),
    "mA": _Scale("current", 1e-3),
    "A": _Scale("current", 1.0),
    "Pa": _Scale("pressure", 1.0),
    "hPa": _Scale("pressure", 1e2),
    "kPa": _Scale("pressure", 1e3),
    "bar": _Scale("pressure", 1e5),
}


def convert(value: float, given: str, wanted: str) -> float | None:
    """Return a value in another unit, or nothing where that makes no sense. An empty ``given`` is the wanted unit."""
    if not given or given == wanted:
        return value
    source, target = _SCALES.get(given), _SCALES.get(wanted)
    if source is None or target is None or source.dimension != target.dimension:
        return None
    if source == target:
        return value
    return (value * source.factor + source.offset - target.offset) / target.factor
