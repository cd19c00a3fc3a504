-- How many partitions the districts are divided into. One row, changed by the first process that starts with another
-- number, in the transaction that makes everything below begin anew for the new partitions.
CREATE TABLE partitioning (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    partitions integer NOT NULL CHECK (partitions BETWEEN 1 AND 64)
);

INSERT INTO partitioning (partitions) VALUES (1);

-- Up to where a partition has stored everything of its districts, in one life of a stream: where it begins to read. Of
-- a life without a row nothing was stored, or all of it in order by the only partition.
CREATE TABLE partition_floors (
    stream text NOT NULL,
    created text NOT NULL,
    epoch integer NOT NULL,
    partition integer NOT NULL,
    sequence bigint NOT NULL,
    -- Up to where the totals of producers were counted; by partition 0, for all districts.
    heard bigint NOT NULL,
    PRIMARY KEY (stream, created, epoch, partition)
) WITH (fillfactor = 20);

-- What live lanes of partitions that were divided otherwise have stored beyond the positions of their districts.
CREATE TABLE inherited_seams (
    stream text NOT NULL,
    created text NOT NULL,
    epoch integer NOT NULL,
    partition integer NOT NULL,
    partitions integer NOT NULL,
    after bigint NOT NULL,
    upto bigint NOT NULL
);

-- Each partition has a window of its own.
ALTER TABLE rollup_windows
    ADD COLUMN partition integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT rollup_windows_pkey,
    ADD PRIMARY KEY (partition, retention);
