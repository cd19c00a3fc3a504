"""Times survive the change of form, and impossible ones are refused."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from maasloop.core.errors import InvalidArgument
from maasloop.rpc import times


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_comes_back_equal(moment: datetime) -> None:
    """To the microsecond, over all years that Python knows."""
    timestamp = times.timestamp_from(moment)

    assert times.datetime_from(timestamp) == moment
    assert timestamp.ToDatetime(tzinfo=UTC) == moment


def test_nanoseconds_are_cut_off() -> None:
    """Microseconds are the finest that is stored."""
    assert times.us_from_timestamp(Timestamp(seconds=1, nanos=1_999)) == 1_000_001


@pytest.mark.parametrize(
    "timestamp",
    [
        Timestamp(seconds=253_402_300_800),
        Timestamp(seconds=-62_135_596_801),
        Timestamp(nanos=-1),
        Timestamp(nanos=10**9),
    ],
)
def test_an_impossible_time_is_refused_with_its_field(timestamp: Timestamp) -> None:
    """What neither Python nor PostgreSQL can say never gets past the door."""
    with pytest.raises(InvalidArgument) as caught:
        times.us_from_timestamp(timestamp, "event_time")
    assert caught.value.metadata["field"] == "event_time"


@given(st.integers(-(10**15), 10**15))
def test_a_duration_comes_back_to_the_microsecond(us: int) -> None:
    """Seconds as a float survive within a microsecond."""
    assert times.s_from_duration(times.duration_from_s(us / 1e6)) == pytest.approx(us / 1e6, abs=1e-6)
