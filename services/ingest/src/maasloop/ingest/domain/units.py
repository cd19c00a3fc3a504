"""Conversion between units of the same dimension: one table of UCUM codes and of SenML's registry.

The registry of SenML is RFC 8428 (12.1) with the additions of RFC 8798, its secondary units and those of later
registrations; each is listed with what it means in UCUM. A sum of SenML (RFC 8428, 4.5.1: the integral over time) has the
unit of ``TIMES_SECOND``. Only linear scales are converted, exactly as fractions as far as floats allow. A unit that is
not listed converts to itself and to nothing else.
"""

from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

CONVERSIONS_CACHED_MAX = 4_096


class _Scale(NamedTuple):
    """A value times ``factor`` plus ``offset`` is the value in the dimension's own unit."""

    dimension: str
    factor: Fraction
    offset: Fraction = Fraction(0)


class Conversion(NamedTuple):
    """``value * numerator / denominator + offset``."""

    numerator: float
    denominator: float
    offset: float

    def __call__(self, value: float) -> float:
        """Return the value in the other unit."""
        return value * self.numerator / self.denominator + self.offset


SAME = Conversion(1.0, 1.0, 0.0)

_TABLE = """
ratio: 1 1; {ratio} 1; / 1; count 1; {count} 1; beats 1; % 1/100; %RH 1/100; %EL 1/100; /100 1/100
ratio: [ppth] 1/1000; /1000 1/1000; [ppm] 1/1000000; ppm 1/1000000; [ppb] 1/1000000000; ppb 1/1000000000
ratio: [pptr] 1/1000000000000; ppt 1/1000000000000
temperature: K 1; Cel 1 +273.15; [degF] 5/9 +459.67*5/9
length: m 1; mm 1/1000; cm 1/100; km 1000; um 1/1000000; nm 1/1000000000; [in_i] 0.0254; [ft_i] 0.3048; [mi_i] 1609.344
area: m2 1; cm2 1/10000; mm2 1/1000000; km2 1000000; har 10000; ar 100
volume: m3 1; l 1/1000; L 1/1000; dm3 1/1000; cm3 1/1000000; mL 1/1000000; ml 1/1000000; hL 1/10
mass: kg 1; g 1/1000; mg 1/1000000; ug 1/1000000000; t 1000
time: s 1; EL 1; us 1/1000000; ms 1/1000; min 60; h 3600; d 86400; wk 604800
speed: m/s 1; km/h 10/36; m/h 1/3600; mm/h 1/3600000; mm/s 1/1000; cm/s 1/100; mm/min 1/60000; mm/d 1/86400000
speed: [kn_i] 1852/3600; [mi_i]/h 1609.344/3600
acceleration: m/s2 1; [g] 9.80665
flow: m3/s 1; l/s 1/1000; L/s 1/1000; m3/h 1/3600; L/min 1/60000; l/min 1/60000; L/h 1/3600000; l/h 1/3600000; m3/d 1/86400
massflow: kg/s 1; g/s 1/1000; kg/h 1/3600
concentration: kg/m3 1; g/m3 1/1000; mg/m3 1/1000000; ug/m3 1/1000000000; ng/m3 1/1000000000000
concentration: g/l 1; g/L 1; mg/l 1/1000; mg/L 1/1000; ug/l 1/1000000; ug/L 1/1000000
amount: mol 1; mmol 1/1000; umol 1/1000000
pressure: Pa 1; hPa 100; kPa 1000; MPa 1000000; mbar 100; bar 100000; mm[Hg] 133.322387415; [psi] 6894.757293168
force: N 1; kN 1000
energy: J 1; kJ 1000; MJ 1000000; W.s 1; Ws 1; W.h 3600; Wh 3600; kW.h 3600000; kWh 3600000; MW.h 3600000000
power: W 1; mW 1/1000; kW 1000; MW 1000000
apparent power: V.A 1; VA 1; kV.A 1000; kVA 1000
apparent energy: V.A.s 1; VAs 1; V.A.h 3600; VAh 3600; kV.A.h 3600000; kVAh 3600000
reactive power: var 1; kvar 1000
reactive energy: var.s 1; vars 1; var.h 3600; varh 3600; kvar.h 3600000; kvarh 3600000
consumption: J/m 1; W.h/km 36/10; Wh/km 36/10
irradiance: W/m2 1; kW/m2 1000
frequency: Hz 1; kHz 1000; MHz 1000000; GHz 1000000000; /s 1; 1/s 1; s-1 1; /min 1/60; 1/min 1/60; beat/min 1/60
frequency: {beats}/min 1/60; /h 1/3600; 1/h 1/3600; /d 1/86400
angle: rad 1; deg 3.14159265358979323846/180
solid angle: sr 1
current: A 1; mA 1/1000; uA 1/1000000
charge: C 1; Ah 3600; A.h 3600; mA.h 36/10
voltage: V 1; mV 1/1000; kV 1000
capacitance: F 1; uF 1/1000000
resistance: Ohm 1; kOhm 1000; MOhm 1000000
conductance: S 1; mS 1/1000; uS 1/1000000
conductivity: S/m 1; uS/cm 1/10000; mS/cm 1/10
magnetic flux: Wb 1
flux density: T 1; mT 1/1000; uT 1/1000000
inductance: H 1
luminous intensity: cd 1
luminous flux: lm 1
illuminance: lx 1; klx 1000
luminance: cd/m2 1
activity: Bq 1
dose: Gy 1
dose equivalent: Sv 1; mSv 1/1000; uSv 1/1000000
dose rate: Sv/h 1; uSv/h 1/1000000; nSv/h 1/1000000000
catalysis: kat 1
information: bit 1; B 8; By 8; KiB 8192; kB 8000; MB 8000000; GB 8000000000; MiB 8388608; GiB 8589934592
data rate: bit/s 1; kbit/s 1000; Mbit/s 1000000; B/s 8; By/s 8; MB/s 8000000; Gbit/s 1000000000
latitude: lat 1
longitude: lon 1
acidity: pH 1; [pH] 1
level: dB 1; B[10.nV] 10
sound level: Bspl 10; B[SPL] 10; dB[SPL] 1; dB[A] 1; dB(A) 1; dBA 1
power level: dBW 1; dBm 1 -30; B[W] 10; dB[W] 1; dB[mW] 1 -30
turbidity: NTU 1; [NTU] 1; {NTU} 1; [FNU] 1
"""
"""``dimension: unit factor [offset]; …``; factors and offsets are fractions of decimals."""

