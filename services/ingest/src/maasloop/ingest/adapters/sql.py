"""Every statement of ingest."""

KEEP = """
    INSERT INTO quarantine (
        id, receipt_time, door, district, device, reason, detail, reading_count, content_type, payload
    ) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (id) DO NOTHING
"""
LIST = """
    SELECT id, receipt_time, door, district, device, reason, detail, reading_count, content_type, payload, replay_time
    FROM quarantine
    WHERE (%(district)s = '' OR district = %(district)s)
        AND (%(reason)s = '' OR reason = %(reason)s)
        AND (%(device)s = '' OR device = %(device)s)
        AND (%(after_time)s::timestamptz IS NULL OR (receipt_time, id) < (%(after_time)s, %(after_id)s))
    ORDER BY receipt_time DESC, id DESC
    LIMIT %(size)s
"""
GET = """
    SELECT id, receipt_time, door, district, device, reason, detail, reading_count, content_type, payload, replay_time
    FROM quarantine WHERE id = ANY(%s) ORDER BY receipt_time, id
"""
DISTRICTS = "SELECT id, district FROM quarantine WHERE id = ANY(%s)"
DROP = "DELETE FROM quarantine WHERE id = %s"
REPLAYED = """
    UPDATE quarantine SET reason = %s, detail = %s, reading_count = %s, replay_time = %s WHERE id = %s
"""
REPLAY = "SELECT accepted, refused FROM replays WHERE request_id = %s AND create_time > now() - interval '24 hours'"
REMEMBER_REPLAY = """
    INSERT INTO replays (request_id, accepted, refused) VALUES (%s, %s, %s) ON CONFLICT (request_id) DO NOTHING
"""
FORGET_REPLAYS = "DELETE FROM replays WHERE create_time < now() - interval '24 hours'"
FORGET_QUARANTINE = "DELETE FROM quarantine WHERE receipt_time < now() - make_interval(days => %s)"
