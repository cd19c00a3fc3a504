"""Where the lamps stand: evenly along the streets of a network, each on a street cabinet that speaks for it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import batched
from typing import Any

import sumolib

from maasloop.core.ids import to_id
from maasloop.twin.devices.lamp import LampFacts

LAMPS_PER_CABINET = 24
KERB_M = 4.0
EDGE_MIN_M = 8.0
SPACING_MIN_M = 20.0
ARTERIAL_MPS = 12.0
STREET_ID_LENGTH_MAX = 50

RESIDENTIAL = LampFacts(
    installed_power_w=36.0, standby_power_w=0.8, lighting_class="P4", class_level_percent=80.0, floor_percent=30.0
)
ARTERIAL = LampFacts(
    installed_power_w=84.0, standby_power_w=1.2, lighting_class="M4", class_level_percent=80.0, floor_percent=50.0
)


@dataclass(frozen=True, slots=True)
class LampPlace:
    """A lamp on its pole; x and y in metres in the plane of the network."""

    id: str
    x: float
    y: float
    street: str
    cabinet: str
    facts: LampFacts


@dataclass(frozen=True, slots=True)
class _Pole:
    x: float
    y: float
    street: str
    facts: LampFacts


def place_lamps(net: Any, count: int) -> list[LampPlace]:
    """Return about ``count`` lamps, fewer where they would crowd, ordered by cabinet; the same for the same network."""
    edges = [edge for edge in net.getEdges(withInternal=False) if edge.getLength() >= EDGE_MIN_M]
    edges.sort(key=lambda edge: (_street(edge), edge.getID()))
    spacing_m = max(SPACING_MIN_M, sum(edge.getLength() for edge in edges) / max(count, 1))
    poles = list(_poles(edges, spacing_m))
    places: list[LampPlace] = []
    for number, lot in enumerate(batched(poles, LAMPS_PER_CABINET), start=1):
        cabinet = f"cabinet-{number:02}"
        places += [
            LampPlace(f"lamp-{len(places) + offset:04}", pole.x, pole.y, pole.street, cabinet, pole.facts)
            for offset, pole in enumerate(lot, start=1)
        ]
    return places


def _poles(edges: list[Any], spacing_m: float) -> Iterator[_Pole]:
    left_m = spacing_m / 2
    for edge in edges:
        length_m = float(edge.getLength())
        facts = ARTERIAL if edge.getSpeed() > ARTERIAL_MPS and edge.getLaneNumber() > 1 else RESIDENTIAL
        kerb = sumolib.geomhelper.move2side(edge.getShape(), KERB_M)
        while left_m < length_m:
            x, y = sumolib.geomhelper.positionAtShapeOffset(kerb, min(left_m, length_m - 0.1))[:2]
            yield _Pole(float(x), float(y), _street(edge), facts)
            left_m += spacing_m
        left_m -= length_m


def _street(edge: Any) -> str:
    """Name the street: the edge without direction and section."""
    name = re.sub(r"#.*$", "", str(edge.getID()).removeprefix("-"))
    return f"street-{to_id(name)[:STREET_ID_LENGTH_MAX].strip('-')}"
