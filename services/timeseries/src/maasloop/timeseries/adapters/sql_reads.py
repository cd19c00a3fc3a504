"""Statements of readers. Names of tables are filled in by ``postgres_reads``."""

# Series of a district after a position, along the index of series in order, from named device to named device where some
# are named: what a page costs does not grow with the district. ``OFFSET 0`` keeps the planner from turning it into a scan.
# What is not asked for is not in it, so that a plan for any district goes along the index as well.
CHOSEN = """(
    SELECT * FROM series
    WHERE district = %(district)s{devices}{properties}
        AND (device COLLATE "C", observed_property COLLATE "C", id)
            > (%(after_device)s, %(after_property)s, %(after_id)s)
    ORDER BY device COLLATE "C", observed_property COLLATE "C", id
    OFFSET 0
)"""
OF_DEVICES = ' AND device COLLATE "C" = ANY(%(devices)s::text[])'
OF_PROPERTIES = " AND observed_property = ANY(%(properties)s::text[])"
SERIES = """
    SELECT s.id, s.device, s.observed_property, s.kind, s.retention, s.personal, coalesce(l.stored, 0)
    FROM {chosen} AS s
    LEFT JOIN LATERAL (SELECT stored FROM latest WHERE series = s.id OFFSET 0) AS l ON true
    ORDER BY s.device COLLATE "C", s.observed_property COLLATE "C", s.id
    LIMIT %(size)s
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
