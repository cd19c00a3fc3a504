"""When groups are predicted to change: what is certain, what bounds the rest, and what is learned."""

from dataclasses import replace

import pytest

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.kernel import SequenceRequest, SequenceStep
from maasloop.actuation.domain.signals.prediction import GUESS_CONFIDENCE, Change, Predictor
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.state import JunctionState, Lease

ALL_RED = dict.fromkeys("abcde", Aspect.RED)
A_GREEN = ALL_RED | {"a": Aspect.GREEN}
A_YELLOW = ALL_RED | {"a": Aspect.YELLOW}
C_GREEN = ALL_RED | {"c": Aspect.GREEN}
LOCAL = ("GGrgr", "yyryr", "rrrrr", "rrGrr", "rryrr", "rrrrr")


def _request(begins: int) -> SequenceRequest:
    """End a and begin c: yellow at once, red after 4 s, green of c after 6 s."""
    steps = (SequenceStep(0, A_YELLOW), SequenceStep(4, ALL_RED), SequenceStep(6, C_GREEN))
    return SequenceRequest("crossing", steps, A_GREEN, begins, begins + 60, "controller", Authority.ADAPTIVE)


def _shown(sheet: Sheet, *texts: tuple[int, str]) -> tuple[Predictor, JunctionState]:
    """Show texts, each from a second on, the last one for one second."""
    predictor = Predictor(sheet)
    state: JunctionState | None = None
    for (begins, text), (ends, _) in zip(texts, (*texts[1:], (texts[-1][0] + 1, "")), strict=True):
        for second in range(begins, ends):
            aspects = sheet.read_state(text)
            first = JunctionState.first_seen(sheet, second, aspects)
            state = first if state is None else state.observe(second, aspects)
            predictor.hear(state)
    assert state is not None
    return predictor, state


def test_a_running_sequence_is_certain(sheet: Sheet) -> None:
    """Groups that the sequence changes are known to the second; of the others nothing comes before its end."""
    predictor, state = _shown(sheet, (0, "Grrrr"), (10, "Grrrr"))
    changes = predictor.predict(
        replace(state, busy_until_s=17, lease=Lease("controller", Authority.ADAPTIVE, 71)), _request(11)
    )

    assert changes["a"] == Change(11, 11, 11, 1.0)
    assert changes["c"] == Change(17, 17, 17, 1.0)
    # What conflicts with c has to wait for its minimum green, yellow and intergreen.
    assert changes["b"].earliest_s >= 17 + 5 + 4 + 1
    assert changes["b"].confidence < 1.0


def test_nothing_comes_before_minimum_green_and_clearance(sheet: Sheet) -> None:
    """A green ends neither before its minimum nor within the next second; a foe begins after it and the clearance."""
    predictor, state = _shown(sheet, (0, "rrrrr"), (10, "Grrrr"))
    changes = predictor.predict(replace(state, lease=Lease("controller", Authority.ADAPTIVE, 40)), None)

    assert changes["a"].earliest_s == 15
    assert changes["c"].earliest_s == 15 + 4 + 1
    assert changes["a"].confidence == GUESS_CONFIDENCE


def test_who_is_called_waits_no_longer_than_the_maximum(sheet: Sheet) -> None:
    """The last second of a called red is that of the maximum wait."""
    predictor, state = _shown(sheet, (0, "Grrrr"), (100, "Grrrr"))
    groups = dict(state.groups) | {"c": replace(state.groups["c"], called_since_s=5.0)}
    changes = predictor.predict(replace(state, groups=groups, lease=Lease("controller", Authority.ADAPTIVE, 140)), None)

    assert changes["c"].latest_s == 5 + 120


def test_a_released_junction_follows_its_local_programme(sheet: Sheet) -> None:
    """Where nobody interrupts, each change is that of the plan, also where two of its steps look alike."""
    predictor, state = _shown(sheet, (0, "rryrr"), (4, "rrrrr"), (6, "GGrgr"), (26, "yyryr"), (30, "rrrrr"))
    changes = predictor.predict(state, None, local_until_s=1e9)

    assert changes["c"] == Change(31, 31, 31, 1.0)
    assert changes["a"] == Change(31 + 15 + 4 + 2, 52, 52, 1.0)


def test_an_interrupted_local_programme_is_certain_while_it_clears(sheet: Sheet) -> None:
    """A controller takes over in a stage only: what a clearance leads to is certain, what follows is not."""
    predictor, state = _shown(sheet, (0, "rrrrr"), (6, "GGrgr"), (26, "yyryr"))
    changes = predictor.predict(state, None)

    assert changes["a"] == Change(30, 30, 30, 1.0)
    assert changes["c"].confidence < 1.0


def test_a_site_that_plays_another_plan_is_not_taken_for_its_local_programme(sheet: Sheet) -> None:
    """Where bands stretch the stages nothing is certain, although the same states are shown."""
    predictor, state = _shown(sheet, (0, "rrrrr"), (6, "GGrgr"), (26, "yyryr"))
    changes = predictor.predict(state, None, local_until_s=None)

    assert [one for one in changes.values() if one.confidence == 1.0] == []
    assert changes["a"].earliest_s == 27


def test_what_lasted_so_long_before_is_expected_again(sheet: Sheet) -> None:
    """With greens of 10 to 14 s behind it, a green is expected to end with the longest at the latest."""
    texts: list[tuple[int, str]] = [(0, "rrrrr")]
    for green_s in (10, 11, 12, 13, 14):
        begins = texts[-1][0] + 20
        texts += [(begins, "Grrrr"), (begins + green_s, "yrrrr"), (begins + green_s + 4, "rrrrr")]
    texts.append((texts[-1][0] + 20, "Grrrr"))
    predictor, state = _shown(sheet, *texts)
    begins = texts[-1][0]
    change = predictor.predict(replace(state, lease=Lease("controller", Authority.ADAPTIVE, 1e9)), None)["a"]

    assert (change.earliest_s, change.likely_s, change.latest_s) == (begins + 5, begins + 12, begins + 14)
    assert change.confidence == pytest.approx(5 / 6)


def test_nothing_is_said_of_a_dark_group(sheet: Sheet) -> None:
    """A dark signal has no next change that anybody knows."""
    predictor, state = _shown(sheet, (0, "OOOOO"), (3, "OOOOO"))

    assert predictor.predict(state, None) == {}
