-- Why signal controllers did what they did: one row a district and second of its street, bounded by age. decisions is JSON:
-- device to its decision.
CREATE TABLE signal_decisions (
    district text COLLATE "C" NOT NULL,
    street_second bigint NOT NULL,
    wall_us bigint NOT NULL,
    decisions text NOT NULL,
    PRIMARY KEY (district, street_second)
);
CREATE INDEX signal_decisions_by_time ON signal_decisions (wall_us);
