"""The clock of a district."""

from maasloop.core.clock import SECOND_US
from maasloop.core.street_clock import StreetClock


def test_a_field_clock_stands_still_until_it_is_silent_for_long() -> None:
    """Only the clock device moves it; silent for five seconds it runs on at wall speed."""
    clock = StreetClock("street-clock")
    clock.hear(100 * SECOND_US, 50.0)

    assert clock.now_us(0, 54.9) == 100 * SECOND_US
    assert clock.now_us(0, 57.0) == 102 * SECOND_US


def test_the_word_of_the_clock_device_is_the_time() -> None:
    """After a silence the device's time counts again, but it never goes back behind its own word."""
    clock = StreetClock("street-clock")
    clock.hear(100 * SECOND_US, 0.0)

    assert clock.hear(101 * SECOND_US, 60.0)
    assert clock.now_us(0, 60.0) == 101 * SECOND_US
    assert not clock.hear(99 * SECOND_US, 61.0)


def test_a_field_clock_that_was_never_heard_has_no_time() -> None:
    """Before the first word nothing can be judged."""
    assert StreetClock("street-clock").now_us(123, 1.0) == 0


def test_a_wall_clock_is_the_wall() -> None:
    """No device moves it."""
    clock = StreetClock()

    assert not clock.hear(5, 0.0)
    assert clock.now_us(123, 0.0) == 123


def test_another_clock_device_starts_afresh() -> None:
    """Its time has nothing to do with that of the one before; what was known from before a restart is kept."""
    clock = StreetClock()
    clock.resume(100 * SECOND_US, 0.0)
    clock.follow("street-clock")
    assert clock.now_us(0, 1.0) == 100 * SECOND_US

    clock.follow("other-clock")

    assert clock.now_us(0, 1.0) == 0
