-- Resources in the form in which they travel, numbered by one counter (maasloop.postgres.revision), with the answers to
-- request ids and the facts that leave with a change (maasloop.runtime.owning, maasloop.runtime.outbox).

CREATE TABLE revisions (name text PRIMARY KEY, value bigint NOT NULL CHECK (value >= 0));

CREATE TABLE resources (
    kind text COLLATE "C" NOT NULL,
    district text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    revision bigint NOT NULL UNIQUE,
    body bytea NOT NULL,
    PRIMARY KEY (kind, district, id)
);

CREATE TABLE answers (
    request_id uuid PRIMARY KEY,
    method text NOT NULL,
    digest bytea NOT NULL,
    body bytea NOT NULL,
    create_time timestamptz NOT NULL
);
CREATE INDEX answers_create_time ON answers (create_time);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    ce_id text NOT NULL,
    ce_type text NOT NULL,
    body bytea NOT NULL,
    traceparent text NOT NULL DEFAULT '',
    revision bigint,
    created_time timestamptz NOT NULL DEFAULT now()
);

-- What devices are searched by. Boxes of meridians and parallels need no PostGIS; where it is present, an index on
-- ST_Point(longitude, latitude) may replace devices_place without a change of the statements.
CREATE TABLE devices (
    district text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    device_type text COLLATE "C" NOT NULL,
    state text NOT NULL,
    groups text[] NOT NULL,
    gateway text COLLATE "C" NOT NULL,
    longitude double precision,
    latitude double precision,
    content bytea NOT NULL,
    PRIMARY KEY (district, id)
);
CREATE INDEX devices_type ON devices (district, device_type, id);
CREATE INDEX devices_gateway ON devices (district, gateway) WHERE gateway <> '';
CREATE INDEX devices_groups ON devices USING gin (groups);
CREATE INDEX devices_place ON devices (longitude, latitude) WHERE longitude IS NOT NULL;
