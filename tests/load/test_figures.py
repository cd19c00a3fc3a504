"""The arithmetic of the benches."""

import math

import pytest
from tests.load import figures
from tests.load.processes import Samples


def test_a_percentile_is_a_sample_that_so_many_do_not_exceed() -> None:
    """Nearest rank: the 99th of 100 samples, never a value between two."""
    samples = [float(number) for number in range(100, 0, -1)]
    assert figures.percentile(samples, 99) == 99.0
    assert figures.percentile(samples, 50) == 50.0
    assert figures.percentile([3.0], 99) == 3.0
    assert math.isnan(figures.percentile([], 50))


def test_the_slope_of_a_straight_line_is_its_own() -> None:
    """Least squares finds the line that the points lie on, and 0 where there is none."""
    assert figures.slope([0, 1, 2, 3], [5, 7, 9, 11]) == pytest.approx(2)
    assert figures.slope_an_hour([0, 10, 20], [1.0, 1.1, 1.2]) == pytest.approx(36)
    assert figures.slope([4], [1]) == 0.0
    assert figures.slope([], []) == 0.0
    with pytest.raises(ValueError, match="places"):
        figures.slope([1, 2], [1])


def test_a_cost_that_does_not_grow_has_exponent_0() -> None:
    """The exponent is 1 for what grows as the size does, and 0 for what stays."""
    assert figures.growth_exponent([1e6, 1e7, 1e8], [2.0, 2.0, 2.0]) == pytest.approx(0)
    assert figures.growth_exponent([1e6, 1e7, 1e8], [1.0, 10.0, 100.0]) == pytest.approx(1)


def test_a_limit_is_told_as_met_or_not_met() -> None:
    """A figure beside its limit says which it is; a figure that is missing is never met."""
    told = {"ratio": 0.79, "p99": {"median": 5.0, "min": 1, "max": 9}}
    assert figures.judged("ratio", told, at_least=0.8).endswith("NOT MET")
    assert figures.judged("ratio", told, at_least=0.7).endswith(" met")
    assert figures.judged("p99", told, at_most=5.0).endswith(" met")
    assert "not measured" in figures.judged("other", told, at_most=1.0)


def test_memory_is_told_by_sixths_of_a_run() -> None:
    """Growth that ends shows in the last ones, which a slope over everything hides; a part without samples is left out."""
    samples = Samples()
    samples.memory_mib["nats"] = [10.0, 20.0, 30.0, 40.0, 40.0, 40.0, 40.0]
    samples.memory_mib["ingest"] = [7.0]

    assert samples.memory_by_sixth() == {"nats": [10, 20, 30, 40, 40, 40], "ingest": [7]}
