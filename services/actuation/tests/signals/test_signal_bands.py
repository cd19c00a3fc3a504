"""The hand that steers a site by plan and bands: what it asks for, when, and that it may be asked for."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from maasloop.actuation.domain.signals.bands import AskBands, BandsDecision, BandsHand
from maasloop.actuation.domain.signals.bands_kernel import BandsRequest, judge_bands, record_bands
from maasloop.actuation.domain.signals.controller import Controller, Hold
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.site_plan import PlanState
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen

STAGES = ("GGrgr", "rrGrr", "rGrrr")
QUEUE_M = (2.0, 9.0, 16.0, 23.0, 30.0, 37.0)


def bands_data(*, on_demand: bool = True) -> dict[str, Any]:
    """Return a plan of three stages: a, b and d; then c; then b alone."""
    stages: list[dict[str, Any]] = [{"state": state, "green_s": 5, "band_s": 10, "band_max_s": 55} for state in STAGES]
    for number, stage in enumerate(stages, start=1):
        stage.update({"call_input": 2 * number - 1, "hold_input": 2 * number} if on_demand else {})
    return {"plan": 2, "stages": stages, "cycle_max_s": 100, "dead_man_s": 60, "interval_s": 1}


@pytest.fixture
def site(sheet_data: dict[str, Any]) -> Sheet:
    """Return the sheet of a crossing whose site has such a plan."""
    return read_sheet({**sheet_data, "bands": bands_data()})


class Site:
    """A junction that stays in one stage, seen second by second."""

    def __init__(self, sheet: Sheet, stage: int) -> None:
        self.sheet = sheet
        self.controller = Controller(sheet)
        self.hand = BandsHand(self.controller)
        self.aspects = sheet.read_state(STAGES[stage - 1])
        self.second = 100
        self.stage = stage
        self.state = JunctionState.first_seen(sheet, self.second, self.aspects)
        self.shown = PlanState.first_seen(self.second, 2, stage, on=True)
        self.asked: list[tuple[int, BandsRequest]] = []

    def live(self, seconds: int, queues: dict[str, Iterable[float]]) -> BandsDecision:
        """Let seconds pass in which vehicles stand on lanes; return the last decision."""
        decision: BandsDecision = Hold("nothing yet")
        for _ in range(seconds):
            self.second += 1
            seen = {
                f"lane-{name}": [
                    VehicleSeen(f"{name}{metres:g}", f"lane-{name}", metres, 0.0, name)
                    for metres in queues.get(name, ())
                ]
                for name in self.sheet.group
            }
            called = self.controller.hear(self.second, {}, self.aspects, seen)
            self.state = self.state.observe(self.second, self.aspects, called)
            plan = self.sheet.bands
            assert plan is not None
            self.shown = self.shown.observe(plan, self.second, 2, self.stage, on=True)
            decision = self.hand.decide(self.state, self.shown)
            if isinstance(decision, AskBands):
                assert judge_bands(self.sheet, self.state, self.shown, decision.request) is None
                self.state, self.shown = record_bands(self.state, self.shown, decision.request)
                self.asked.append((self.second, decision.request))
        return decision


def test_a_stage_that_serves_nobody_ends_for_one_that_does(site: Sheet) -> None:
    """Once the base green is over the stage is not held, and of the others only the one that somebody wants comes."""
    junction = Site(site, 1)
    junction.live(3, {"c": QUEUE_M})
    assert junction.asked == []
    junction.live(1, {"c": QUEUE_M})
    second, request = junction.asked[0]
    assert second == 104
    assert request.holds == {1: False}
    assert request.calls == {1: False, 2: True, 3: False}
    assert request.bands[2] > 0.0


def test_a_stage_that_serves_more_is_held(site: Sheet) -> None:
    """While its queue leaves, a stage keeps its band, as long as the cycle and the longest wait leave."""
    junction = Site(site, 1)
    junction.live(4, {"a": QUEUE_M, "b": QUEUE_M, "c": QUEUE_M[:1]})
    request = junction.asked[0][1]
    assert request.holds == {1: True}
    assert request.calls[2]
    assert request.bands[1] > 15.0


def test_nothing_is_sent_twice_without_need(site: Sheet) -> None:
    """The same wish is sent again only when half of the dead-man time is over."""
    junction = Site(site, 1)
    junction.live(60, {"a": QUEUE_M, "b": QUEUE_M})
    assert [second for second, _ in junction.asked] == [104, 134]


def test_requests_are_as_far_apart_as_the_site_wants(sheet_data: dict[str, Any]) -> None:
    """A change of mind waits until the site takes the next request."""
    junction = Site(read_sheet({**sheet_data, "bands": {**bands_data(), "interval_s": 7}}), 1)
    junction.live(4, {"a": QUEUE_M, "b": QUEUE_M})
    junction.live(8, {"c": QUEUE_M})
    assert [second for second, _ in junction.asked] == [104, 111]


def test_who_has_waited_long_is_called_whatever_serves_more(site: Sheet) -> None:
    """Beside heavy traffic on one road, a lone vehicle across is called before its longest wait is over."""
    junction = Site(site, 1)
    junction.live(60, {"a": QUEUE_M, "b": QUEUE_M, "c": QUEUE_M[:1]})
    ended = [second for second, request in junction.asked if request.holds.get(1) is False and request.calls[2]]
    band_s = junction.shown.band_s
    assert band_s is not None
    assert ended or 100 + 5 + band_s <= 101 + 120


def test_without_inputs_bands_follow_demand(sheet_data: dict[str, Any]) -> None:
    """Where stages come in any case, the busy one gets the longer band and the empty ones none."""
    junction = Site(read_sheet({**sheet_data, "bands": bands_data(on_demand=False)}), 1)
    junction.live(4, {"a": QUEUE_M, "c": QUEUE_M[:1]})
    request = junction.asked[0][1]
    assert (request.calls, request.holds) == ({}, {})
    assert request.bands[1] > 5.0
    assert (request.bands[2], request.bands[3]) == (0.0, 0.0)


def test_a_clearance_is_waited_for(site: Sheet) -> None:
    """Between two stages nothing is asked for."""
    junction = Site(site, 1)
    junction.live(3, {"c": QUEUE_M})
    junction.shown = replace(junction.shown, on=False)
    assert isinstance(junction.hand.decide(junction.state, junction.shown), Hold)


def test_who_offers_no_bands_gets_none(sheet: Sheet) -> None:
    """A sheet without such a plan has no second hand."""
    with pytest.raises(ValueError, match="declares no plan"):
        BandsHand(Controller(sheet))
