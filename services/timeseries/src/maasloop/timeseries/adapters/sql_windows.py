"""Statements about the open window and of rollups that are made again. Names of tables are filled in where they are used."""

# Shared by transactions of a partition that merge at once, so that a writer that makes its rollups again sees the rows of
# each, or none.
SHARE = "SELECT pg_advisory_xact_lock_shared(hashtext('maasloop.timeseries.rollups'), %s)"
ALONE = "SELECT pg_advisory_xact_lock(hashtext('maasloop.timeseries.rollups'), %s)"
MOVE = """
    UPDATE rollup_windows AS w SET open_from = k.open_from
    FROM unnest(%s::text[], %s::timestamptz[]) AS k (retention, open_from)
    WHERE w.retention = k.retention AND w.partition = %s AND w.owner = %s
"""
TAKE_OVER = """
    UPDATE rollup_windows SET owner = owner + 1 WHERE partition = %s RETURNING retention, open_from, owner
"""
OPEN_FROM = """
    SELECT p.partitions, w.partition, w.retention, w.open_from FROM rollup_windows AS w CROSS JOIN partitioning AS p
    WHERE w.open_from IS NOT NULL
"""
DISTRICTS = "SELECT DISTINCT district FROM series"
# The minute after the newest number of each class, in some districts.
NEWEST = """
    SELECT s.retention, date_bin('1 minute', max(l.time), '2000-01-03 00:00:00+00') + interval '1 minute'
    FROM latest AS l JOIN series AS s ON s.id = l.series
    WHERE s.kind = 'numbers' AND s.district = ANY(%s) GROUP BY s.retention
"""
MAKE_TIME = "SET LOCAL statement_timeout = '60s'"
FORGET = """
    DELETE FROM {table} WHERE time >= %(start)s AND time < %(end)s
        AND series IN (SELECT id FROM series WHERE district = ANY(%(districts)s))
"""
MAKE_MINUTES = """
    INSERT INTO {table} (series, time, first_time, last_time, count, sum, minimum, maximum, first, last)
    SELECT series, date_bin('1 minute', time, '2000-01-03 00:00:00+00'), min(time), max(time), count(*),
        CASE WHEN count(*) = 1 THEN min(value) WHEN bool_or(abs(value) > 1e290) THEN 'Infinity'
            ELSE sum(value) FILTER (WHERE abs(value) <= 1e290) END,
        min(value), max(value), first(value, time), last(value, time)
    FROM {source} WHERE time >= %(start)s AND time < %(end)s
        AND series IN (SELECT id FROM series WHERE district = ANY(%(districts)s))
    GROUP BY 1, 2
"""
MAKE_HOURS = """
    INSERT INTO {table} (series, time, first_time, last_time, count, sum, minimum, maximum, first, last)
    SELECT series, %(start)s, min(first_time), max(last_time), sum(count)::bigint,
        CASE WHEN count(*) = 1 THEN min(sum) WHEN bool_or(abs(sum) > 1e290) THEN 'Infinity'
            ELSE sum(sum) FILTER (WHERE abs(sum) <= 1e290) END,
        min(minimum), max(maximum), first(first, first_time), last(last, last_time)
    FROM {source} WHERE time >= %(start)s AND time < %(end)s
        AND series IN (SELECT id FROM series WHERE district = ANY(%(districts)s))
    GROUP BY series
"""
