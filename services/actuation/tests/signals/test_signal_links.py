"""Queue and travel time of a lane from what the controller knows of it."""

import pytest

from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.traffic.estimate import Expected, LaneEstimate
from maasloop.actuation.domain.signals.traffic.links import LinkMeter


def _lanes(sheet: Sheet, *, vehicles: int, rate: float) -> dict[str, LaneEstimate]:
    lanes = {one.id: LaneEstimate(one.id, one.speed_mps, one.headway_s, one.storage_m, {}) for one in sheet.lanes}
    lanes["lane-a"].vehicles.extend(Expected(0.0, 1.0) for _ in range(vehicles))
    lanes["lane-a"].rate = rate
    return lanes


def test_travel_time_is_those_there_by_those_who_come(sheet: Sheet) -> None:
    """Six vehicles on a lane to which one comes every 5 s take half a minute each; an empty lane is driven freely."""
    meter, lanes = LinkMeter(sheet), _lanes(sheet, vehicles=6, rate=0.2)
    for _ in range(3_600):
        meter.hear(lanes)
    links = {one.detector: one for one in meter.links(lanes)}

    assert links["loop-a-stop-line"].queue == 6
    assert links["loop-a-stop-line"].travel_s == pytest.approx(30.0, rel=0.01)
    assert links["loop-b-stop-line"].queue == 0
    assert links["loop-b-stop-line"].travel_s == pytest.approx(80 / 13.89)


def test_nobody_is_faster_than_allowed(sheet: Sheet) -> None:
    """A single vehicle that just came does not make the lane faster than its speed limit, however many follow."""
    meter, lanes = LinkMeter(sheet), _lanes(sheet, vehicles=1, rate=0.5)
    meter.hear(lanes)

    assert meter.links(lanes)[0].travel_s == pytest.approx(80 / 13.89)


def test_a_lane_to_which_hardly_anybody_comes_has_no_mean(sheet: Sheet) -> None:
    """One parked vehicle on an empty road is no travel time of an hour."""
    meter, lanes = LinkMeter(sheet), _lanes(sheet, vehicles=1, rate=0.0001)
    for _ in range(3_600):
        meter.hear(lanes)

    assert meter.links(lanes)[0].travel_s == pytest.approx(80 / 13.89)
