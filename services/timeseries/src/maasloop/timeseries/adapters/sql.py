"""Statements of the writer. Names of the twelve tables of rows are filled in by ``postgres_rows``."""

SERIES_FIND = """
    SELECT k.place, s.id
    FROM unnest(%(devices)s::text[], %(properties)s::text[], %(kinds)s::text[], %(retentions)s::text[])
        WITH ORDINALITY AS k (device, observed_property, kind, retention, place)
    JOIN series AS s ON s.district = %(district)s AND s.device = k.device
        AND s.observed_property = k.observed_property AND s.kind = k.kind AND s.retention = k.retention
"""
SERIES_MAKE = """
    INSERT INTO series (district, device, observed_property, kind, retention, personal)
    SELECT %(district)s, k.device, k.observed_property, k.kind, k.retention, %(personal)s
    FROM unnest(%(devices)s::text[], %(properties)s::text[], %(kinds)s::text[], %(retentions)s::text[])
        AS k (device, observed_property, kind, retention)
    ON CONFLICT DO NOTHING
"""
SERIES_MARK_PERSONAL = "UPDATE series SET personal = true WHERE id = ANY(%s) AND NOT personal"
NEWEST_OF = """
    SELECT k.id, r.time, h.event_time
    FROM unnest(%s::integer[]) AS k (id)
    LEFT JOIN newest AS h ON h.series = k.id
    LEFT JOIN LATERAL (
        SELECT time FROM {table} WHERE series = k.id AND time >= coalesce(h.event_time, '-infinity')
        ORDER BY time DESC LIMIT 1
    ) AS r ON true
"""
STAGING = """
    CREATE TEMPORARY TABLE IF NOT EXISTS staging (
        place integer NOT NULL, time timestamptz NOT NULL, receipt_time timestamptz NOT NULL,
        value double precision NOT NULL, series integer NOT NULL
    ) ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE IF NOT EXISTS staging_newest (
        series integer NOT NULL, event_time timestamptz NOT NULL
    ) ON COMMIT DELETE ROWS
"""
EXISTING = """
    SELECT s.place, r.value FROM staging AS s JOIN {table} AS r ON r.series = s.series AND r.time = s.time
    WHERE r.time BETWEEN %s AND %s
"""
ADD = """
    INSERT INTO {table} (time, receipt_time, value, series)
    SELECT time, receipt_time, value, series FROM staging
    ON CONFLICT DO NOTHING
"""
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
RENEW_NEWEST = """
    INSERT INTO newest AS n (series, event_time) SELECT series, event_time FROM staging_newest
    ON CONFLICT (series) DO UPDATE SET event_time = excluded.event_time WHERE n.event_time < excluded.event_time
"""
SETTLE = """
    WITH moved AS (
        UPDATE positions_in_streams AS p SET sequence = m.sequence
        FROM unnest(%(districts)s::text[], %(expected)s::bigint[], %(sequences)s::bigint[])
            AS m (district, expected, sequence)
        WHERE p.stream = %(stream)s AND p.created = %(created)s AND p.epoch = %(epoch)s
            AND p.district = m.district AND p.sequence = m.expected
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
            district, accepted, stored, duplicate, conflict, quarantined, refused_consent, shed, dead_lettered
        )
        SELECT * FROM unnest(
            %(term_districts)s::text[], %(accepted)s::bigint[], %(stored)s::bigint[], %(duplicate)s::bigint[],
            %(conflict)s::bigint[], %(quarantined)s::bigint[], %(refused_consent)s::bigint[], %(shed)s::bigint[],
            %(dead_lettered)s::bigint[]
        )
        ON CONFLICT (district) DO UPDATE SET
            accepted = c.accepted + excluded.accepted,
            stored = c.stored + excluded.stored,
            duplicate = c.duplicate + excluded.duplicate,
            conflict = c.conflict + excluded.conflict,
            quarantined = c.quarantined + excluded.quarantined,
            refused_consent = c.refused_consent + excluded.refused_consent,
            shed = c.shed + excluded.shed,
            dead_lettered = c.dead_lettered + excluded.dead_lettered
    ), heard AS (
        INSERT INTO producers AS p (producer, stream, seen, lost)
        SELECT k.producer, %(stream)s, k.seen, k.lost
        FROM unnest(%(producers)s::text[], %(seen)s::bigint[], %(lost)s::bigint[]) AS k (producer, seen, lost)
        ON CONFLICT (producer, stream) DO UPDATE SET
            seen = excluded.seen, lost = greatest(p.lost, excluded.lost), update_time = now()
    )
    SELECT (SELECT count(*) FROM moved) + (SELECT count(*) FROM begun)
"""
POSITIONS = """
    SELECT epoch, district, sequence FROM positions_in_streams WHERE stream = %(stream)s AND created = %(created)s
        AND epoch = (
            SELECT max(epoch) FROM positions_in_streams WHERE stream = %(stream)s AND created = %(created)s
        )
"""
PRODUCERS = "SELECT producer, seen, lost FROM producers WHERE stream = %s AND producer = ANY(%s)"
