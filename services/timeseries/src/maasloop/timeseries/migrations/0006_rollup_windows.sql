-- The open window: the one writer that has it holds minutes back in memory from `open_from` on, and merges each once,
-- when it closes. Its rows before `open_from` are all in minutes and hours, none from there on is; what other writers
-- store is merged at once. So minutes and hours are whole before `open_from`, which never moves back, and figures from
-- there on come from rows. Null: nothing is held back, minutes and hours are whole.
CREATE TABLE rollup_windows (
    retention text PRIMARY KEY,
    open_from timestamptz CHECK (open_from = date_bin('1 minute', open_from, '2000-01-03 00:00:00+00')),
    -- Rises with each writer that takes the window over: the transactions of the one before fail.
    owner bigint NOT NULL
) WITH (fillfactor = 20);

INSERT INTO rollup_windows (retention, owner) SELECT unnest(ARRAY ['7d', '90d', '2y', 'forever']), 0;
