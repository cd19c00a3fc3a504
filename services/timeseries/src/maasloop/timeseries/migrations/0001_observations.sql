-- Rows of observations. A table is one kind of result in one retention class, so that retention drops whole chunks.
-- `series` is the service's own number of (district, device, observed property) in one class; it never leaves here.

CREATE TABLE series (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district text NOT NULL,
    device text NOT NULL,
    observed_property text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('numbers', 'states', 'positions')),
    retention text NOT NULL CHECK (retention IN ('7d', '90d', '2y', 'forever')),
    personal boolean NOT NULL DEFAULT false,
    create_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (district, device, observed_property, kind, retention)
);

-- A time that is not later than the newest row of the series: from there on a reader has to look. Written about once a
-- second and series however many rows come, and never needed for correctness.
CREATE TABLE newest (
    series integer PRIMARY KEY,
    event_time timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.5);

DO $$
DECLARE
    class record;
    result record;
    name text;
BEGIN
    FOR class IN
        SELECT * FROM (VALUES ('7d', '1 day'), ('90d', '7 days'), ('2y', '30 days'), ('forever', '30 days'))
            AS classes (retention, chunk)
    LOOP
        FOR result IN
            SELECT * FROM (VALUES
                ('numbers', 'value double precision NOT NULL'),
                ('states', 'state text NOT NULL'),
                ('positions', 'longitude double precision NOT NULL, latitude double precision NOT NULL')
            ) AS results (kind, columns)
        LOOP
            name := result.kind || '_' || class.retention;
            EXECUTE format(
                'CREATE TABLE %I (time timestamptz NOT NULL, receipt_time timestamptz NOT NULL, %s, series integer NOT NULL)',
                name, result.columns
            );
            PERFORM create_hypertable(
                format('%I', name)::regclass, by_range('time', class.chunk::interval), create_default_indexes => false
            );
            EXECUTE format('ALTER TABLE %I ADD UNIQUE (series, time)', name);
        END LOOP;
    END LOOP;
END;
$$;

CREATE VIEW numbers AS
    SELECT series, time, receipt_time, value FROM "numbers_7d"
    UNION ALL SELECT series, time, receipt_time, value FROM "numbers_90d"
    UNION ALL SELECT series, time, receipt_time, value FROM "numbers_2y"
    UNION ALL SELECT series, time, receipt_time, value FROM "numbers_forever";

CREATE VIEW states AS
    SELECT series, time, receipt_time, state FROM "states_7d"
    UNION ALL SELECT series, time, receipt_time, state FROM "states_90d"
    UNION ALL SELECT series, time, receipt_time, state FROM "states_2y"
    UNION ALL SELECT series, time, receipt_time, state FROM "states_forever";

CREATE VIEW positions AS
    SELECT series, time, receipt_time, longitude, latitude FROM "positions_7d"
    UNION ALL SELECT series, time, receipt_time, longitude, latitude FROM "positions_90d"
    UNION ALL SELECT series, time, receipt_time, longitude, latitude FROM "positions_2y"
    UNION ALL SELECT series, time, receipt_time, longitude, latitude FROM "positions_forever";
