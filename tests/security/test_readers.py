"""The second wall, in PostgreSQL: it holds, and each way of leaving a hole in it is seen."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.security.lanes import readers
from tests.security.outcome import Plan, Result
from tests.security.readers import attacks
from tests.security.readers.city import FOREIGN, OWN, READER, ReaderCity, reader_city
from typer.testing import CliRunner

from maasloop.cli.main import build
from maasloop.core.errors import InvalidArgument
from maasloop.stack.servers import readers as readers_of_sql
from maasloop.stack.servers.databases import role_name
from maasloop.stack.servers.passwords import RolePasswords

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


def test_the_operator_admits_readers_by_a_command(
    city: ReaderCity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new role reads its districts and no others, is listed, and reads nothing when its districts are taken away."""
    monkeypatch.setattr("maasloop.stack.servers.waiting.DATABASE", city.name)
    monkeypatch.setenv("MAASLOOP_CLI__POSTGRES_DSN", city.dsn())
    run = CliRunner().invoke
    admit = ["database", "admit", "weather", "--passwords", str(tmp_path / "made"), "--json"]
    try:
        dsn = json.loads(run(build(), [*admit, "--district", FOREIGN]).stdout)["dsn"]
        with psycopg.connect(dsn, autocommit=True) as reader:
            found = reader.execute("SELECT DISTINCT district FROM timeseries.district_numbers").fetchall()
            assert found == [(FOREIGN,)]
            assert {"reader": "weather", "districts": [FOREIGN]} in json.loads(
                run(build(), ["database", "readers", "--json"]).stdout
            )
            assert run(build(), admit).exit_code == 0
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute("SELECT * FROM timeseries.district_numbers")
        assert stat.S_IMODE((tmp_path / "made" / "weather.pgpass").stat().st_mode) == 0o600
        with pytest.raises(InvalidArgument, match="no name of a reader"):
            readers_of_sql.admit(city.dsn(), role_name("ingest"), [OWN], RolePasswords(tmp_path / "made"))
    finally:
        with psycopg.connect(city.dsn(), autocommit=True) as superuser:
            superuser.execute("DROP ROLE IF EXISTS weather")
