-- Commands and what became of them. setpoint is the JSON of maasloop.api.command.v1.Setpoint.
CREATE TABLE commands (
    district text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    device text COLLATE "C" NOT NULL,
    setpoint text NOT NULL,
    authority smallint NOT NULL,
    issuer text NOT NULL,
    cause text NOT NULL,
    state text NOT NULL,
    state_rank smallint NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    create_time_us bigint NOT NULL,
    not_before_us bigint NOT NULL,
    expire_us bigint NOT NULL,
    verify_by_us bigint NOT NULL,
    dispatch_street_us bigint NOT NULL,
    dispatch_time_us bigint NOT NULL,
    settle_time_us bigint NOT NULL,
    request_digest text NOT NULL,
    change_us bigint NOT NULL,
    PRIMARY KEY (district, id),
    CHECK (state_rank < 4 OR reason <> '')
);
CREATE INDEX commands_newest ON commands (district, create_time_us DESC, id DESC);
CREATE INDEX commands_by_device ON commands (district, device, create_time_us DESC);
CREATE INDEX commands_changed ON commands (district, change_us);
CREATE INDEX commands_open ON commands (district) WHERE state_rank < 4;

CREATE TABLE overrides (
    district text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    device text NOT NULL,
    device_group text NOT NULL,
    setpoint text NOT NULL,
    authority smallint NOT NULL,
    end_us bigint NOT NULL,
    justification text NOT NULL,
    create_time_us bigint NOT NULL,
    ended_time_us bigint NOT NULL,
    request_digest text NOT NULL,
    PRIMARY KEY (district, id)
);
CREATE INDEX overrides_by_end ON overrides (district, end_us DESC, id DESC);

-- Districts under local control.
CREATE TABLE released_districts (
    district text COLLATE "C" PRIMARY KEY
);

-- Every version of every policy; the newest one is in force. rule is the policy as JSON.
CREATE TABLE policies (
    id text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    rule text NOT NULL,
    etag text NOT NULL,
    update_time_us bigint NOT NULL,
    PRIMARY KEY (id, version)
);

-- Why things were done and why not; bounded by age.
CREATE TABLE journal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wall_us bigint NOT NULL,
    district text COLLATE "C" NOT NULL,
    entry text NOT NULL,
    target text NOT NULL,
    issuer text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL
);
CREATE INDEX journal_by_time ON journal (wall_us);
CREATE INDEX journal_by_issuer ON journal (issuer, wall_us);

-- Which instance writes: counted up by whoever takes the lease, so that nobody goes on with a state that is not his.
CREATE TABLE lease (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch bigint NOT NULL
);
INSERT INTO lease (epoch) VALUES (0);

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
