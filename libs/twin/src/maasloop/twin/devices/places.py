"""From the plane of a road network to longitude and latitude.

Networks cut from a map carry their UTM zone and offset; made-up ones are laid down in Maastricht.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from maasloop.twin.devices.readings import Position

ToPosition = Callable[[float, float], Position]

HOME = Position(5.6910, 50.8514)
METRES_PER_DEGREE = 111_320.0
# WGS 84 and the UTM grid.
_RADIUS_M = 6_378_137.0
_ECCENTRICITY_2 = 0.00669437999014
_SCALE = 0.9996
_FALSE_EASTING_M = 500_000.0


def positions_of(net: Any) -> ToPosition:
    """Return the function that maps x and y of this network, in metres, to a place."""
    location = net._location  # noqa: SLF001 - sumolib gives the projection only together with pyproj
    zone = re.search(r"\+proj=utm \+zone=(\d+)", location.get("projParameter", ""))
    if zone is None:
        return lambda x, y: _near(HOME, x, y)
    east_m, north_m = (float(part) for part in location["netOffset"].split(","))
    return lambda x, y: _from_utm(x - east_m, y - north_m, int(zone.group(1)))


def _near(origin: Position, x: float, y: float) -> Position:
    longitude = origin.longitude + x / (METRES_PER_DEGREE * math.cos(math.radians(origin.latitude)))
    return Position(round(longitude, 7), round(origin.latitude + y / METRES_PER_DEGREE, 7))


def _from_utm(easting_m: float, northing_m: float, zone: int) -> Position:
    """Invert the UTM projection (Snyder, Map projections: a working manual, 1987, equations 8-12 to 8-25), north only."""
    e2 = _ECCENTRICITY_2
    second_e2 = e2 / (1 - e2)
    mu = northing_m / _SCALE / (_RADIUS_M * (1 - e2 / 4 - 3 * e2**2 / 64 - 5 * e2**3 / 256))
    e1 = (1 - math.sqrt(1 - e2)) / (1 + math.sqrt(1 - e2))
    foot = (
        mu
        + (3 * e1 / 2 - 27 * e1**3 / 32) * math.sin(2 * mu)
        + (21 * e1**2 / 16 - 55 * e1**4 / 32) * math.sin(4 * mu)
        + 151 * e1**3 / 96 * math.sin(6 * mu)
    )
    sine, cosine, tangent2 = math.sin(foot), math.cos(foot), math.tan(foot) ** 2
    c = second_e2 * cosine**2
    n = _RADIUS_M / math.sqrt(1 - e2 * sine**2)
    r = _RADIUS_M * (1 - e2) / (1 - e2 * sine**2) ** 1.5
    d = (easting_m - _FALSE_EASTING_M) / (n * _SCALE)
    bend = d**2 / 2 - (5 + 3 * tangent2 + 10 * c - 4 * c**2 - 9 * second_e2) * d**4 / 24
    latitude = foot - n * math.tan(foot) / r * bend
    turn = d - (1 + 2 * tangent2 + c) * d**3 / 6
    longitude = math.radians(zone * 6 - 183) + turn / cosine
    return Position(round(math.degrees(longitude), 7), round(math.degrees(latitude), 7))
