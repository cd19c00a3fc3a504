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
POSITIONS = """
    SELECT DISTINCT ON (stream) stream, sequence FROM positions_in_streams WHERE district = %s
    ORDER BY stream, created DESC, epoch DESC
"""
