-- Raised by one at each start: commands are counted from it, so that devices refuse what an earlier process signed.
CREATE TABLE command_generation (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    value bigint NOT NULL
);
