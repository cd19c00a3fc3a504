"""The stages that a junction can show: who may be green together."""

import copy
from typing import Any

import pytest

from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.stages import SHORT_ROAD_M, stages_of


@pytest.mark.parametrize(
    ("storage_m", "fed", "together"),
    [(SHORT_ROAD_M - 1.0, True, False), (SHORT_ROAD_M - 1.0, False, True), (SHORT_ROAD_M, True, True)],
)
def test_nobody_gives_way_on_a_short_road(
    sheet_data: dict[str, Any], storage_m: float, *, fed: bool, together: bool
) -> None:
    """Who gives way may be green beside the others, unless it waits on a short road that begins at another signal."""
    data = copy.deepcopy(sheet_data)
    next(lane for lane in data["lanes"] if lane["id"] == "lane-d")["storage_m"] = storage_m
    if fed:
        data["detectors"].append(
            {"id": "feeder", "position": "feeder", "distance_m": storage_m, "serves": [["lane-d", 1.0]]}
        )
    stages = stages_of(read_sheet(data))

    assert any({"b", "d"} <= stage for stage in stages) is together
    assert all(any(name in stage for stage in stages) for name in "abcd")
