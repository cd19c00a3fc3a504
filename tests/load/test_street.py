"""The event times of the benches."""

import pytest
from tests.load.street import DAY_S, MINUTE_S, SECOND_US, WINDOW_S, Street

MIDNIGHT_S = 1_790_000_000 // DAY_S * DAY_S


@pytest.mark.parametrize("after_midnight_s", [0, 1, WINDOW_S - 1, WINDOW_S + MINUTE_S, DAY_S - 1])
def test_all_street_seconds_of_a_run_lie_in_one_day_and_are_young(after_midnight_s: int) -> None:
    """Whatever the hour, nothing is in the future, older than the live lane takes, or in another chunk."""
    now_s = MIDNIGHT_S + after_midnight_s
    street = Street(now_s)
    first_s = street.take(MINUTE_S) // SECOND_US
    last_s = street.take(WINDOW_S - 3 * MINUTE_S) // SECOND_US + WINDOW_S - 3 * MINUTE_S - 1
    assert first_s // DAY_S == last_s // DAY_S
    assert last_s < now_s
    assert now_s - first_s < 5.5 * 3_600


def test_no_street_second_is_dealt_twice() -> None:
    """Runs follow each other at whole minutes, and more than the window holds is refused."""
    street = Street(MIDNIGHT_S + DAY_S // 2)
    first = street.take(30)
    assert street.take(61) - first == MINUTE_S * SECOND_US
    assert first % (MINUTE_S * SECOND_US) == 0
    with pytest.raises(ValueError, match="street seconds"):
        street.take(WINDOW_S)
