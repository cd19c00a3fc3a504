-- Rules, alerts, who is told, and what became of each message. An alert, its event (outbox) and its deliveries are
-- written in one transaction.

CREATE TABLE alert_rules (
    id text COLLATE "C" PRIMARY KEY,
    district text COLLATE "C" NOT NULL,
    category text NOT NULL,
    watch jsonb NOT NULL,
    title jsonb NOT NULL,
    body jsonb NOT NULL,
    etag text NOT NULL,
    disabled boolean NOT NULL DEFAULT false
);

CREATE TABLE alerts (
    district text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    rule text COLLATE "C" NOT NULL,
    category text NOT NULL,
    device text COLLATE "C" NOT NULL,
    state text NOT NULL CHECK (state IN ('RAISED', 'ACKNOWLEDGED', 'RESOLVED')),
    title jsonb NOT NULL,
    body jsonb NOT NULL,
    occurrence_count bigint NOT NULL,
    raise_time timestamptz NOT NULL,
    event_us bigint NOT NULL,
    acknowledge_time timestamptz,
    acknowledger text NOT NULL DEFAULT '',
    resolve_time timestamptz,
    PRIMARY KEY (district, id)
);
-- One open alert a rule and device, whoever raises it.
CREATE UNIQUE INDEX alerts_open ON alerts (rule, device) WHERE state <> 'RESOLVED';
CREATE INDEX alerts_standing ON alerts (rule, device, event_us DESC);
CREATE INDEX alerts_rate ON alerts (rule, raise_time);
CREATE INDEX alerts_newest ON alerts (district, raise_time DESC, id DESC);

CREATE TABLE subscriptions (
    district text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    categories text[] NOT NULL,
    language text NOT NULL,
    webhook_url text,
    webhook_secret text,
    email_address text,
    PRIMARY KEY (district, id),
    CHECK ((webhook_url IS NULL) <> (email_address IS NULL) AND (webhook_url IS NULL) = (webhook_secret IS NULL))
);

CREATE TABLE deliveries (
    district text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    alert text COLLATE "C" NOT NULL,
    subscription text COLLATE "C" NOT NULL,
    channel text NOT NULL,
    occasion text NOT NULL,
    language text NOT NULL,
    subject text NOT NULL,
    content text NOT NULL,
    state text NOT NULL CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED')),
    reason text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',
    attempt_count integer NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL,
    next_attempt_time timestamptz,
    settle_time timestamptz,
    PRIMARY KEY (district, id),
    CHECK ((state = 'PENDING') = (next_attempt_time IS NOT NULL))
);
CREATE INDEX deliveries_due ON deliveries (next_attempt_time) WHERE state = 'PENDING';
CREATE INDEX deliveries_pending ON deliveries (district, subscription) WHERE state = 'PENDING';
CREATE INDEX deliveries_newest ON deliveries (district, create_time DESC, id DESC);
CREATE INDEX deliveries_alert ON deliveries (district, alert);
CREATE INDEX deliveries_settled ON deliveries (settle_time) WHERE state <> 'PENDING';

-- When devices were last heard, for no-data rules; written every few seconds.
CREATE TABLE sightings (
    district text COLLATE "C" NOT NULL,
    observed_property text COLLATE "C" NOT NULL,
    device text COLLATE "C" NOT NULL,
    event_us bigint NOT NULL,
    PRIMARY KEY (district, observed_property, device)
);

CREATE TABLE answers (
    request_id uuid PRIMARY KEY,
    method text NOT NULL,
    digest bytea NOT NULL,
    body jsonb NOT NULL,
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
