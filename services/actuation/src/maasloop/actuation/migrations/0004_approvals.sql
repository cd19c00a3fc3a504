-- Requests that need a second person; granted at most once.
CREATE TABLE approvals (
    district text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    device text COLLATE "C" NOT NULL,
    setpoint text NOT NULL,
    justification text NOT NULL,
    requester text NOT NULL,
    create_time_us bigint NOT NULL,
    approver text NOT NULL DEFAULT '',
    PRIMARY KEY (district, id),
    CHECK (approver <> requester)
);
CREATE INDEX approvals_newest ON approvals (district, create_time_us DESC, id DESC);
