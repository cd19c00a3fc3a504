"""Statements over what devices are searched by; resources themselves are ``maasloop.runtime.owning``'s."""

PUT_DEVICES = """
    INSERT INTO devices (district, id, device_type, state, groups, gateway, longitude, latitude, content)
    SELECT district, id, device_type, state, string_to_array(groups, ' '), gateway, longitude, latitude, content
    FROM unnest(
        %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::float8[], %s::bytea[]
    ) AS d (district, id, device_type, state, groups, gateway, longitude, latitude, content)
    ON CONFLICT (district, id) DO UPDATE SET
        state = excluded.state, groups = excluded.groups, gateway = excluded.gateway,
        longitude = excluded.longitude, latitude = excluded.latitude, content = excluded.content
"""

FORGET_EXTERNAL_IDS = """
    DELETE FROM external_ids AS e USING unnest(%s::text[], %s::text[]) AS d (district, id)
    WHERE e.district = d.district AND e.id = d.id
"""

PUT_EXTERNAL_IDS = """
    INSERT INTO external_ids (external_id, district, id) SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])
"""

EXTERNAL_ID_HOLDERS = """
    SELECT external_id, district, id FROM external_ids WHERE external_id = ANY (%s::text[]) ORDER BY external_id
"""

DEPENDANTS = "SELECT count(*) FROM devices WHERE district = %s AND gateway = %s AND state <> 'RETIRED'"

LIST_DEVICES = """
    SELECT district, id, body FROM (
        SELECT district, id, body,
            sum(octet_length(body)) OVER (ORDER BY district, id) - octet_length(body) AS bytes_before
        FROM (
            SELECT d.district, d.id, r.body
            FROM devices AS d
            JOIN resources AS r ON r.kind = 'device' AND r.district = d.district AND r.id = d.id
            WHERE (d.district, d.id) > (%(after_district)s, %(after_id)s)
                AND (%(district)s::text IS NULL OR d.district = %(district)s)
                AND (%(device_type)s::text IS NULL OR d.device_type = %(device_type)s)
                AND (%(state)s::text IS NULL OR d.state = %(state)s)
                AND (%(device_group)s::text IS NULL OR d.groups @> ARRAY[%(device_group)s])
                AND (%(west)s::float8 IS NULL OR (d.longitude BETWEEN %(west)s AND %(east)s
                    AND d.latitude BETWEEN %(south)s AND %(north)s))
            ORDER BY d.district, d.id LIMIT %(limit)s
        ) AS page
    ) AS sized WHERE bytes_before < %(bytes_max)s ORDER BY district, id
"""

CREATE_STAGED = """
    CREATE TEMPORARY TABLE staged (
        row_number integer NOT NULL,
        id text COLLATE "C" NOT NULL,
        device_type text COLLATE "C" NOT NULL,
        gateway text COLLATE "C" NOT NULL,
        content bytea NOT NULL,
        body bytea NOT NULL,
        external_ids text COLLATE "C" NOT NULL
    ) ON COMMIT DROP
"""

STAGE = """
    INSERT INTO staged (row_number, id, device_type, gateway, content, body, external_ids)
    SELECT * FROM unnest(%s::integer[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::bytea[], %s::text[])
"""

PREPARE_STAGED = ("CREATE INDEX ON staged (id)", "CREATE INDEX ON staged (row_number)", "ANALYZE staged")

STAGED_FAULTS = """
    WITH gateways AS (
        SELECT s.row_number, s.id, s.gateway, g.id IS NOT NULL OR d.id IS NOT NULL AS known,
            coalesce(g.gateway, d.gateway, '') AS further, g.id IS NULL AND d.state = 'RETIRED' AS retired
        FROM staged AS s
        LEFT JOIN staged AS g ON g.id = s.gateway
        LEFT JOIN devices AS d ON d.district = %(district)s AND d.id = s.gateway
        WHERE s.gateway <> ''
    ), named AS (
        SELECT row_number, id, regexp_split_to_table(external_ids, ' ') AS external_id FROM staged
        WHERE external_ids <> ''
    ), faults AS (
        SELECT row_number, 'name' AS field, id || ' stands on an earlier row too' AS sentence
        FROM (SELECT row_number, id, row_number() OVER (PARTITION BY id ORDER BY row_number) AS nth FROM staged) AS s
        WHERE nth > 1
        UNION ALL
        SELECT s.row_number, 'name', s.id || ' exists and differs, or is retired'
        FROM staged AS s JOIN devices AS d ON d.district = %(district)s AND d.id = s.id
        WHERE d.content <> s.content OR d.state = 'RETIRED'
        UNION ALL
        SELECT s.row_number, 'device_type', 'deviceTypes/' || s.device_type || ' does not exist'
        FROM staged AS s
        WHERE NOT EXISTS (SELECT FROM resources WHERE kind = 'device_type' AND district = '' AND id = s.device_type)
        UNION ALL
        SELECT row_number, 'gateway', gateway || ' does not exist' FROM gateways WHERE NOT known
        UNION ALL
        SELECT row_number, 'gateway', gateway || ' cannot be a gateway: ' || further || ' speaks for it'
        FROM gateways WHERE further <> ''
        UNION ALL
        SELECT n.row_number, 'external_ids', n.external_id || ' is the name of ' || e.district || '/' || e.id
        FROM named AS n JOIN external_ids AS e ON e.external_id = n.external_id
        WHERE (e.district, e.id) <> (%(district)s, n.id)
        UNION ALL
        SELECT row_number, 'external_ids', external_id || ' stands on an earlier row too'
        FROM (SELECT row_number, external_id, row_number() OVER (PARTITION BY external_id ORDER BY row_number) AS nth
            FROM named) AS s WHERE nth > 1
        UNION ALL
        SELECT row_number, 'gateway', gateway || ' is retired and cannot be a gateway' FROM gateways WHERE retired
    )
    SELECT row_number, field, sentence, count(*) OVER () FROM faults ORDER BY row_number LIMIT %(limit)s
"""

STAGED_COUNTS = """
    SELECT count(*) FILTER (WHERE d.id IS NULL), count(*) FILTER (WHERE d.id IS NOT NULL)
    FROM staged AS s LEFT JOIN devices AS d ON d.district = %s AND d.id = s.id
"""

STAGED_NEW = """
    SELECT row_number, body FROM (
        SELECT row_number, body, sum(octet_length(body)) OVER (ORDER BY row_number) - octet_length(body) AS bytes_before
        FROM (
            SELECT s.row_number, s.body
            FROM staged AS s
            WHERE s.row_number > %s AND NOT EXISTS (SELECT FROM devices WHERE district = %s AND id = s.id)
            ORDER BY s.row_number LIMIT %s
        ) AS lot
    ) AS sized WHERE bytes_before < %s ORDER BY row_number
"""
