"""Seconds are released once, in order, complete or late."""

from hypothesis import given
from hypothesis import strategies as st

from maasloop.actuation.domain.barrier import PATIENCE_S, SECONDS_MAX, Barrier

SENT = {"traffic": 3, "light": 1}


STEPS = st.lists(
    st.tuples(st.sampled_from(["traffic", "light", "air", "announce", "wait"]), st.integers(100, 106)), max_size=60
)


@given(STEPS)
def test_each_second_is_released_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    """However readings, announcements and time mix: releases rise, and only an incomplete one is late."""
    barrier, now_s, released = Barrier(), 0.0, []
    for kind, second in steps:
        if kind == "announce":
            barrier.announce(second, SENT, now_s)
        elif kind == "wait":
            now_s += PATIENCE_S
        else:
            barrier.count(second, kind, 1)
        while (ready := barrier.ready(now_s)) is not None:
            released.append(ready)
            assert ready.late == (ready.counted < ready.announced) or ready.late

    seconds = [one.second for one in released]
    assert seconds == sorted(set(seconds))


def test_a_complete_second_does_not_wait() -> None:
    """The last announced reading releases a second at once, whether it comes before or after the announcement."""
    barrier = Barrier()
    barrier.count(100, "traffic", 3)
    barrier.announce(100, SENT, 0.0)
    before = barrier.ready(0.0)
    barrier.count(100, "light", 1)
    after = barrier.ready(0.0)

    assert before is None
    assert after is not None
    assert (after.counted, after.announced, after.late) == (4, 4, False)


def test_patience_ends() -> None:
    """A second that stays incomplete is released late after the patience."""
    barrier = Barrier()
    barrier.announce(100, SENT, 10.0)

    assert barrier.ready(10.0 + PATIENCE_S - 0.1) is None
    ready = barrier.ready(10.0 + PATIENCE_S)
    assert ready is not None
    assert (ready.counted, ready.late) == (0, True)


def test_readings_of_other_domains_do_not_complete_a_second() -> None:
    """What is too much in one domain does not make up for what lacks in another."""
    barrier = Barrier()
    barrier.count(100, "traffic", 10)
    barrier.announce(100, SENT, 0.0)

    assert barrier.ready(0.0) is None


def test_seconds_that_nobody_announces_are_given_up() -> None:
    """Counting has a bound."""
    barrier = Barrier()
    for second in range(SECONDS_MAX * 2):
        barrier.count(second, "traffic", 1)

    assert len(barrier._seconds) <= SECONDS_MAX
