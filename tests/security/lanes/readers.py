"""Readers of one district and services of one schema, at the database itself: nobody sees a row of another's by any SQL."""

import asyncio

import psycopg
from tests.security.outcome import Outcome, Plan
from tests.security.readers import attacks
from tests.security.readers.city import READER, STRANGER, ReaderCity, reader_city

from maasloop.stack.servers.databases import SERVICES, role_name

LANE = "readers"
CHUNK_GRANT_LEFT = "chunk-grant-left"
NOTED_MAX = 20


async def run(plan: Plan) -> Outcome:
    """Try everything; psycopg waits in a thread of its own."""
    return await asyncio.to_thread(_run, plan)


def _run(plan: Plan) -> Outcome:
    with reader_city() as city:
        if plan.sabotage == CHUNK_GRANT_LEFT:
            with psycopg.connect(city.dsn(), autocommit=True) as superuser:
                superuser.execute(f"GRANT USAGE ON SCHEMA _timescaledb_internal TO {READER}".encode())
                superuser.execute(f"GRANT SELECT ON {city.chunks()[0]} TO {READER}".encode())
        own_rows = {view: _own_rows(city, READER, view) for view in attacks.VIEWS}
        tried, leaks = 0, []
        for role in (READER, STRANGER):
            for attempt in attacks.of_reader(city):
                tried += 1
                _, shown = attacks.seen(city, role, attempt)
                if attacks.foreign(shown):
                    leaks.append(f"{role}: {'; '.join(attempt)}"[:200])
        crossed = []
        for service in SERVICES:
            for attempt in attacks.of_service(city, service):
                tried += 1
                allowed, _ = attacks.seen(city, role_name(service), attempt)
                if allowed:
                    crossed.append(f"{service}: {'; '.join(attempt)}")
        rights = _foreign_rights(city)
    return Outcome.of(
        LANE,
        {
            "a reader sees its own rows in every view": all(own_rows.values()),
            "no reader sees a foreign row": not leaks,
            "no service reaches another's tables": not crossed,
            "nobody has a right on a table or chunk of the hypertables": not rights,
        },
        figures={"sql_attempts": tried, "sql_foreign_rows": len(leaks) + len(crossed)},
        notes=(*leaks[:NOTED_MAX], *crossed[:NOTED_MAX], *(f"right left: {right}" for right in rights[:NOTED_MAX])),
    )


def _own_rows(city: ReaderCity, role: str, view: str) -> int:
    with psycopg.connect(city.dsn(role)) as connection:
        found = connection.execute(f"SELECT count(*) FROM timeseries.{view}".encode()).fetchone()
    return int(found[0]) if found else 0


def _foreign_rights(city: ReaderCity) -> list[str]:
    """Return what the service's own view of left-over rights shows."""
    with psycopg.connect(city.dsn(role_name("timeseries"))) as connection:
        found = connection.execute("SELECT relation, grantee, privilege FROM foreign_rights").fetchall()
    return [" ".join(row) for row in found]
