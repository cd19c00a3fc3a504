-- The fence of a partition: every transaction of its writers requires the token of the lease that they were started under.
-- Who takes the lease after them raises it first, which waits for transactions that are about to commit; later ones fail.
CREATE TABLE fences (
    partition integer PRIMARY KEY,
    token bigint NOT NULL
);
