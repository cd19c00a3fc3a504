-- What devices prove themselves with, and the connections that rest on it. A secret of 256 random bits is kept as its
-- SHA-256: there is nothing to guess, so that a slow hash would protect nothing.

CREATE TABLE claims (
    digest bytea PRIMARY KEY,
    batch uuid NOT NULL,
    rate_per_minute integer NOT NULL,
    district text COLLATE "C" NOT NULL,
    device text COLLATE "C" NOT NULL,
    expire_time timestamptz NOT NULL,
    use_time timestamptz
);
CREATE INDEX claims_batch ON claims (batch, use_time) WHERE use_time IS NOT NULL;
CREATE INDEX claims_expire_time ON claims (expire_time);

CREATE TABLE credentials (
    id text COLLATE "C" PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    district text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    method text NOT NULL,
    proof bytea NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz,
    revoke_time timestamptz
);
CREATE INDEX credentials_holder ON credentials (kind, district, holder, id);
-- A key or a certificate tells its holder.
CREATE INDEX credentials_proof ON credentials (proof) WHERE method <> 'PASSWORD';

-- A row is committed before the server is told to let the client in, so that whoever revokes afterwards finds it.
CREATE TABLE connections (
    server text COLLATE "C" NOT NULL,
    connection bigint NOT NULL,
    credential text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    district text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (server, connection)
);
CREATE INDEX connections_holder ON connections (kind, district, holder);
CREATE INDEX connections_expire_time ON connections (expire_time);
