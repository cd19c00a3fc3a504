"""Predictions of signal changes are judged by a recorded run; a wrong one is counted as such."""

import statistics

import pytest
from tests.signals.predictions import Score, score
from tests.signals.scale import recordings

from maasloop.actuation.domain.signals.prediction import Change

pytestmark = pytest.mark.timeout(120)
"""A process that loads SUMO, on a machine that may be busy."""


def test_predictions_hold_as_often_as_they_say() -> None:
    """Of ten minutes of traffic what was certain came to the second, and the rest no less often than stated."""
    found = score(recordings("cologne1", "area", 600))

    assert found.judged > 1_000
    assert found.share >= max(0.8, statistics.fmean(found.confidences))
    assert found.certain > 100
    assert found.certain_kept == found.certain


def test_a_prediction_that_did_not_hold_is_counted() -> None:
    """A change before the first second, after the last one, or never within the recording, is a miss."""
    found = Score()
    change = Change(10, 12, 15, 0.9)
    for changed_s in (9, 10, 15, 16, None):
        found.judge(change, changed_s, 100)
    found.judge(Change(90, 95, 120, 0.9), None, 100)

    assert (found.judged, found.kept) == (5, 2)
