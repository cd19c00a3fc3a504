-- How often clients were refused in the name of a holder. There is a row for holders that exist only, so that strangers
-- who invent names fill no table.
CREATE TABLE refusals (
    kind text COLLATE "C" NOT NULL,
    district text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    -- Beginning of the hour of the last one, and how many it had.
    hour timestamptz NOT NULL,
    hour_count bigint NOT NULL,
    last_time timestamptz NOT NULL,
    last_reason text NOT NULL,
    PRIMARY KEY (kind, district, holder)
);
