"""What a reader of one district tries, as SQL: each statement may fail, or show rows of the own district."""

from collections.abc import Iterator

import psycopg
from psycopg import sql
from tests.security.readers.city import FOREIGN, MARK, NUMBER, ReaderCity

from maasloop.stack.servers.databases import SERVICES, role_name, schema_name

VIEWS = ("district_numbers", "district_states", "district_positions")
_LEAKY = """
    CREATE FUNCTION pg_temp.tell(text, anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
    $$ BEGIN RAISE NOTICE 'seen % %', $1, $2; RETURN true; END $$
"""
_SETTINGS = (
    "SET ROLE maasloop_timeseries",
    "SET SESSION AUTHORIZATION maasloop_timeseries",
    "SELECT set_config('role', 'maasloop_timeseries', false)",
    "SELECT set_config('session_authorization', 'postgres', false)",
    f"SET maasloop.district = '{FOREIGN}'",
    "SET row_security = off",
    "SET search_path = pg_temp, timeseries",
    "CREATE TEMP TABLE readers AS SELECT current_user AS role, unnest(ARRAY ['own-district', 'foreign-district']) AS district",
)


def relations(city: ReaderCity) -> list[str]:
    """Return every table, view and chunk that the services own, by its full name."""
    with psycopg.connect(city.dsn()) as superuser:
        found = superuser.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner"
            " WHERE r.rolname = ANY(%s) AND c.relkind IN ('r', 'v', 'p', 'm') ORDER BY 1",
            [[role_name(service) for service in SERVICES]],
        ).fetchall()
    return [str(name) for (name,) in found]


def of_reader(city: ReaderCity) -> Iterator[tuple[str, ...]]:
    """Yield what a reader tries; the statements of one attempt share a connection."""
    for relation in relations(city):
        yield (f"SELECT * FROM {relation}",)
        yield (f"COPY {relation} TO STDOUT",)
        yield (f"COPY (SELECT * FROM {relation}) TO STDOUT",)
    for setting in _SETTINGS:
        for view in VIEWS:
            yield (setting, f"SELECT * FROM timeseries.{view}")
    for view, column in zip(VIEWS, ("value", "state", "longitude"), strict=True):
        yield (_LEAKY, f"SELECT * FROM timeseries.{view} WHERE pg_temp.tell(device, {column})")
        yield (_LEAKY, f"SELECT * FROM timeseries.{view} WHERE pg_temp.tell(device, 0)")
        yield (_LEAKY, f"SELECT count(*) FROM timeseries.{view} GROUP BY pg_temp.tell(district, {column})")
        yield (f"SELECT * FROM timeseries.{view} WHERE district = '{FOREIGN}'",)
        yield (f"SELECT * FROM timeseries.{view} WHERE device::xml IS NOT NULL",)
        yield (f"COPY timeseries.{view} TO STDOUT",)
    yield (f"SELECT * FROM timeseries.district_numbers WHERE 1 / (value - {NUMBER} - 18)::int > 0",)
    yield ("SELECT * FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",)
    yield ("SELECT * FROM pg_stats_ext",)
    yield ("SELECT most_common_vals FROM pg_statistic",)
    yield (
        "SELECT timeseries.admit_reader(current_user, ARRAY ['foreign-district'])",
        "TABLE timeseries.district_numbers",
    )
    yield (
        "INSERT INTO timeseries.readers VALUES (current_user, 'foreign-district')",
        "TABLE timeseries.district_numbers",
    )
    yield ("CREATE VIEW pg_temp.all_numbers AS SELECT * FROM timeseries.numbers", "TABLE pg_temp.all_numbers")
    yield ("GRANT maasloop_timeseries TO current_user", "SET ROLE maasloop_timeseries", "TABLE timeseries.numbers")
    yield ("SELECT pg_read_file('/etc/passwd')",)
    yield ("SELECT lo_import('/etc/passwd')",)
    yield ("COPY (SELECT 1) TO PROGRAM 'cat /etc/passwd'",)


def of_service(city: ReaderCity, service: str) -> Iterator[tuple[str, ...]]:
    """Yield what the role of a service tries on everything that other services own."""
    own = f"{schema_name(service)}."
    with psycopg.connect(city.dsn()) as superuser:
        mine = superuser.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner WHERE r.rolname = %s",
            [role_name(service)],
        ).fetchall()
    owned = {str(name) for (name,) in mine}
    for relation in relations(city):
        if relation not in owned and not relation.startswith(own):
            yield (f"SELECT * FROM {relation}",)
            yield (f"DELETE FROM {relation}",)


def seen(city: ReaderCity, role: str, attempt: tuple[str, ...]) -> tuple[bool, str]:
    """Make an attempt and return whether its last statement was allowed, and all that it showed: rows, notices, errors."""
    shown: list[str] = []
    allowed = False
    with psycopg.connect(city.dsn(role), autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: shown.append(str(notice.message_primary)))
        for statement in attempt:
            allowed = False
            try:
                shown += _rows(connection, statement)
                allowed = True
            except psycopg.Error as error:
                shown.append(str(error))
    return allowed, "\n".join(shown)


def foreign(text: str) -> bool:
    """Tell whether a text holds what only the foreign district has, beyond what the attempt itself said."""
    return f"{MARK}device" in text or f"{NUMBER}"[:3] in text


def _rows(connection: psycopg.Connection, statement: str) -> list[str]:
    query = sql.SQL(statement)
    if statement.startswith("COPY"):
        with connection.cursor().copy(query) as copied:
            return [str(bytes(part), "utf-8", "replace") for part in copied]
    cursor = connection.execute(query)
    return [str(row) for row in cursor.fetchall()] if cursor.description else []
