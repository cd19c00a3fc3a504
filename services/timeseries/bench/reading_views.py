"""What the views of readers cost against the tables themselves: the same questions by a reader and by the owner.

    .venv/bin/python services/timeseries/bench/reading_views.py

Rows are of two districts, half each; the median of several runs is told, by turns, on a server of its own.
"""

import asyncio
import statistics
import time
from typing import NamedTuple

import psycopg

from maasloop.postgres.migrate import migrate, of_package
from maasloop.stack.servers.databases import role_name
from maasloop.testing.databases import TestDatabases
from maasloop.testing.providers import provide_timescale

DEVICES, MINUTES, RUNS = 100, 6_000, 9
READER = "reader_of_a_bench"
_FILL = f"""
    INSERT INTO series (district, device, observed_property, kind, retention)
    SELECT district, 'device-' || n, 'pm25', 'numbers', '90d' FROM unnest(ARRAY ['noord', 'zuid']) AS district,
        generate_series(1, {DEVICES}) AS n;
    INSERT INTO numbers_90d (time, receipt_time, value, series)
    SELECT t, t, random(), s.id
    FROM generate_series('2026-01-01Z'::timestamptz, '2026-01-01Z'::timestamptz + '{MINUTES - 1} minutes', '1 minute') AS t,
        series AS s;
    ANALYZE;
"""  # noqa: S608 - made of the constants above
_TABLES = "series AS s JOIN numbers AS n ON n.series = s.id WHERE s.district = 'noord' AND NOT s.personal"
_VIEW = "timeseries.district_numbers WHERE true"
_DAY = " AND time >= '2026-01-02Z' AND time < '2026-01-03Z'"
_HOURS = "SELECT device, time_bucket('1 hour', time) AS b, avg(value)"


class Question(NamedTuple):
    """A query, but for where its rows come from."""

    name: str
    select: str
    condition: str
    group: str


QUESTIONS = (
    Question("hours of all devices, one day", _HOURS, _DAY, " GROUP BY 1, 2"),
    Question("hours of all devices, all days", _HOURS, "", " GROUP BY 1, 2"),
    Question("rows of one device, one day", "SELECT time, value", f" AND device = 'device-7'{_DAY}", " ORDER BY time"),
)


def main() -> None:
    """Fill, ask by turns, tell."""
    with provide_timescale() as server:
        databases = TestDatabases(server)
        databases.prepare()
        name = databases.create()
        owner = server.dsn(name, role_name("timeseries"))
        asyncio.run(migrate(owner, of_package("maasloop.timeseries")))
        with psycopg.connect(server.dsn(name), autocommit=True) as superuser:
            superuser.execute(f"CREATE ROLE {READER} LOGIN".encode())
        with psycopg.connect(owner, autocommit=True) as filling:
            filling.execute(_FILL.encode())
            filling.execute("SELECT admit_reader(%s, ARRAY ['noord'])", [READER])
        print(f"{2 * DEVICES * MINUTES:,} rows, median of {RUNS}")
        with (
            psycopg.connect(owner, autocommit=True) as tables,
            psycopg.connect(server.dsn(name, READER), autocommit=True) as view,
        ):
            for question in QUESTIONS:
                _ask(question, tables, view)
        databases.drop(name)
        databases.close()
        with psycopg.connect(server.dsn(), autocommit=True) as superuser:
            superuser.execute(f"DROP ROLE {READER}".encode())


def _ask(question: Question, tables: psycopg.Connection, view: psycopg.Connection) -> None:
    direct: list[float] = []
    through: list[float] = []
    for _ in range(RUNS):
        for connection, source, took in ((tables, _TABLES, direct), (view, _VIEW, through)):
            began_s = time.perf_counter()
            connection.execute(
                f"{question.select} FROM {source}{question.condition}{question.group}".encode()
            ).fetchall()
            took.append(time.perf_counter() - began_s)
    before, after = statistics.median(direct) * 1_000, statistics.median(through) * 1_000
    print(f"{question.name}: tables {before:.1f} ms, view {after:.1f} ms, {100 * (after / before - 1):+.0f} %")


if __name__ == "__main__":
    main()
