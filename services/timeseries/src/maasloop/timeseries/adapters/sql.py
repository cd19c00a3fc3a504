"""Statements of the writer. Names of tables of rows, of rollups and of their chunks are filled in where they are used."""

SERIES_FIND = """
    SELECT k.place, s.id, l.time
    FROM unnest(%(devices)s::text[], %(properties)s::text[], %(kinds)s::text[], %(retentions)s::text[])
        WITH ORDINALITY AS k (device, observed_property, kind, retention, place)
    JOIN series AS s ON s.district = %(district)s AND s.device = k.device
        AND s.observed_property = k.observed_property AND s.kind = k.kind AND s.retention = k.retention
    LEFT JOIN latest AS l ON l.series = s.id
"""
SERIES_MAKE = """
    INSERT INTO series (district, device, observed_property, kind, retention, personal)
    SELECT %(district)s, k.device, k.observed_property, k.kind, k.retention, %(personal)s
    FROM unnest(%(devices)s::text[], %(properties)s::text[], %(kinds)s::text[], %(retentions)s::text[])
        AS k (device, observed_property, kind, retention)
    ON CONFLICT DO NOTHING
"""
NEWEST = """
    SELECT string_agg(int4send(series), ''), string_agg(timestamptz_send(time), '')
    FROM latest WHERE series = ANY(%s::integer[])
"""
SERIES_MARK_PERSONAL = "UPDATE series SET personal = true WHERE id = ANY(%s) AND NOT personal"
# Rows leave as bytes of whole columns, and come as packed arrays, so that nobody loops over them.
EXISTING = """
    SELECT string_agg(int8send(k.place), ''), string_agg(float8send(r.value), '')
    FROM unnest(%s::integer[], %s::timestamptz[]) WITH ORDINALITY AS k (series, time, place)
    JOIN {table} AS r ON r.series = k.series AND r.time = k.time WHERE r.time BETWEEN %s AND %s
"""
ADD = """
    INSERT INTO {table} (series, time, receipt_time, value)
    SELECT * FROM unnest(%s::integer[], %s::timestamptz[], %s::timestamptz[], %s::double precision[])
    ON CONFLICT DO NOTHING
"""
MERGE_FIGURES = """
    INSERT INTO {table} AS m (series, time, first_time, last_time, count, sum, minimum, maximum, first, last)
    SELECT * FROM unnest(
        %s::integer[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::double precision[],
        %s::double precision[], %s::double precision[], %s::double precision[], %s::double precision[]
    )
    ON CONFLICT (series, time) DO UPDATE SET
        count = m.count + excluded.count,
        sum = CASE WHEN abs(m.sum) < 8e307 AND abs(excluded.sum) < 8e307 THEN m.sum + excluded.sum ELSE 'Infinity' END,
        minimum = least(m.minimum, excluded.minimum),
        maximum = greatest(m.maximum, excluded.maximum),
        first = CASE WHEN excluded.first_time < m.first_time THEN excluded.first ELSE m.first END,
        first_time = least(m.first_time, excluded.first_time),
        last = CASE WHEN excluded.last_time > m.last_time THEN excluded.last ELSE m.last END,
        last_time = greatest(m.last_time, excluded.last_time)
"""
# Held by one transaction of a partition at a time, from its first newest number to its end: none waits for rows that it
# takes in another order, and none begins a series that another one begins.
LATEST_ALONE = "SELECT pg_advisory_xact_lock(hashtext('maasloop.timeseries.latest'), %s)"
# An update costs PostgreSQL five sixths of an insert that finds a conflict, which locks its row first.
RENEW_LATEST = """
    UPDATE latest AS l SET
        time = greatest(l.time, k.time),
        receipt_time = CASE WHEN k.time > l.time THEN k.receipt_time ELSE l.receipt_time END,
        value = CASE WHEN k.time > l.time THEN k.value ELSE l.value END,
        stored = l.stored + k.stored,
        late = l.late + k.late
    FROM unnest(
        %s::integer[], %s::timestamptz[], %s::timestamptz[], %s::double precision[], %s::bigint[], %s::bigint[]
    ) AS k (series, time, receipt_time, value, stored, late)
    WHERE l.series = k.series
"""
BEGIN_LATEST = """
    INSERT INTO latest (series, time, receipt_time, value, stored, late)
    SELECT * FROM unnest(
        %s::integer[], %s::timestamptz[], %s::timestamptz[], %s::double precision[], %s::bigint[], %s::bigint[]
    ) AS k (series, time, receipt_time, value, stored, late)
    WHERE NOT EXISTS (SELECT FROM latest AS l WHERE l.series = k.series)
"""
MERGE_LATEST_OTHERS = """
    INSERT INTO latest AS l (series, time, receipt_time, state, longitude, latitude, stored, late)
    SELECT * FROM unnest(
        %s::integer[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::double precision[], %s::double precision[],
        %s::bigint[], %s::bigint[]
    )
    ON CONFLICT (series) DO UPDATE SET
        time = greatest(l.time, excluded.time),
        receipt_time = CASE WHEN excluded.time > l.time THEN excluded.receipt_time ELSE l.receipt_time END,
        state = CASE WHEN excluded.time > l.time THEN excluded.state ELSE l.state END,
        longitude = CASE WHEN excluded.time > l.time THEN excluded.longitude ELSE l.longitude END,
        latitude = CASE WHEN excluded.time > l.time THEN excluded.latitude ELSE l.latitude END,
        stored = l.stored + excluded.stored,
        late = l.late + excluded.late
"""
ACCOUNT = """
    INSERT INTO device_accounts AS a (district, device, duplicate, conflict, quarantined)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])
    ON CONFLICT (district, device) DO UPDATE SET
        duplicate = a.duplicate + excluded.duplicate,
        conflict = a.conflict + excluded.conflict,
        quarantined = a.quarantined + excluded.quarantined
    RETURNING district, device, last_sequence, missing, heard::text
"""
COUNT = """
    UPDATE device_accounts AS a SET last_sequence = k.last_sequence, missing = k.missing, heard = k.heard::bit(64)
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[])
        AS k (district, device, last_sequence, missing, heard)
    WHERE a.district = k.district AND a.device = k.device
"""
CHUNKS = """
    SELECT (extract(epoch FROM range_start) * 1000000)::bigint, (extract(epoch FROM range_end) * 1000000)::bigint,
        chunk_schema, chunk_name
    FROM timescaledb_information.chunks
    WHERE hypertable_schema = current_schema() AND hypertable_name = %s ORDER BY range_start
"""
# A row of no series, gone in the same transaction: its chunk stays.
MAKE_CHUNK_OF_NUMBERS = "INSERT INTO {table} (series, time, receipt_time, value) VALUES (0, %s, 'epoch', 0)"
MAKE_CHUNK_OF_FIGURES = """
    INSERT INTO {table} (series, time, first_time, last_time, count, sum, minimum, maximum, first, last)
    VALUES (0, %s, 'epoch', 'epoch', 0, 0, 0, 0, 0, 0)
"""
UNMAKE = "DELETE FROM {table} WHERE series = 0 AND time = %s"
EXISTING_STATES = """
    SELECT k.place, r.state
    FROM unnest(%s::integer[], %s::timestamptz[]) WITH ORDINALITY AS k (series, time, place)
    JOIN {table} AS r ON r.series = k.series AND r.time = k.time WHERE r.time BETWEEN %s AND %s
"""
ADD_STATES = """
    INSERT INTO {table} (series, time, receipt_time, state)
    SELECT * FROM unnest(%s::integer[], %s::timestamptz[], %s::timestamptz[], %s::text[])
"""
EXISTING_POSITIONS = """
    SELECT k.place, r.longitude, r.latitude
    FROM unnest(%s::integer[], %s::timestamptz[]) WITH ORDINALITY AS k (series, time, place)
    JOIN {table} AS r ON r.series = k.series AND r.time = k.time WHERE r.time BETWEEN %s AND %s
"""
ADD_POSITIONS = """
    INSERT INTO {table} (series, time, receipt_time, longitude, latitude)
    SELECT * FROM unnest(
        %s::integer[], %s::timestamptz[], %s::timestamptz[], %s::double precision[], %s::double precision[]
    )
"""
SETTLE = """
    WITH moved AS (
        UPDATE positions_in_streams AS p SET sequence = m.sequence
        FROM unnest(%(districts)s::text[], %(expected)s::bigint[], %(sequences)s::bigint[])
            AS m (district, expected, sequence)
        WHERE p.stream = %(stream)s AND p.created = %(created)s AND p.epoch = %(epoch)s
            AND p.district = m.district AND p.sequence = m.expected AND m.expected < m.sequence
        RETURNING 1
    ), begun AS (
        INSERT INTO positions_in_streams (stream, created, epoch, district, sequence)
        SELECT %(stream)s, %(created)s, %(epoch)s, m.district, m.sequence
        FROM unnest(%(districts)s::text[], %(expected)s::bigint[], %(sequences)s::bigint[])
            AS m (district, expected, sequence)
        WHERE m.expected < 0
        ON CONFLICT DO NOTHING
        RETURNING 1
    ), counted AS (
        INSERT INTO custody AS c (
            district, door, accepted, stored, duplicate, conflict, quarantined, refused_consent, shed, dead_lettered,
            late
        )
        SELECT * FROM unnest(
            %(term_districts)s::text[], %(term_doors)s::text[], %(accepted)s::bigint[], %(stored)s::bigint[], %(duplicate)s::bigint[],
            %(conflict)s::bigint[], %(quarantined)s::bigint[], %(refused_consent)s::bigint[], %(shed)s::bigint[],
            %(dead_lettered)s::bigint[], %(late)s::bigint[]
        )
        ON CONFLICT (district, door) DO UPDATE SET
            accepted = c.accepted + excluded.accepted,
            stored = c.stored + excluded.stored,
            duplicate = c.duplicate + excluded.duplicate,
            conflict = c.conflict + excluded.conflict,
            quarantined = c.quarantined + excluded.quarantined,
            refused_consent = c.refused_consent + excluded.refused_consent,
            shed = c.shed + excluded.shed,
            dead_lettered = c.dead_lettered + excluded.dead_lettered,
            late = c.late + excluded.late
    ), floored AS (
        INSERT INTO partition_floors AS f (stream, created, epoch, partition, sequence, heard)
        SELECT %(stream)s, %(created)s, %(epoch)s, %(partition)s, %(floor)s, %(heard)s
        WHERE %(floor)s::bigint IS NOT NULL
        ON CONFLICT (stream, created, epoch, partition) DO UPDATE SET
            sequence = greatest(f.sequence, excluded.sequence), heard = greatest(f.heard, excluded.heard)
    ), heard AS (
        INSERT INTO producers AS p (producer, stream, seen, lost)
        SELECT k.producer, %(stream)s, k.seen, k.lost
        FROM unnest(%(producers)s::text[], %(seen)s::bigint[], %(lost)s::bigint[]) AS k (producer, seen, lost)
        ON CONFLICT (producer, stream) DO UPDATE SET
            seen = excluded.seen, lost = greatest(p.lost, excluded.lost), update_time = now()
    )
    SELECT (SELECT count(*) FROM moved) + (SELECT count(*) FROM begun)
"""
SEAM = """
    SELECT min(sequence) FILTER (WHERE district = ''), max(sequence) FROM positions_in_streams
    WHERE stream = %(stream)s AND created = %(created)s AND epoch = %(epoch)s
"""
# No district has an empty name: this row says where the lane begins.
SEAM_OPEN = """
    INSERT INTO positions_in_streams (stream, created, epoch, district, sequence)
    VALUES (%(stream)s, %(created)s, %(epoch)s, '', %(after)s) ON CONFLICT DO NOTHING
"""
SEAM_CLOSE = """
    DELETE FROM positions_in_streams
    WHERE stream = %(stream)s AND created = %(created)s AND epoch = %(epoch)s
"""
PRODUCERS = "SELECT producer, seen, lost FROM producers WHERE stream = %s AND producer = ANY(%s)"
