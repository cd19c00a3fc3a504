"""Which stage a site is in is seen by its signals, and only when the clearance before it is over."""

from typing import Any

import pytest

from maasloop.actuation.domain.signals.plan_watch import watch
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.site_plan import PlanState
from maasloop.actuation.domain.signals.state import JunctionState

STAGES = ("GGrgr", "rrGrr", "rGrrr", "rrGrr")
CYCLE = (
    *("GGrgr" for _ in range(8)),
    *("yyryr" for _ in range(4)),
    "rrrrr",
    *("rrGrr" for _ in range(6)),
    *("rryrr" for _ in range(4)),
    *("rrrrr" for _ in range(2)),
    *("rGrrr" for _ in range(6)),
    *("ryrrr" for _ in range(4)),
    "rrrrr",
    *("rrGrr" for _ in range(6)),
)


@pytest.fixture
def site(sheet_data: dict[str, Any]) -> Sheet:
    """Return the sheet of a crossing whose plan shows one stage twice a cycle."""
    stages = [{"state": state, "green_s": 5, "band_s": 1, "band_max_s": 55} for state in STAGES]
    plan = {"plan": 2, "stages": stages, "cycle_max_s": 120, "dead_man_s": 60, "interval_s": 1}
    return read_sheet({**sheet_data, "bands": plan})


def _watched(sheet: Sheet, states: tuple[str, ...], plan: int = 2) -> list[PlanState]:
    state = JunctionState.first_seen(sheet, 0, sheet.read_state("rrrrr"))
    known: PlanState | None = None
    found = []
    for second, text in enumerate(states, start=1):
        state = state.observe(second, sheet.read_state(text))
        known = watch(sheet, known, state, plan)
        found.append(known)
    return found


def test_each_stage_is_known_from_its_first_second_on(site: Sheet) -> None:
    """The stage is on from its first green to its last, since then, and the repeated one is told by the order."""
    found = _watched(site, CYCLE)
    assert [one.stage if one.on else 0 for one in found] == [
        *[1] * 8,
        *[0] * 5,
        *[2] * 6,
        *[0] * 6,
        *[3] * 6,
        *[0] * 5,
        *[4] * 6,
    ]
    assert {one.since_s for one in found if one.on} == {1.0, 14.0, 26.0, 37.0}


def test_what_stays_green_in_a_clearance_is_no_stage(site: Sheet) -> None:
    """While others clear, the groups that stay green look like a stage of their own: they are not taken for one."""
    found = _watched(site, ("GGrgr",) * 6 + ("yGryr",) * 4 + ("rGrrr",) * 2)
    assert [one.stage if one.on else 0 for one in found] == [1] * 6 + [0] * 5 + [3]


def test_a_band_is_known_only_in_the_plan_that_it_is_of(site: Sheet) -> None:
    """In another plan nothing is known of how long a stage lasts."""
    assert _watched(site, CYCLE[:8])[-1].band_s == 55.0
    assert _watched(site, CYCLE[:8], plan=1)[-1].band_s is None


def test_a_sheet_without_such_a_plan_is_not_watched(sheet: Sheet) -> None:
    """There is nothing to be in."""
    state = JunctionState.first_seen(sheet, 0, sheet.read_state("rrrrr"))
    with pytest.raises(ValueError, match="declares no plan"):
        watch(sheet, None, state, 2)
