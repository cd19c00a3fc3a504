"""A small made-up crossing: two through roads, a left turn that gives way, a road across, and one nobody cleared."""

from typing import Any

import pytest

from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet

GROUPS = ("a", "b", "c", "d", "e")
CROSSING = (("a", "c"), ("b", "c"), ("c", "d"))


def group_data(name: str) -> dict[str, Any]:
    """Return one group as JSON data."""
    return {
        "id": name,
        "kind": "vehicle",
        "lanes": [f"lane-{name}"],
        "exits": ["out"] if name == "a" else [],
        "turn": "s",
        "yellow_s": 4,
        "all_red_s": 1,
        "minimum_green_s": 5,
        "maximum_green_s": 60,
        "maximum_wait_s": 120,
    }


def detector_data(name: str, position: str, distance_m: float) -> dict[str, Any]:
    """Return one loop as JSON data."""
    serves = [[f"lane-{name}", 1.0]]
    return {"id": f"loop-{name}-{position}", "position": position, "distance_m": distance_m, "serves": serves}


@pytest.fixture
def sheet_data() -> dict[str, Any]:
    """Return the sheet as JSON data: a, b and d may run together, d gives way to b, c crosses all, e is not declared."""
    return {
        "junction": "crossing",
        "groups": [group_data(name) for name in GROUPS],
        "compatible": [["a", "b"], ["a", "d"], ["b", "d"]],
        "conflicts": [list(pair) for pair in CROSSING],
        "yields": [["d", "b"]],
        "intergreens": [[x, y, 2 if x == "c" else 1] for pair in CROSSING for x, y in (pair, pair[::-1])],
        "lanes": [{"id": f"lane-{name}", "speed_mps": 13.89, "headway_s": 1.8, "storage_m": 80.0} for name in GROUPS],
        "exits": [{"id": "out"}],
        "detectors": [
            *(detector_data(name, "stop-line", 2.5) for name in GROUPS),
            *(detector_data(name, "upstream", 80.0) for name in GROUPS),
            {"id": "loop-exit", "position": "exit", "distance_m": 25.0, "serves": [["out", 1.0]]},
        ],
        "local": {
            "offset_s": 0,
            "steps": [
                {"state": "GGrgr", "duration_s": 20},
                {"state": "yyryr", "duration_s": 4},
                {"state": "rrrrr", "duration_s": 1},
                {"state": "rrGrr", "duration_s": 15},
                {"state": "rryrr", "duration_s": 4},
                {"state": "rrrrr", "duration_s": 2},
            ],
        },
        "notes": [],
    }


@pytest.fixture
def sheet(sheet_data: dict[str, Any]) -> Sheet:
    """Return the sheet of the crossing."""
    return read_sheet(sheet_data)
