"""The fake clock behaves as the machine's, only that the test moves it."""

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from maasloop.core.clock import FakeClock, SystemClock, from_us, to_us

EPOCH, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@given(st.timedeltas(min_value=timedelta(0), max_value=LAST - EPOCH))
def test_microseconds_are_exact(since: timedelta) -> None:
    """A time survives its microseconds without rounding."""
    moment = EPOCH + since

    assert moment == from_us(to_us(moment))


async def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    """Advancing over several deadlines wakes the earliest first."""
    clock = FakeClock()
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(clock.monotonic_s())

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (3.0, 1.0, 2.0)]
    await asyncio.sleep(0)
    await clock.advance(5.0)
    await asyncio.gather(*tasks)

    assert woken == [1.0, 2.0, 3.0]
    assert clock.monotonic_s() == 5.0


def test_the_system_clock_is_aware_and_agrees_with_itself() -> None:
    """Wall time carries UTC, and its two forms name the same moment."""
    clock = SystemClock()

    assert clock.now().tzinfo == UTC
    assert abs(clock.now_us() - to_us(clock.now())) < 1_000_000
