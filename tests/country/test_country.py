"""The simulated country: the same for a seed, its partitions those of timeseries, its report what the command writes."""

import math
import random
import zlib

import pytest
from tests.country import __main__ as simulation
from tests.country import cities, model
from tests.country.cities import City, District

from maasloop.stack.capacity import UTILISATION, Costs

WRITER = 1_000.0


def _city(*loads: float) -> City:
    districts = [District(f"d-{number}", load) for number, load in enumerate(loads)]
    return City("one", 1, 1, 1, districts)


def test_the_report_is_what_the_command_writes() -> None:
    """Costs or assumptions that changed need `make sim-scale` again."""
    assert simulation.REPORT.read_text(encoding="utf-8") == simulation.report(simulation.SEED, Costs.read())


def test_a_seed_gives_one_country() -> None:
    """Sizes follow the rank-size rule, and districts add up to what stands in their city."""
    country = cities.country(1)
    assert country == cities.country(1)
    assert country != cities.country(2)
    assert [city.people for city in country[:3]] == [1_800_000, 900_000, 600_000]
    largest = country[0]
    assert largest.readings_per_s == pytest.approx(600 * 16 + 360_000 * 2 / 300 + 1_800 / 60)


def test_districts_are_never_divided() -> None:
    """Each load is in the partition of its district's checksum, and all of it is somewhere."""
    city = _city(1.0, 2.0, 4.0, 8.0)
    loads = model.partition_loads(city, 3)
    assert sum(loads) == pytest.approx(15.0)
    for district in city.districts:
        assert loads[zlib.crc32(district.name.encode()) % 3] >= district.readings_per_s


def test_as_few_partitions_as_keep_to_the_plan() -> None:
    """A small city has one writer; a larger one has as many as no writer is beyond its plan with."""
    assert model.divide(_city(100.0, 100.0), WRITER).partitions == 1
    many = _city(*([50.0] * 60))
    found = model.divide(many, WRITER)
    assert found.fits
    assert found.partitions >= math.ceil(3_000 / (WRITER * UTILISATION))
    assert max(model.partition_loads(many, found.partitions)) <= WRITER * UTILISATION


def test_a_district_larger_than_a_writer_fits_nowhere() -> None:
    """More partitions do not help a hot district, and the answer says so."""
    found = model.divide(_city(900.0, 10.0, 10.0), WRITER)
    assert not found.fits
    assert found.busiest > 1.0
    assert found.hot_factor == pytest.approx(1.0, abs=0.15)


def test_what_waited_is_caught_up_with_by_what_is_spare() -> None:
    """Ten seconds of half a writer's load are caught up with in ten; a full writer never is."""
    city = _city(500.0)
    half = model.outages([city], {"one": model.divide(city, WRITER)}, WRITER, random.Random(1))
    assert half
    assert all(one.caught_up_s == pytest.approx(one.seconds) for one in half)
    full = _city(1_000.0)
    never = model.outages([full], {"one": model.divide(full, WRITER)}, WRITER, random.Random(1))
    assert all(math.isinf(one.caught_up_s) for one in never)


def test_what_breaks_first_stands_first() -> None:
    """Limits are ordered by the figure at which they are reached."""
    costs = Costs.read()
    for door in costs.reading_cpu_ms:
        figures = [figure for _, figure, _ in model.limits(costs, door)]
        assert figures == sorted(figures)
        assert all(figure > 0 for figure in figures)
