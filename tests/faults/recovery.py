"""How long after a fault the platform works at its old rate again, from samples of two counters that only grow."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SHARE = 0.9
"""Of the rate before, at which it counts as recovered."""
WINDOW_S = 0.5
"""Time in which the rate must be reached; it is part of the recovery time that is told."""
BEFORE_S = 3.0
"""Time before a fault from which the old rate is taken."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was counted at a moment."""

    at_s: float
    acknowledged: int
    settled: int
    """Readings in the custody balance: rows, most of all."""


def rate(samples: Sequence[Sample], start_s: float, end_s: float) -> float:
    """Return acknowledged readings a second between two moments."""
    times = np.array([sample.at_s for sample in samples])
    counts = np.array([sample.acknowledged for sample in samples], np.float64)
    start, end = np.interp([start_s, end_s], times, counts)
    return float(end - start) / (end_s - start_s)


def recovery_s(samples: Sequence[Sample], fault_s: float, before: float) -> float | None:
    """Return the time from a fault to the end of the first window of good work.

    A window lies wholly after the fault, and in it readings are acknowledged and settled at 90 % of the old rate. None
    when there is none within the samples.
    """
    times = np.array([sample.at_s for sample in samples])
    good = times - WINDOW_S >= fault_s
    for counts in (
        np.array([sample.acknowledged for sample in samples], np.float64),
        np.array([sample.settled for sample in samples], np.float64),
    ):
        gained = counts - np.interp(times - WINDOW_S, times, counts)
        good &= gained >= SHARE * before * WINDOW_S
    return float(times[good][0] - fault_s) if good.any() else None


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, int(np.ceil(share * len(ordered))) - 1)] if ordered else 0.0
