"""The statements of notification, named by intent."""
# ruff: noqa: S608 - put together from constants of this module

RULE_COLUMNS = "id, district, category, watch, title, body, etag, disabled, requester, approver, create_time_us"
ALERT_COLUMNS = (
    "district, id, rule, category, device, state, title, body, occurrence_count, raise_time, event_us,"
    " acknowledge_time, acknowledger, resolve_time"
)
SUBSCRIPTION_COLUMNS = "district, id, categories, language, webhook_url, webhook_secret, email_address"
DELIVERY_COLUMNS = (
    "district, id, alert, subscription, channel, occasion, language, subject, content, state, reason, detail,"
    " attempt_count, create_time, next_attempt_time, settle_time"
)

LOCK_RESOURCES = "SELECT pg_advisory_xact_lock(hashtextextended('maasloop.notification.' || %s, 0))"

COUNT_RULES = "SELECT count(*) FROM alert_rules"
ADD_RULE = f"""
    INSERT INTO alert_rules ({RULE_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (id) DO NOTHING
"""
PAGE_RULES = f"""
    SELECT {RULE_COLUMNS} FROM alert_rules WHERE id > %s AND (%s = '' OR district = %s) ORDER BY id LIMIT %s
"""
ONE_RULE = f"SELECT {RULE_COLUMNS} FROM alert_rules WHERE id = %s"
ENABLE_RULE = "UPDATE alert_rules SET disabled = false, approver = %s WHERE id = %s AND disabled"
AUDIENCE = "SELECT count(*) FROM subscriptions WHERE district = %s AND (categories = '{}' OR %s = ANY(categories))"
ALL_RULES = f"SELECT {RULE_COLUMNS} FROM alert_rules ORDER BY id"
LOCK_RULES = "SELECT id, disabled FROM alert_rules WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
DELETE_RULE = "DELETE FROM alert_rules WHERE id = %s"

STANDINGS = """
    SELECT DISTINCT ON (a.rule, a.device) {columns}
    FROM unnest(%s::text[], %s::text[]) AS k (rule, device) JOIN alerts AS a USING (rule, device)
    ORDER BY a.rule, a.device, a.event_us DESC, (a.state <> 'RESOLVED') DESC
""".format(columns=", ".join(f"a.{column.strip()}" for column in ALERT_COLUMNS.split(",")))
RAISED_SINCE = "SELECT rule, count(*) FROM alerts WHERE rule = ANY(%s) AND raise_time > %s GROUP BY rule"
FIND_ALERT = f"SELECT {ALERT_COLUMNS} FROM alerts WHERE district = %s AND id = %s"
LOCK_ALERT_RULE = """
    SELECT r.id FROM alerts AS a JOIN alert_rules AS r ON r.id = a.rule
    WHERE a.district = %s AND a.id = %s FOR UPDATE OF r
"""
LOCK_ALERT = f"{FIND_ALERT} FOR UPDATE"
OPEN_ALERTS_OF = f"SELECT {ALERT_COLUMNS} FROM alerts WHERE rule = %s AND state <> 'RESOLVED' FOR UPDATE"
OPEN_KEYS = "SELECT rule, device FROM alerts WHERE state <> 'RESOLVED'"
PUT_ALERT = f"""
    INSERT INTO alerts ({ALERT_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (district, id) DO UPDATE SET
        state = excluded.state, occurrence_count = excluded.occurrence_count, event_us = excluded.event_us,
        acknowledge_time = excluded.acknowledge_time, acknowledger = excluded.acknowledger,
        resolve_time = excluded.resolve_time
"""
PAGE_ALERTS = f"""
    SELECT {ALERT_COLUMNS} FROM alerts
    WHERE district = %(district)s AND (%(state)s::text IS NULL OR state = %(state)s)
        AND (%(time)s::timestamptz IS NULL OR (raise_time, id) < (%(time)s, %(id)s))
    ORDER BY raise_time DESC, id DESC LIMIT %(limit)s
"""

COUNT_SUBSCRIPTIONS = "SELECT count(*) FROM subscriptions WHERE district = %s"
ADD_SUBSCRIPTION = f"""
    INSERT INTO subscriptions ({SUBSCRIPTION_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (district, id) DO NOTHING
"""
PAGE_SUBSCRIPTIONS = f"""
    SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions WHERE district = %s AND id > %s ORDER BY id LIMIT %s
"""
SUBSCRIPTIONS_OF = f"SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions WHERE district = ANY(%s) ORDER BY id FOR SHARE"
PLAIN_SECRETS = f"SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions WHERE webhook_secret NOT LIKE %s FOR UPDATE"
SEAL_SECRET = "UPDATE subscriptions SET webhook_secret = %s WHERE district = %s AND id = %s"  # noqa: S105 - a statement
DELETE_SUBSCRIPTION = "DELETE FROM subscriptions WHERE district = %s AND id = %s"
FAIL_PENDING = """
    UPDATE deliveries SET state = 'FAILED', reason = %s, detail = %s, settle_time = %s, next_attempt_time = NULL
    WHERE district = %s AND subscription = %s AND state = 'PENDING'
"""

