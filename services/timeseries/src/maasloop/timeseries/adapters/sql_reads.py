"""Statements of readers. Names of tables are filled in by ``postgres_reads``."""

SERIES = """
    SELECT id, device, observed_property, kind, retention, personal FROM series
    WHERE district = %(district)s
        AND (%(devices)s::text[] = '{}' OR device = ANY(%(devices)s))
        AND (%(properties)s::text[] = '{}' OR observed_property = ANY(%(properties)s))
        AND (%(after_device)s::text IS NULL OR (device COLLATE "C", observed_property COLLATE "C", id)
            > (%(after_device)s, %(after_property)s, %(after_id)s))
    ORDER BY device COLLATE "C", observed_property COLLATE "C", id
    LIMIT %(size)s
"""
NEWEST = """
    SELECT k.place, r.time, r.receipt_time, {result}
    FROM unnest(%s::integer[]) WITH ORDINALITY AS k (id, place)
    LEFT JOIN newest AS h ON h.series = k.id
    CROSS JOIN LATERAL (
        SELECT time, receipt_time, {result} FROM {table}
        WHERE series = k.id AND time >= coalesce(h.event_time, '-infinity')
        ORDER BY time DESC LIMIT 1
    ) AS r
"""
# Rows leave as bytes of whole columns, so that nobody loops over them: big-endian microseconds since 2000, and doubles.
RANGE_NUMBERS = """
    SELECT string_agg(timestamptz_send(time), ''), string_agg(float8send(value), '')
    FROM (
        SELECT time, value FROM {table} WHERE series = %s AND time >= %s AND time < %s ORDER BY time LIMIT %s
    ) AS r
"""
RANGE_OTHERS = """
    SELECT time, {result} FROM {table} WHERE series = %s AND time >= %s AND time < %s ORDER BY time LIMIT %s
"""
FIGURES = """
    SELECT series, date_bin(%(width)s, time, timestamptz '2000-01-03 00:00:00+00') AS edge, count(*) AS count,
        avg(value) AS mean, min(value) AS minimum, max(value) AS maximum,
        first(value, time) AS first, last(value, time) AS last
    FROM {table} WHERE series = ANY(%(ids)s) AND time >= %(start)s AND time < %(end)s
    GROUP BY series, edge
"""
EDGES = """
    WITH figures AS ({figures}), edges AS (
        SELECT k.series, e.edge
        FROM unnest(%(ids)s::integer[]) AS k (series)
        CROSS JOIN generate_series(
            date_bin(%(width)s, %(start)s, timestamptz '2000-01-03 00:00:00+00'),
            %(end)s - interval '1 microsecond', %(width)s
        ) AS e (edge)
    ), filled AS (
        SELECT series, edge, coalesce(count, 0) AS count, mean, minimum, maximum, first, last
        FROM edges LEFT JOIN figures USING (series, edge)
    )
"""
BUCKETS = """
    SELECT series, edge, count, mean, minimum, maximum, first, last FROM ({figures}) AS f
    ORDER BY series, edge LIMIT %(limit)s
"""
BUCKETS_EMPTY = """
    {edges} SELECT series, edge, count, mean, minimum, maximum, first, last FROM filled ORDER BY series, edge
"""
BUCKETS_LAST = """
    {edges}, runs AS (
        SELECT filled.*, count(last) OVER (PARTITION BY series ORDER BY edge) AS run FROM filled
    ), carried AS (
        SELECT runs.*, first_value(last) OVER (PARTITION BY series, run ORDER BY edge) AS before FROM runs
    )
    SELECT series, edge, count, coalesce(mean, before), coalesce(minimum, before), coalesce(maximum, before),
        coalesce(first, before), coalesce(last, before)
    FROM carried ORDER BY series, edge
"""
BUCKETS_LINEAR = """
    {edges}, runs AS (
        SELECT filled.*,
            count(mean) OVER (PARTITION BY series ORDER BY edge) AS run_before,
            count(mean) OVER (PARTITION BY series ORDER BY edge DESC) AS run_after
        FROM filled
    ), neighbours AS (
        SELECT runs.*,
            first_value(mean) OVER before AS mean_before, first_value(edge) OVER before AS edge_before,
            first_value(mean) OVER after AS mean_after, first_value(edge) OVER after AS edge_after
        FROM runs
        WINDOW before AS (PARTITION BY series, run_before ORDER BY edge),
            after AS (PARTITION BY series, run_after ORDER BY edge DESC)
    )
    SELECT series, edge, count,
        coalesce(mean, CASE WHEN run_before > 0 AND run_after > 0 THEN
            mean_before + (mean_after - mean_before)
                * extract(epoch FROM edge - edge_before)::double precision
                / extract(epoch FROM edge_after - edge_before)::double precision
        END),
        minimum, maximum, first, last
    FROM neighbours ORDER BY series, edge
"""
TERMS = """
    SELECT coalesce(sum(accepted), 0)::bigint, coalesce(sum(stored), 0)::bigint, coalesce(sum(duplicate), 0)::bigint,
        coalesce(sum(conflict), 0)::bigint, coalesce(sum(quarantined), 0)::bigint,
        coalesce(sum(refused_consent), 0)::bigint, coalesce(sum(shed), 0)::bigint,
        coalesce(sum(dead_lettered), 0)::bigint
    FROM custody WHERE %(district)s = '' OR district = %(district)s
"""
LOST = "SELECT coalesce(sum(lost), 0)::bigint FROM producers WHERE %(district)s = ''"
STORED_UPTO = """
    SELECT DISTINCT ON (stream) stream, max(sequence) OVER (PARTITION BY stream, created, epoch)
    FROM positions_in_streams ORDER BY stream, created DESC, epoch DESC
"""
DROP_CHUNKS = "SELECT drop_chunks({table}, older_than => %s::timestamptz)"
