"""Statements over what records are searched by; resources themselves are ``maasloop.runtime.owning``'s."""

PUT_RECORD = """
    INSERT INTO consent_records (id, data_subject, processing_activity, state, give_time, expire_time, request_id)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (id) DO UPDATE SET state = excluded.state
"""

RECORD_OF = """
    SELECT r.body FROM consent_records AS c JOIN resources AS r ON r.kind = 'consent_record' AND r.id = c.id
    WHERE c.request_id = %(request)s
        OR c.id = (SELECT record_id FROM consent_requests WHERE request_id = %(request)s)
"""

REMEMBER_REQUEST = "INSERT INTO consent_requests (request_id, record_id) VALUES (%s, %s)"

DECISIVE = """
    SELECT r.body FROM consent_records AS c JOIN resources AS r ON r.kind = 'consent_record' AND r.id = c.id
    WHERE c.data_subject = %s AND c.processing_activity = %s AND c.state IN ('GIVEN', 'OBJECTED')
"""

STANDING = """
    SELECT
        (SELECT body FROM resources WHERE kind = 'processing_activity' AND district = '' AND id = %(activity)s),
        (
            SELECT r.body FROM consent_records AS c JOIN resources AS r ON r.kind = 'consent_record' AND r.id = c.id
            WHERE c.data_subject = %(person)s AND c.processing_activity = %(activity)s
            ORDER BY c.state IN ('GIVEN', 'OBJECTED') DESC, c.give_time DESC LIMIT 1
        )
"""

ANYTHING_DUE = "SELECT EXISTS (SELECT FROM consent_records WHERE state = 'GIVEN' AND expire_time <= %s)"

DUE = """
    SELECT r.body FROM consent_records AS c JOIN resources AS r ON r.kind = 'consent_record' AND r.id = c.id
    WHERE c.state = 'GIVEN' AND c.expire_time <= %s ORDER BY c.expire_time LIMIT %s
"""

LIST_RECORDS = """
    SELECT r.body FROM consent_records AS c JOIN resources AS r ON r.kind = 'consent_record' AND r.id = c.id
    WHERE (%(person)s = '' OR c.data_subject = %(person)s)
        AND (%(give_time)s::timestamptz IS NULL OR (c.give_time, c.id) < (%(give_time)s, %(id)s))
    ORDER BY c.give_time DESC, c.id DESC LIMIT %(limit)s
"""