TIMES_SECOND = {
    "W": "J", "kW": "kJ", "A": "C", "VA": "VAs", "V.A": "V.A.s", "var": "vars", "m/s": "m", "m/s2": "m/s", "m3/s": "m3",
    "l/s": "l", "L/s": "L", "bit/s": "bit", "B/s": "B", "Hz": "1", "/s": "1", "1/s": "count", "kg/s": "kg",
    "/": "s", "count": "s", "1": "s", "kat": "mol",
}  # fmt: skip
"""The unit of a sum over time, where it has a name."""


def _fraction(text: str) -> Fraction:
    """Read ``a``, ``a/b`` or ``a*b/c``."""
    product, _, divisor = text.partition("/")
    value = Fraction(1)
    for factor in product.split("*"):
        value *= Fraction(factor)
    return value / Fraction(divisor or "1")


def _read_table() -> dict[str, _Scale]:
    scales = {}
    for line in _TABLE.strip().splitlines():
        dimension, _, units = line.partition(": ")
        for unit in units.split("; "):
            code, factor, *offset = unit.split(" ")
            scales[code] = _Scale(dimension, _fraction(factor), _fraction(offset[0]) if offset else Fraction(0))
    return scales


_SCALES = _read_table()
# A sound pressure level is written as a plain level in UCUM: the decibel of 20 uPa is the only one that cities mean.
_LEVELS = {"level", "sound level"}


def known(code: str) -> bool:
    """Tell whether a unit is in the table."""
    return code in _SCALES


@lru_cache(maxsize=CONVERSIONS_CACHED_MAX)
def conversion(given: str, wanted: str) -> Conversion | None:
    """Return how a value comes into another unit, or nothing where that makes no sense.

    An empty ``given`` is the wanted unit.
    """
    if not given or given == wanted:
        return SAME
    source, target = _SCALES.get(given), _SCALES.get(wanted)
    if source is None or target is None:
        return None
    if source.dimension != target.dimension and not {source.dimension, target.dimension} <= _LEVELS:
        return None
    factor = source.factor / target.factor
    offset = (source.offset - target.offset) / target.factor
    return Conversion(float(factor.numerator), float(factor.denominator), float(offset))
