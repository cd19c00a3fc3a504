"""Figures of a district: all its devices together by observed property, against sums over the rows themselves."""

import random
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pytest

from maasloop.api.observation.v1.series_service_pb2 import AggregateObservationsResponse, ReadAggregatesResponse
from maasloop.bus.streams import PERSONAL_ROWS
from maasloop.core.clock import SystemClock
from maasloop.core.domains import PERSONAL as PERSONAL_KEY
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.timeseries.adapters.postgres_aggregates import PostgresAggregates
from maasloop.timeseries.adapters.postgres_reads import PostgresReader
from maasloop.timeseries.entrypoints import answers
from maasloop.timeseries.handlers import aggregate_observations
from maasloop.timeseries.handlers.aggregate_observations import AggregateObservations
from maasloop.timeseries.ports.reading import Buckets, GapFill, Selection

if TYPE_CHECKING:
    from services.timeseries.tests.conftest import Reading, Rig

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
BEGIN_US = SystemClock().now_us() // HOUR_US * HOUR_US - 4 * HOUR_US
START_US, END_US = BEGIN_US + 7 * SECOND_US, BEGIN_US + 3 * HOUR_US - 11 * SECOND_US
"""Ragged ends: neither whole hours nor whole minutes."""
PERSON = "walker"

type _Figures = dict[tuple[str, int], tuple[int, float, float, float]]


class Persons:
    """All may be seen: the person consents."""

    def ready(self) -> bool:
        """Tell that it is known whose devices are."""
        return True

    def of_person(self, _district: str, device: str) -> bool:
        """Tell whether a device is a person's."""
        return device == PERSON

    def visible(self, _district: str, _device: str, *, personal: bool) -> bool:
        """Tell that a device may be seen."""
        return True


def _aggregate(rig: "Rig") -> AggregateObservations:
    return AggregateObservations(PostgresReader(rig.pool), PostgresAggregates(rig.pool), Persons(), SystemClock())


async def _together(rig: "Rig", width_s: int, fill: GapFill = GapFill.OMIT, *, end_us: int = END_US) -> Buckets:
    found = _aggregate(rig).together(Selection("noord"), START_US, end_us, width_s, fill, buckets_max=100_000)
    (buckets,) = [each async for each in found]
    return buckets


def _figures(buckets: Buckets) -> _Figures:
    names = [each.observed_property for each in buckets.series]
    rows = zip(
        buckets.series_index.tolist(), buckets.start_us.tolist(), buckets.count.tolist(), buckets.mean.tolist(),
        buckets.minimum.tolist(), buckets.maximum.tolist(), strict=True,
    )  # fmt: skip
    return {(names[place], start_us): figures for place, start_us, *figures in rows}  # type: ignore[misc]  # four numbers


def _expected(readings: list["Reading"], width_s: int, end_us: int = END_US) -> _Figures:
    values = defaultdict(list)
    width_us = width_s * SECOND_US
    for _, observed_property, time_us, value in readings:
        if START_US <= time_us < end_us:
            # Widths of this test divide an hour, so that edges are counted from any whole hour.
            values[observed_property, BEGIN_US + (time_us - BEGIN_US) // width_us * width_us].append(value)
    return {key: (len(each), float(np.mean(each)), min(each), max(each)) for key, each in values.items()}


async def _stored(rig: "Rig") -> list["Reading"]:
    """Store readings of twenty devices, and some of a person under either key."""
    chance = random.Random(7)
    readings: list[Reading] = [
        (f"d{number % 20}", chance.choice(("pm25", "vehicle-count")), BEGIN_US + chance.randrange(3 * HOUR_US), value)
        for number, value in enumerate(chance.uniform(-5, 50) for _ in range(3_000))
    ]
    async with rig.writing(), rig.writing(PERSONAL_ROWS):
        await rig.publish(*readings)
        await rig.publish((PERSON, "pm25", BEGIN_US + HOUR_US, 1e9))
        await rig.publish(("runner", "pm25", BEGIN_US + HOUR_US, 1e9), key=PERSONAL_KEY)
        await rig.until_accepted(len(readings) + 2)
    return readings


async def test_figures_of_a_district_are_those_of_all_its_readings(rig: "Rig") -> None:
    """Whatever they are read from; readings of persons are never in them, though they may be seen."""
    readings = await _stored(rig)

    for width_s in (10, 60, 300, 3_600):
        found, expected = _figures(await _together(rig, width_s)), _expected(readings, width_s)
        assert found.keys() == expected.keys()
        for key, figures in expected.items():
            assert found[key] == pytest.approx(figures)


async def test_the_figures_travel_without_a_device(rig: "Rig") -> None:
    """Both answers name the observed property only, and tell of no first and last reading."""
    readings = await _stored(rig)
    end_us = BEGIN_US + 5 * HOUR_US
    buckets = await _together(rig, 3_600, GapFill.EMPTY, end_us=end_us)
    expected = _expected(readings, 3_600, end_us)

    found = AggregateObservationsResponse.FromString(answers.series_buckets("noord", buckets)).series
    (columns,) = [ReadAggregatesResponse.FromString(each) for each in answers.aggregate_columns("noord", buckets)]

    names = ["observedProperties/pm25", "observedProperties/vehicle-count"]
    assert [(each.device, each.observed_property) for each in found] == [("", name) for name in names]
    assert [(each.device, each.observed_property) for each in columns.series] == [("", name) for name in names]
    assert [each.count for each in found[0].buckets] == [
        expected.get(("pm25", BEGIN_US + hour * HOUR_US), (0,))[0] for hour in range(5)
    ]
    assert not found[0].buckets[0].HasField("first")
    assert [each.HasField("mean") for each in found[0].buckets] == [True] * 3 + [False] * 2
    assert sum(columns.count) == sum(count for count, *_ in expected.values())


async def test_what_is_too_much_is_refused_before_it_is_read(rig: "Rig", monkeypatch: pytest.MonkeyPatch) -> None:
    """More buckets or series than the limit, and gaps that have no one to be filled from, are refused with a hint."""
    await _stored(rig)
    for limit, width_s, hint in (
        ("BUCKETS_TOGETHER_MAX", 10, "bucket of"),
        ("SERIES_TOGETHER_MAX", 60, "name devices"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(aggregate_observations, limit, 10)
            with pytest.raises(InvalidArgument) as refusal:
                await _together(rig, width_s)
        assert refusal.value.reason == Reason.RANGE_TOO_LONG
        assert hint in refusal.value.metadata["hint"]

    with pytest.raises(InvalidArgument) as refusal:
        await _together(rig, 60, GapFill.LAST)
    assert (refusal.value.reason, refusal.value.metadata["field"]) == (Reason.REQUEST_INVALID, "gap_fill")
