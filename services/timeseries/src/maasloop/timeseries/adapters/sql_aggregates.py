"""Statements of readers of newest observations and of figures. Names of tables are filled in by their modules.

What is read leaves PostgreSQL as bytes of whole columns, big-endian and without lengths between, so that nobody loops over
rows: times are microseconds since 2000.
"""

# One row for all: as many names as rows, a letter a row for what may be seen, and fixed-width columns. The two rarer kinds
# of result are told of rows that are no numbers. ``chosen`` is ``CHOSEN`` of the reads.
LATEST = """
    SELECT string_agg(device, E'\\n'), string_agg(observed_property, E'\\n'), string_agg(int8send(id), ''),
        string_agg(CASE WHEN personal THEN 'p' ELSE '-' END, ''),
        string_agg(timestamptz_send(time), ''), string_agg(timestamptz_send(receipt_time), ''),
        string_agg(float8send(coalesce(value, 'NaN')), ''),
        array_agg(state) FILTER (WHERE value IS NULL),
        string_agg(float8send(coalesce(longitude, 'NaN')), '') FILTER (WHERE value IS NULL),
        string_agg(float8send(coalesce(latitude, 'NaN')), '') FILTER (WHERE value IS NULL)
    FROM (
        SELECT s.device, s.observed_property, s.id::bigint, s.personal, l.time, l.receipt_time, l.value, l.state,
            l.longitude, l.latitude
        FROM {chosen} AS s
        CROSS JOIN LATERAL (SELECT * FROM latest WHERE series = s.id OFFSET 0) AS l
        ORDER BY s.device COLLATE "C", s.observed_property COLLATE "C", s.id
        LIMIT %(size)s
    ) AS page
"""
# A row a series that has something, so that the index of (series, time) gives each in order.
ROLLED_UP = """
    SELECT k.place::integer, a.*
    FROM unnest(%(ids)s::integer[]) WITH ORDINALITY AS k (id, place)
    CROSS JOIN LATERAL (
        SELECT string_agg(timestamptz_send(time), '') AS times, string_agg(int8send(count), ''),
            string_agg(float8send(sum), ''), string_agg(float8send(minimum), ''), string_agg(float8send(maximum), ''),
            string_agg(float8send(first), ''), string_agg(float8send(last), '')
        FROM (
            SELECT time, count, sum, minimum, maximum, first, last FROM {table}
            WHERE series = k.id AND time >= %(start)s AND time < %(end)s ORDER BY time
        ) AS r
    ) AS a
    WHERE a.times IS NOT NULL
    ORDER BY k.place
"""
ROWS = """
    SELECT k.place::integer, a.*
    FROM unnest(%(ids)s::integer[]) WITH ORDINALITY AS k (id, place)
    CROSS JOIN LATERAL (
        SELECT string_agg(timestamptz_send(time), '') AS times, string_agg(float8send(value), '')
        FROM (
            SELECT time, value FROM {table}
            WHERE series = k.id AND time >= %(start)s AND time < %(end)s ORDER BY time
        ) AS r
    ) AS a
    WHERE a.times IS NOT NULL
    ORDER BY k.place
"""
COUNTS_OF_ROWS = """
    SELECT k.place::integer, count(*)
    FROM unnest(%(ids)s::integer[]) WITH ORDINALITY AS k (id, place)
    JOIN {table} AS h ON h.series = k.id AND h.time >= %(start)s AND h.time < %(end)s
    GROUP BY k.place
"""
COUNTS = """
    SELECT k.place::integer, sum(h.count)::bigint
    FROM unnest(%(ids)s::integer[]) WITH ORDINALITY AS k (id, place)
    JOIN {table} AS h ON h.series = k.id AND h.time >= %(start)s AND h.time < %(end)s
    GROUP BY k.place
"""
