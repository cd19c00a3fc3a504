"""The history of the benches, before it is in a database."""

from datetime import UTC, datetime

import numpy as np
from tests.load.history import HOUR_US, MINUTE_US, Plan, rollups

END = datetime(2026, 3, 2, tzinfo=UTC)


def test_a_plan_has_the_rows_that_are_asked_for() -> None:
    """Every lot's hours together hold each moment once, and none crosses a midnight."""
    plan = Plan.of(END, series=1_000, days=14, rows=1_000_000)
    lots = plan.lots(1_000)
    moments = [plan.moments(hour_us, hour_us + HOUR_US) for lot in lots for hour_us in lot]
    assert sum(map(len, moments)) == 1_000
    assert np.array_equal(np.concatenate(moments), plan.moments(plan.start_us, plan.end_us))
    assert all(lot[0] // (24 * HOUR_US) == lot[-1] // (24 * HOUR_US) for lot in lots)


def test_buckets_without_a_reading_are_not_counted() -> None:
    """A reading every two hours fills every other hour."""
    plan = Plan.of(END, series=10, days=1, rows=120)
    assert plan.buckets(plan.start_us, plan.end_us, HOUR_US) == 12


def test_rollups_are_those_of_the_rows() -> None:
    """Count, sum, least, greatest, first and last of each bucket, by series and then time."""
    moments = np.array([0, 30, 60, 119], np.int64) * 1_000_000
    values = np.array([[1.0, 3.0, 2.0, 8.0], [5.0, 4.0, 7.0, 6.0]])
    found = rollups(np.array([4, 9], np.int32), moments, values, MINUTE_US)
    _, _, _, count, total, least, greatest, first, last, series = (column.tolist() for column in found)
    assert series == [4, 4, 9, 9]
    assert count == [2, 2, 2, 2]
    assert total == [4.0, 10.0, 9.0, 13.0]
    assert (least, greatest) == ([1.0, 2.0, 4.0, 6.0], [3.0, 8.0, 5.0, 7.0])
    assert (first, last) == ([1.0, 2.0, 5.0, 7.0], [3.0, 8.0, 4.0, 6.0])
