"""Statements of accounts and traces. Names of tables of rows are filled in by ``postgres_accounts``."""

DEVICES = """
    WITH page AS (
        SELECT device FROM (
            SELECT device, personal FROM series WHERE district = %(district)s
            UNION ALL SELECT device, false FROM device_accounts WHERE district = %(district)s
        ) AS known
        WHERE (%(devices)s::text[] = '{}' OR device = ANY(%(devices)s)) AND device COLLATE "C" > %(after)s
        GROUP BY device HAVING NOT bool_or(personal)
        ORDER BY device COLLATE "C" LIMIT %(size)s
    ), rows AS (
        SELECT s.device, sum(l.stored) AS stored, sum(l.late) AS late, max(l.receipt_time) AS receipt_time
        FROM page JOIN series AS s ON s.district = %(district)s AND s.device = page.device
        JOIN latest AS l ON l.series = s.id
        GROUP BY s.device
    )
    SELECT page.device, coalesce(rows.stored, 0), coalesce(a.duplicate, 0), coalesce(a.conflict, 0),
        coalesce(a.quarantined, 0), coalesce(rows.late, 0), coalesce(a.missing, 0), coalesce(a.last_sequence, 0),
        rows.receipt_time
    FROM page LEFT JOIN rows ON rows.device = page.device
    LEFT JOIN device_accounts AS a ON a.district = %(district)s AND a.device = page.device
    ORDER BY page.device COLLATE "C"
"""
ROW = """
    SELECT k.place, r.time, r.receipt_time, {result}
    FROM unnest(%s::integer[]) WITH ORDINALITY AS k (id, place)
    JOIN {table} AS r ON r.series = k.id AND r.time = %s
    ORDER BY r.receipt_time LIMIT 1
"""
TERMS = """
    SELECT door, sum(accepted)::bigint, sum(stored)::bigint, sum(duplicate)::bigint, sum(conflict)::bigint,
        sum(quarantined)::bigint, sum(refused_consent)::bigint, sum(shed)::bigint, sum(dead_lettered)::bigint,
        sum(late)::bigint
    FROM custody WHERE %(district)s = '' OR district = %(district)s
    GROUP BY door ORDER BY door COLLATE "C"
"""
LOST = "SELECT coalesce(sum(lost), 0)::bigint FROM producers WHERE %(district)s = ''"
SERIES_STORED = """
    SELECT coalesce(sum(l.stored), 0)::bigint FROM latest AS l
    WHERE %(district)s = '' OR l.series IN (SELECT id FROM series WHERE district = %(district)s)
"""
# The last epoch of the last life of each stream: positions of districts, floors of partitions, and what was inherited.
POSITIONS = """
    WITH known AS (
        SELECT stream, created, epoch FROM positions_in_streams
        UNION SELECT stream, created, epoch FROM partition_floors
    ), newest AS (
        SELECT DISTINCT ON (stream) stream, created, epoch FROM known ORDER BY stream, created DESC, epoch DESC
    )
    SELECT p.stream, p.created, p.district, NULL::integer, NULL::integer, NULL::bigint, p.sequence
    FROM positions_in_streams AS p
    JOIN newest AS n ON n.stream = p.stream AND n.created = p.created AND n.epoch = p.epoch
    UNION ALL
    SELECT f.stream, f.created, NULL, f.partition, NULL, NULL, f.sequence FROM partition_floors AS f
    JOIN newest AS n ON n.stream = f.stream AND n.created = f.created AND n.epoch = f.epoch
    UNION ALL
    SELECT s.stream, s.created, NULL, s.partition, s.partitions, s.after, s.upto FROM inherited_seams AS s
    JOIN newest AS n ON n.stream = s.stream AND n.created = s.created AND n.epoch = s.epoch
    UNION ALL
    SELECT '', '', NULL, NULL, partitions, NULL, 0 FROM partitioning
"""
MISSING = "SELECT coalesce(sum(missing), 0)::bigint FROM device_accounts WHERE missing <> 0"
