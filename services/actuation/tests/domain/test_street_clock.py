"""The clock of a district."""

from maasloop.actuation.domain.street_clock import ClockKind, StreetClock

SECOND_US = 1_000_000


def test_a_field_clock_stands_still_until_it_is_silent_for_long() -> None:
    """Only the clock device moves it; silent for five seconds it runs on at wall speed."""
    clock = StreetClock(ClockKind.FIELD, "street-clock")
    clock.hear(100 * SECOND_US, 50.0)

    assert clock.now_us(0, 54.9) == 100 * SECOND_US
    assert clock.now_us(0, 57.0) == 102 * SECOND_US


def test_the_word_of_the_clock_device_is_the_time() -> None:
    """After a silence the device's time counts again, but it never goes back behind its own word."""
    clock = StreetClock(ClockKind.FIELD, "street-clock")
    clock.hear(100 * SECOND_US, 0.0)

    assert clock.hear(101 * SECOND_US, 60.0)
    assert clock.now_us(0, 60.0) == 101 * SECOND_US
    assert not clock.hear(99 * SECOND_US, 61.0)


def test_a_field_clock_that_was_never_heard_has_no_time() -> None:
    """Before the first word nothing can be judged."""
    assert StreetClock(ClockKind.FIELD, "street-clock").now_us(123, 1.0) == 0


def test_a_wall_clock_is_the_wall() -> None:
    """No device moves it."""
    clock = StreetClock()

    assert not clock.hear(5, 0.0)
    assert clock.now_us(123, 0.0) == 123
