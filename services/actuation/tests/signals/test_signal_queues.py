"""Whose queue it is that covers an upstream loop."""

from typing import Any

import pytest

from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.estimate import LoopReading
from maasloop.actuation.domain.signals.perception import Perception
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet

EMPTY = LoopReading(0, 0.0)
COVERED = LoopReading(0, 1.0)


@pytest.fixture
def joined(sheet_data: dict[str, Any]) -> Sheet:
    """Return the crossing where a side road joins a and b: most are expected to go to a."""
    side = {"id": "side", "position": "upstream", "distance_m": 80.0, "serves": [["lane-a", 0.5], ["lane-b", 0.02]]}
    return read_sheet(sheet_data | {"detectors": [*sheet_data["detectors"], side]})


def standing_on_the_side_road(sheet: Sheet, *, green: str, covered: tuple[str, ...]) -> Perception:
    """Return what is known after half a minute in which one group was green and these loops were covered."""
    perception = Perception(sheet)
    for second in range(1, 31):
        told = {one.id: COVERED if one.id in covered else EMPTY for one in sheet.detectors}
        perception.hear(second, told, dict.fromkeys(sheet.group, Aspect.RED) | {green: Aspect.GREEN})
    return perception


def test_who_stands_on_a_side_road_does_not_wait_for_a_free_lane(joined: Sheet) -> None:
    """Most go to a, but a is green and empty: they wait for b, where somebody stands."""
    lanes = standing_on_the_side_road(joined, green="a", covered=("side", "loop-b-stop-line")).lanes

    assert lanes["lane-a"].queue < 0.1
    assert lanes["lane-b"].queue > 10


def test_who_stands_on_a_side_road_waits_for_the_lane_that_most_go_to(joined: Sheet) -> None:
    """While a is red they may as well wait for a; of b no more is known than that somebody stands there."""
    lanes = standing_on_the_side_road(joined, green="c", covered=("side", "loop-b-stop-line")).lanes

    assert lanes["lane-a"].queue > 10
    assert lanes["lane-b"].queue == 1


def test_where_nobody_stands_at_the_line_the_side_road_waits_for_something_else(joined: Sheet) -> None:
    """With a free and nobody at the line of b they may wait for a gap at their own junction."""
    lanes = standing_on_the_side_road(joined, green="a", covered=("side",)).lanes

    assert lanes["lane-a"].queue + lanes["lane-b"].queue < 0.1
