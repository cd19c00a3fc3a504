-- What became of every reading that was acknowledged, and how far each stream has been dealt with. All of it changes in
-- the transaction of the rows.

-- Position within one life of a stream. `created` is the stream's own birth; a stream that was set back to an older
-- state begins a new epoch.
CREATE TABLE positions_in_streams (
    stream text NOT NULL,
    created text NOT NULL,
    epoch integer NOT NULL,
    district text NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (stream, created, epoch, district)
);

CREATE TABLE custody (
    district text PRIMARY KEY,
    accepted bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    conflict bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    refused_consent bigint NOT NULL DEFAULT 0,
    shed bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0
);

-- Readings of a producer that were seen, and that it had proof for: less seen than proven is a loss.
CREATE TABLE producers (
    producer text NOT NULL,
    stream text NOT NULL,
    seen bigint NOT NULL,
    lost bigint NOT NULL,
    update_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (producer, stream)
);

-- Facts that leave in the transaction of the rows: readings whose key holds another value.
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
