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

-- What records are searched by.
CREATE TABLE consent_records (
    id text COLLATE "C" PRIMARY KEY,
    data_subject text COLLATE "C" NOT NULL,
    processing_activity text COLLATE "C" NOT NULL,
    state text NOT NULL,
    give_time timestamptz NOT NULL,
    expire_time timestamptz,
    request_id uuid UNIQUE
);
-- Of a person and an activity at most one record decides.
CREATE UNIQUE INDEX consent_records_decisive ON consent_records (data_subject, processing_activity)
    WHERE state IN ('GIVEN', 'OBJECTED');
CREATE INDEX consent_records_person ON consent_records (data_subject, processing_activity, give_time);
CREATE INDEX consent_records_newest ON consent_records (give_time, id);
CREATE INDEX consent_records_due ON consent_records (expire_time) WHERE state = 'GIVEN';
