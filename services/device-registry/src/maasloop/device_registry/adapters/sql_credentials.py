"""Statements over claims, credentials and the connections that rest on them."""

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"

ADD_CLAIMS = """
    INSERT INTO claims (digest, batch, rate_per_minute, district, device, expire_time)
    SELECT * FROM unnest(%s::bytea[], %s::uuid[], %s::integer[], %s::text[], %s::text[], %s::timestamptz[])
"""

UNREGISTERED = """
    SELECT EXISTS (SELECT FROM resources WHERE kind = 'district' AND district = '' AND id = %s),
        (SELECT asked.id FROM unnest(%s::text[]) WITH ORDINALITY AS asked (id, place)
            LEFT JOIN devices AS d ON d.district = %s AND d.id = asked.id
            WHERE d.id IS NULL ORDER BY asked.place LIMIT 1)
"""

FORGET_CLAIMS = """
    DELETE FROM claims WHERE digest IN (SELECT digest FROM claims WHERE expire_time < now() - interval '1 hour' LIMIT 1000)
"""

FIND_CLAIM = """
    SELECT digest, batch, rate_per_minute, district, device, expire_time, use_time FROM claims WHERE digest = %s
"""

USED_SINCE = "SELECT count(*) FROM claims WHERE batch = %s AND use_time > %s"

USE_CLAIM = "UPDATE claims SET use_time = %s WHERE digest = %s"

CREDENTIAL = "id, kind, district, holder, method, proof, create_time, expire_time, revoke_time"

FIND_CREDENTIAL = f"""
    SELECT {CREDENTIAL} FROM credentials WHERE kind = %s AND district = %s AND holder = %s AND id = %s FOR UPDATE
"""  # noqa: S608 - a list of columns

PAGE_CREDENTIALS = f"""
    SELECT {CREDENTIAL} FROM credentials WHERE kind = %s AND district = %s AND holder = %s AND id > %s
    ORDER BY id LIMIT %s
"""  # noqa: S608 - a list of columns

PUT_CREDENTIAL = f"""
    INSERT INTO credentials ({CREDENTIAL}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (id) DO UPDATE SET expire_time = excluded.expire_time, revoke_time = excluded.revoke_time
"""  # noqa: S608 - a list of columns

KEYED = (
    "SELECT kind, district, holder FROM credentials WHERE method <> 'PASSWORD' AND method = %s AND proof = %s LIMIT 1"
)

STANDING = f"""
    SELECT
        (SELECT state FROM devices WHERE %(kind)s = 'device' AND district = %(district)s AND id = %(holder)s),
        ARRAY(SELECT id FROM devices
            WHERE %(kind)s = 'device' AND district = %(district)s AND gateway = %(holder)s AND gateway <> ''
                AND state <> 'RETIRED' ORDER BY id LIMIT %(spoken_for_max)s),
        (SELECT count(*) FROM connections
            WHERE kind = %(kind)s AND district = %(district)s AND holder = %(holder)s AND server = %(server)s),
        held.*
    FROM (SELECT) AS holder LEFT JOIN LATERAL (
        SELECT {CREDENTIAL} FROM credentials
        WHERE kind = %(kind)s AND district = %(district)s AND holder = %(holder)s AND revoke_time IS NULL
        ORDER BY create_time DESC LIMIT %(held_max)s
    ) AS held ON true
"""  # noqa: S608 - a list of columns

ADD_REFUSALS = """
    INSERT INTO refusals AS r (kind, district, holder, count, hour, hour_count, last_time, last_reason)
    SELECT n.kind, n.district, n.holder, n.count, date_trunc('hour', n.time, 'UTC'), n.count, n.time, n.reason
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[], %s::text[])
        AS n (kind, district, holder, count, time, reason)
    WHERE EXISTS (SELECT FROM credentials AS c WHERE c.kind = n.kind AND c.district = n.district AND c.holder = n.holder)
        OR n.kind = 'device' AND EXISTS (SELECT FROM devices AS d WHERE d.district = n.district AND d.id = n.holder)
    ON CONFLICT (kind, district, holder) DO UPDATE SET
        count = r.count + excluded.count,
        hour_count = CASE WHEN r.hour = excluded.hour THEN r.hour_count ELSE 0 END + excluded.hour_count,
        hour = excluded.hour, last_time = excluded.last_time, last_reason = excluded.last_reason
"""

REFUSALS = """
    SELECT count, CASE WHEN hour = date_trunc('hour', %s::timestamptz, 'UTC') THEN hour_count ELSE 0 END, last_time, last_reason
    FROM refusals WHERE kind = %s AND district = %s AND holder = %s
"""

RECORD = """
    INSERT INTO connections (server, connection, credential, kind, district, holder, create_time, expire_time)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (server, connection) DO UPDATE SET credential = excluded.credential, kind = excluded.kind,
        district = excluded.district, holder = excluded.holder, create_time = excluded.create_time,
        expire_time = excluded.expire_time
"""

GROUNDLESS = """
    SELECT c.server, c.connection FROM connections AS c
    LEFT JOIN credentials AS k ON k.id = c.credential
    LEFT JOIN devices AS d ON c.kind = 'device' AND d.district = c.district AND d.id = c.holder
    WHERE {whose}(k.id IS NULL OR k.revoke_time IS NOT NULL OR k.expire_time <= %(now)s
        OR (c.kind = 'device' AND (d.state IS NULL OR d.state IN ('QUARANTINED', 'RETIRED'))))
    LIMIT %(limit)s
"""
GROUNDLESS_OF_ALL = GROUNDLESS.format(whose="")
GROUNDLESS_OF_ONE = GROUNDLESS.format(
    whose="c.kind = %(kind)s AND c.district = %(district)s AND c.holder = %(holder)s AND "
)

RECORDED = """
    SELECT server, array_agg(connection) FROM connections WHERE create_time < %s GROUP BY server
"""

FORGET = """
    DELETE FROM connections AS c USING unnest(%s::text[], %s::bigint[]) AS gone (server, connection)
    WHERE c.server = gone.server AND c.connection = gone.connection
"""

FORGET_EXPIRED = "DELETE FROM connections WHERE expire_time < %s - interval '1 minute'"
