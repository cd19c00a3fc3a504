-- Keys of programs. A secret of 256 random bits is kept as its SHA-256, by which it is found.
CREATE TABLE api_keys (
    id text COLLATE "C" PRIMARY KEY,
    program text COLLATE "C" NOT NULL,
    digest bytea NOT NULL UNIQUE,
    -- What the program may: `[{"role": …, "districts": […], "domains": […]}]`; a list left out means all.
    grants jsonb NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    revoke_time timestamptz
);
