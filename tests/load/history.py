"""History for the benches of reads: rows, newest observations and rollups of many series, made inside the database.

Through the doors ten million rows would take longer than the bench; what is written here is what the writer would have
left: rows and rollups in order of time, an hour at a time, as they lie when a city was recorded as it lived.
"""

from datetime import datetime, timedelta

from psycopg import AsyncConnection, sql

from maasloop.core.clock import SystemClock

DISTRICT = "history"
OBSERVED_PROPERTY = "vehicle-count"
RETENTION = "90d"
"""A class that keeps a fortnight."""

_SERIES = """
    INSERT INTO series (district, device, observed_property, kind, retention)
    SELECT {district}, 'loop-' || lpad(n::text, 6, '0'), {observed_property}, 'numbers', {retention}
    FROM generate_series(0, %(series)s - 1) AS n
    ON CONFLICT DO NOTHING
"""
_ROWS = """
    INSERT INTO {rows} (time, receipt_time, value, series)
    SELECT r.time, r.time + interval '80 ms', abs(hashint8(s.id * 7919::bigint + extract(epoch FROM r.time)::bigint)) %% 4000 / 100.0, s.id
    FROM generate_series(%(from)s::timestamptz, %(to)s::timestamptz - %(step)s, interval '1 hour') AS h (edge)
    CROSS JOIN series AS s
    CROSS JOIN LATERAL generate_series(
        date_bin(%(step)s, h.edge + %(step)s - interval '1 us', %(origin)s), h.edge + interval '1 hour' - interval '1 us', %(step)s
    ) AS r (time)
    WHERE s.district = {district}
    ORDER BY h.edge, s.id, r.time
"""
_MINUTES = """
    INSERT INTO {minutes} (time, series, count, sum, minimum, maximum, first, first_time, last, last_time)
    SELECT edge, series, count(*), sum(value), min(value), max(value), first(value, time), min(time), last(value, time), max(time)
    FROM (
        SELECT date_bin('1 minute', time, timestamptz '2000-01-03 00:00:00+00') AS edge, series, value, time FROM {rows}
        WHERE time >= %(from)s AND time < %(to)s
    ) AS r
    GROUP BY edge, series ORDER BY date_bin('1 hour', edge, timestamptz '2000-01-03 00:00:00+00'), series, edge
"""
_HOURS = """
    INSERT INTO {hours} (time, series, count, sum, minimum, maximum, first, first_time, last, last_time)
    SELECT edge, series, sum(count)::bigint, sum(sum), min(minimum), max(maximum), first(first, first_time),
        min(first_time), last(last, last_time), max(last_time)
    FROM (
        SELECT date_bin('1 hour', time, timestamptz '2000-01-03 00:00:00+00') AS edge, * FROM {minutes}
        WHERE time >= %(from)s AND time < %(to)s
    ) AS r
    GROUP BY edge, series ORDER BY edge, series
"""
_LATEST = """
    INSERT INTO latest (series, time, receipt_time, value, stored, late)
    SELECT s.id, r.time, r.receipt_time, r.value, %(rows_each)s, 0 FROM series AS s
    CROSS JOIN LATERAL (
        SELECT time, receipt_time, value FROM {rows} WHERE series = s.id AND time >= %(to)s - 10 * %(step)s
        ORDER BY time DESC LIMIT 1
    ) AS r
    WHERE s.district = {district}
    ON CONFLICT DO NOTHING
"""
_TABLES = ("series", "latest", f"numbers_{RETENTION}", f"minutes_{RETENTION}", f"hours_{RETENTION}")


async def fill(dsn: str, *, series: int, days: int, rows: int, end: datetime | None = None) -> datetime:
    """Fill the days before ``end`` with about ``rows`` readings of ``series`` series, and return the first moment.

    Without ``end`` the history ends with the last midnight, so that none of it is old enough to be dropped.
    Rows of a series lie at equal steps. The tables of the class must hold nothing of these series yet.
    """
    end = end or SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - timedelta(days=days)
    step = timedelta(days=days) * series / rows
    arguments = {"series": series, "step": step, "origin": start, "rows_each": rows // series}
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute("SET work_mem = '256MB'")
        await connection.execute(_of(_SERIES), arguments)
        for day in range(days):
            span = {"from": start + timedelta(days=day), "to": start + timedelta(days=day + 1)}
            for statement in (_ROWS, _MINUTES, _HOURS):
                await connection.execute(_of(statement), arguments | span)
        await connection.execute(_of(_LATEST), arguments | {"to": end})
        for table in _TABLES:
            await connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))
    return start


def _of(statement: str) -> sql.Composed:
    return sql.SQL(statement).format(  # type: ignore[arg-type, unused-ignore]
        district=sql.Literal(DISTRICT),
        observed_property=sql.Literal(OBSERVED_PROPERTY),
        retention=sql.Literal(RETENTION),
        rows=sql.Identifier(f"numbers_{RETENTION}"),
        minutes=sql.Identifier(f"minutes_{RETENTION}"),
        hours=sql.Identifier(f"hours_{RETENTION}"),
    )
