"""The second wall, in PostgreSQL: it holds, and each way of leaving a hole in it is seen."""

from collections.abc import Iterator

import psycopg
import pytest
from tests.security.lanes import readers
from tests.security.outcome import Plan, Result
from tests.security.readers import attacks
from tests.security.readers.city import FOREIGN, OWN, READER, ReaderCity, reader_city

from maasloop.stack.servers.databases import role_name

pytestmark = pytest.mark.integration


@pytest.fixture(name="city", scope="module")
def _city() -> Iterator[ReaderCity]:
    with reader_city() as city:
        yield city


def _leaks(city: ReaderCity) -> list[str]:
    found = (attempt for attempt in attacks.of_reader(city) if "district_" in attempt[-1] or "TABLE" in attempt[-1])
    return [str(attempt) for attempt in found if attacks.foreign(attacks.seen(city, READER, attempt)[1])]


def test_a_reader_sees_the_rows_of_its_district(city: ReaderCity) -> None:
    """Numbers, states and positions of its district, without those of personal series."""
    with psycopg.connect(city.dsn(READER)) as reader:
        found = reader.execute(
            "SELECT district, observed_property, count(*) FROM timeseries.district_numbers GROUP BY 1, 2"
        ).fetchall()

    assert [row[:2] for row in found] == [(OWN, "pm25")]
    assert _leaks(city) == []


def test_a_view_without_its_barrier_is_seen(city: ReaderCity) -> None:
    """Where a query's own function may see rows before the view's condition, the leaky one tells foreign rows."""
    owner = city.dsn(role_name("timeseries"))
    try:
        with psycopg.connect(owner, autocommit=True) as timeseries:
            for view in attacks.VIEWS:
                timeseries.execute(f"ALTER VIEW {view} RESET (security_barrier)".encode())
        assert _leaks(city)
    finally:
        with psycopg.connect(owner, autocommit=True) as timeseries:
            for view in attacks.VIEWS:
                timeseries.execute(f"ALTER VIEW {view} SET (security_barrier)".encode())


def test_districts_are_changed_and_taken_away(city: ReaderCity) -> None:
    """A reader admitted elsewhere sees that district alone, and none when its districts are taken away."""
    with (
        psycopg.connect(city.dsn(role_name("timeseries")), autocommit=True) as timeseries,
        psycopg.connect(city.dsn(READER), autocommit=True) as reader,
    ):
        timeseries.execute("SELECT admit_reader(%s, %s)", [READER, [FOREIGN]])
        found = reader.execute("SELECT DISTINCT district FROM timeseries.district_numbers").fetchall()
        assert found == [(FOREIGN,)]
        timeseries.execute("SELECT admit_reader(%s, '{}')", [READER])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("SELECT * FROM timeseries.district_numbers")
        timeseries.execute("SELECT admit_reader(%s, %s)", [READER, [OWN]])


def test_who_has_the_services_rights_is_no_reader(city: ReaderCity) -> None:
    """A role that could read the tables themselves is not admitted."""
    with (
        psycopg.connect(city.dsn(role_name("timeseries"))) as timeseries,
        pytest.raises(psycopg.errors.RaiseException, match="every district"),
    ):
        timeseries.execute("SELECT admit_reader('postgres', %s)", [[OWN]])


async def test_a_chunk_grant_that_was_left_is_seen() -> None:
    """The fault that the lane is there to find is found: rows of a chunk, and the right itself."""
    outcome = await readers.run(Plan(7, 0.02, readers.CHUNK_GRANT_LEFT))

    assert outcome.result is Result.BROKEN
    assert any("right left: _timescaledb_internal" in note for note in outcome.notes)
    assert outcome.figures["sql_foreign_rows"] > 0
