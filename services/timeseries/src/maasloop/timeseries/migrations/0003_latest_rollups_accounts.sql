-- What is read without looking at rows: the newest observation of a series, minutes and hours of numbers, accounts of
-- doors and devices. All of it changes in the transaction of the rows. Single rows are never deleted: it would make
-- rollups wrong.

DROP TABLE newest;

-- The newest observation of each series, and what was stored in it. One row changes with every lot: it has room in its
-- page, so that no index changes with it.
CREATE TABLE latest (
    series integer PRIMARY KEY,
    time timestamptz NOT NULL,
    receipt_time timestamptz NOT NULL,
    value double precision,
    state text,
    longitude double precision,
    latitude double precision,
    -- Rows of the series that were written, dropped chunks included.
    stored bigint NOT NULL,
    -- Rows that were older than the newest of the series when they came.
    late bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.5, autovacuum_vacuum_cost_delay = 0);

-- Buckets of numbers: [time, time + width), edges counted from 2000-01-03T00:00Z. A sum beyond 8e307 is infinite.
-- Minutes are kept as long as the rows of their class or longer, hours longer still.
DO $$
DECLARE
    rollup record;
    name text;
    source text;
BEGIN
    FOR rollup IN
        SELECT * FROM (VALUES
            ('minutes', '7d', '1 minute', '1 day'), ('minutes', '90d', '1 minute', '7 days'),
            ('minutes', '2y', '1 minute', '30 days'), ('minutes', 'forever', '1 minute', '30 days'),
            ('hours', '7d', '1 hour', '30 days'), ('hours', '90d', '1 hour', '180 days'),
            ('hours', '2y', '1 hour', '360 days'), ('hours', 'forever', '1 hour', '360 days')
        ) AS rollups (kind, retention, width, chunk)
    LOOP
        name := rollup.kind || '_' || rollup.retention;
        source := 'numbers_' || rollup.retention;
        EXECUTE format(
            'CREATE TABLE %I (
                time timestamptz NOT NULL, first_time timestamptz NOT NULL, last_time timestamptz NOT NULL,
                count bigint NOT NULL, sum double precision NOT NULL,
                minimum double precision NOT NULL, maximum double precision NOT NULL,
                first double precision NOT NULL, last double precision NOT NULL, series integer NOT NULL
            ) WITH (fillfactor = 75)', name
        );
        PERFORM create_hypertable(
            format('%I', name)::regclass, by_range('time', rollup.chunk::interval), create_default_indexes => false
        );
        EXECUTE format('ALTER TABLE %I ADD UNIQUE (series, time)', name);
        EXECUTE format(
            'INSERT INTO %I (series, time, first_time, last_time, count, sum, minimum, maximum, first, last)
            SELECT series, date_bin(%L, time, ''2000-01-03 00:00:00+00''), min(time), max(time), count(*), sum(value),
                min(value), max(value), first(value, time), last(value, time)
            FROM %I GROUP BY 1, 2', name, rollup.width, source
        );
    END LOOP;
    FOR source IN
        SELECT kind || '_' || retention
        FROM unnest(ARRAY ['numbers', 'states', 'positions']) AS kind,
            unnest(ARRAY ['7d', '90d', '2y', 'forever']) AS retention
    LOOP
        EXECUTE format(
            'INSERT INTO latest (series, time, receipt_time, %1$s, stored, late)
            SELECT r.series, r.time, r.receipt_time, %1$s, n.stored, 0
            FROM (SELECT series, max(time) AS time, count(*) AS stored FROM %2$I GROUP BY series) AS n
            JOIN %2$I AS r ON r.series = n.series AND r.time = n.time',
            CASE split_part(source, '_', 1)
                WHEN 'numbers' THEN 'value' WHEN 'states' THEN 'state' ELSE 'longitude, latitude'
            END,
            source
        );
    END LOOP;
END;
$$;

-- Terms are kept by the door that readings came in; `late` is a part of `stored`.
ALTER TABLE custody
    ADD COLUMN door text NOT NULL DEFAULT '',
    ADD COLUMN late bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT custody_pkey,
    ADD PRIMARY KEY (district, door);

-- What became of a device's readings that are no rows of their own (those that are count in `latest`), and the device's
-- own count of its payloads.
CREATE TABLE device_accounts (
    district text NOT NULL,
    device text NOT NULL,
    duplicate bigint NOT NULL DEFAULT 0,
    conflict bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    -- Null where the device does not count.
    last_sequence bigint,
    -- Counted by the device and never heard.
    missing bigint NOT NULL DEFAULT 0,
    -- Bit i: the payload `last_sequence - i` was heard. One that comes late is missing no more.
    heard bit(64) NOT NULL DEFAULT repeat('1', 64)::bit(64),
    PRIMARY KEY (district, device)
) WITH (fillfactor = 70);
