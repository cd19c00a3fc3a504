"""A database with the schemas of all six services, rows of two districts, and a reader of one of them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from maasloop.postgres.migrate import migrate, of_package
from maasloop.stack.servers.databases import SERVICES, role_name
from maasloop.testing.databases import TestDatabases
from maasloop.testing.endpoints import TimescaleEndpoint
from maasloop.testing.providers import provide_timescale

READER = "reader_of_own"
STRANGER = "reader_of_nothing"
OWN, FOREIGN = "own-district", "foreign-district"
MARK = "foreign-"
"""Begins every text that only the foreign district has."""
NUMBER = 666_000
"""Lies below every number that only the foreign district has."""
DAYS, DEVICES = 10, 4
_MODULES = {service: f"maasloop.{service.replace('-', '_')}" for service in SERVICES}

_ROWS = f"""
    SET search_path = timeseries, public;
    INSERT INTO series (district, device, observed_property, kind, retention, personal)
    SELECT place.district, place.prefix || 'device-' || n, kinds.property, kinds.kind, '90d', kinds.personal
    FROM (VALUES ('{OWN}', ''), ('{FOREIGN}', '{MARK}')) AS place (district, prefix)
    CROSS JOIN generate_series(1, {DEVICES}) AS n
    CROSS JOIN (VALUES ('pm25', 'numbers', false), ('heart-rate', 'numbers', true), ('signal-state', 'states', false),
        ('position', 'positions', false)) AS kinds (property, kind, personal);
    INSERT INTO numbers_90d (time, receipt_time, value, series)
    SELECT t, t, CASE WHEN s.district = '{OWN}' THEN 1 ELSE {NUMBER} END + s.id, s.id FROM series AS s,
        generate_series('2026-01-01Z'::timestamptz, '2026-01-01Z'::timestamptz + '{DAYS} days', '6 hours') AS t
        WHERE s.kind = 'numbers';
    INSERT INTO states_90d (time, receipt_time, state, series)
    SELECT '2026-01-02Z', '2026-01-02Z', s.device, s.id FROM series AS s WHERE s.kind = 'states';
    INSERT INTO positions_90d (time, receipt_time, longitude, latitude, series)
    SELECT '2026-01-02Z', '2026-01-02Z', CASE WHEN s.district = '{OWN}' THEN 1 ELSE {NUMBER} END, 51, s.id
    FROM series AS s WHERE s.kind = 'positions';
    ANALYZE numbers_90d, series;
"""


@dataclass(frozen=True, slots=True)
class ReaderCity:
    """The database."""

    server: TimescaleEndpoint
    name: str

    def dsn(self, role: str = "postgres") -> str:
        """Return how a role connects."""
        return self.server.dsn(self.name, role)

    def chunks(self) -> list[str]:
        """Return the chunks of the numbers, by their full names."""
        with psycopg.connect(self.dsn()) as superuser:
            found = superuser.execute("SELECT show_chunks('timeseries.numbers_90d')::text").fetchall()
        return [str(chunk) for (chunk,) in found]


@contextmanager
def reader_city() -> Iterator[ReaderCity]:
    """Start a server, or take the given one, and fill a database."""
    with provide_timescale() as server:
        databases = TestDatabases(server)
        databases.prepare()
        city = ReaderCity(server, databases.create())
        try:
            with asyncio.Runner() as runner:
                for service, module in _MODULES.items():
                    runner.run(migrate(city.dsn(role_name(service)), of_package(module)))
            fill(city)
            yield city
        finally:
            databases.drop(city.name)
            databases.close()
            _forget(server)


def fill(city: ReaderCity) -> None:
    """Write the rows, and admit the reader as a city does."""
    with psycopg.connect(city.dsn(), autocommit=True) as superuser:
        superuser.execute(_ROWS.encode())
        for role in (READER, STRANGER):
            superuser.execute(f"DROP ROLE IF EXISTS {role}".encode())
            superuser.execute(f"CREATE ROLE {role} LOGIN".encode())
    with psycopg.connect(city.dsn(role_name("timeseries")), autocommit=True) as timeseries:
        timeseries.execute("SELECT admit_reader(%s, %s)", [READER, [OWN]])


def _forget(server: TimescaleEndpoint) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as superuser:
        for role in (READER, STRANGER):
            superuser.execute(f"DROP ROLE IF EXISTS {role}".encode())
