-- Refused readings with their original bytes. The id is that of the message that brought them.
CREATE TABLE quarantine (
    id text PRIMARY KEY,
    receipt_time timestamptz NOT NULL,
    door text NOT NULL,
    district text NOT NULL,
    device text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    reading_count integer NOT NULL,
    content_type text NOT NULL,
    payload bytea NOT NULL,
    replay_time timestamptz
);

CREATE INDEX quarantine_newest ON quarantine (receipt_time DESC, id DESC);

-- Answers of replays, kept for a day: the same request id gives the same answer.
CREATE TABLE replays (
    request_id text PRIMARY KEY,
    accepted bigint NOT NULL,
    refused bigint NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
