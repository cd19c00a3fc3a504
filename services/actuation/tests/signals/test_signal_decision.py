"""What is told of a decision: what was compared, and who waits."""

from dataclasses import replace

from maasloop.actuation.domain.signal_decision import STAGES_TOLD_MAX, called_groups, told_stages
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.controller import Ask, Controller, Hold
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.state import JunctionState
from maasloop.actuation.domain.signals.traffic.estimate import LoopReading


def _decided(sheet: Sheet) -> tuple[JunctionState, Hold | Ask]:
    """Let somebody stand at c while everything is red, and decide."""
    controller = Controller(sheet)
    aspects = dict.fromkeys(sheet.group, Aspect.RED)
    state = JunctionState.first_seen(sheet, 0, aspects)
    for second in range(1, 8):
        readings = {one.id: LoopReading(0, 0.0) for one in sheet.detectors}
        readings["loop-c-stop-line"] = LoopReading(0, 1.0)
        state = state.observe(second, aspects, controller.hear(second, readings, aspects))
    decision = controller.decide(state)
    assert isinstance(decision, Hold | Ask)
    return state, decision


def test_the_stages_compared_are_told_best_first(sheet: Sheet) -> None:
    """What is asked for leads the comparison, with its index, and at most so many stages follow."""
    _, decision = _decided(sheet)
    told = told_stages(decision.ranked)

    assert isinstance(decision, Ask)
    assert told[0].groups == ("c",)
    assert [one.index for one in told] == sorted((one.index for one in told), reverse=True)
    assert decision.reason.startswith(f"index {told[0].index:.3f}")
    assert len(told_stages(decision.ranked * STAGES_TOLD_MAX)) == STAGES_TOLD_MAX


def test_a_hold_without_a_comparison_tells_none(sheet: Sheet) -> None:
    """While a sequence runs nothing is compared."""
    state, _ = _decided(sheet)
    decision = Controller(sheet).decide(replace(state, busy_until_s=state.second_s + 9))

    assert isinstance(decision, Hold)
    assert told_stages(decision.ranked) == ()


def test_who_waits_is_told_with_the_time(sheet: Sheet) -> None:
    """A called group is told with how long it has been red and called; the others are not."""
    state, _ = _decided(sheet)
    (called,) = called_groups(state.groups, 9)

    assert called.group == "c"
    assert called.red_s == 9
    assert 0 < called.called_s < 9