ADD_DELIVERY = f"""
    INSERT INTO deliveries ({DELIVERY_COLUMNS})
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
CLAIM_DELIVERIES = """
    WITH oldest AS (
        SELECT district, id, subscription, next_attempt_time FROM deliveries AS d
        WHERE state = 'PENDING' AND next_attempt_time <= %(now)s
            AND NOT EXISTS (
                SELECT FROM unnest(%(busy_districts)s::text[], %(busy_subscriptions)s::text[]) AS b (district, id)
                WHERE b.district = d.district AND b.id = d.subscription
            )
            AND NOT EXISTS (
                SELECT FROM deliveries AS e
                WHERE e.district = d.district AND e.alert = d.alert AND e.subscription = d.subscription
                    AND e.state = 'PENDING' AND e.position < d.position
            )
        ORDER BY next_attempt_time LIMIT %(scanned_max)s
    ), fair AS (
        SELECT district, id FROM (
            SELECT *, row_number() OVER (PARTITION BY district, subscription ORDER BY next_attempt_time) AS nth
            FROM oldest
        ) AS numbered
        WHERE nth <= %(per_subscription_max)s ORDER BY next_attempt_time LIMIT %(limit)s
    ), locked AS (
        SELECT d.district, d.id FROM deliveries AS d JOIN fair USING (district, id)
        WHERE d.state = 'PENDING' AND d.next_attempt_time <= %(now)s
        FOR UPDATE OF d SKIP LOCKED
    )
    UPDATE deliveries AS d SET next_attempt_time = %(lease_end)s, attempt_count = d.attempt_count + 1
    FROM locked AS l, subscriptions AS s
    WHERE d.district = l.district AND d.id = l.id AND s.district = d.district AND s.id = d.subscription
    RETURNING {deliveries}, {subscriptions}
""".format(
    deliveries=", ".join(f"d.{column.strip()}" for column in DELIVERY_COLUMNS.split(",")),
    subscriptions=", ".join(f"s.{column.strip()}" for column in SUBSCRIPTION_COLUMNS.split(",")),
)
RECORD_ATTEMPT = """
    UPDATE deliveries SET state = %s, reason = %s, detail = %s, next_attempt_time = %s, settle_time = %s
    WHERE district = %s AND id = %s AND state = 'PENDING' AND attempt_count = %s
"""
PAGE_DELIVERIES = f"""
    SELECT {DELIVERY_COLUMNS} FROM deliveries
    WHERE district = %(district)s AND (%(state)s::text IS NULL OR state = %(state)s)
        AND (%(alert)s::text IS NULL OR alert = %(alert)s)
        AND (%(time)s::timestamptz IS NULL OR (create_time, id) < (%(time)s, %(id)s))
    ORDER BY create_time DESC, id DESC LIMIT %(limit)s
"""

ALL_SIGHTINGS = "SELECT district, observed_property, device, event_us FROM sightings"
PUT_SIGHTINGS = """
    INSERT INTO sightings AS s (district, observed_property, device, event_us)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[])
    ON CONFLICT (district, observed_property, device) DO UPDATE SET event_us = excluded.event_us
    WHERE s.event_us < excluded.event_us
"""
FORGET_SIGHTINGS = """
    DELETE FROM sightings AS s USING unnest(%s::text[], %s::text[], %s::text[]) AS f (district, observed_property, device)
    WHERE s.district = f.district AND s.observed_property = f.observed_property AND s.device = f.device
"""
DROP_SIGHTINGS = "DELETE FROM sightings WHERE district = %s AND observed_property = %s"

PRUNE_DELIVERIES = """
    DELETE FROM deliveries WHERE (district, id) IN (
        SELECT district, id FROM deliveries WHERE state <> 'PENDING' AND settle_time < %s LIMIT %s
    )
"""
PRUNE_ALERTS = """
    DELETE FROM alerts WHERE (district, id) IN (
        SELECT district, id FROM alerts WHERE state = 'RESOLVED' AND resolve_time < %s LIMIT %s
    )
"""
