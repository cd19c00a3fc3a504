-- The audit logs of a database, made by its administrator; running this a second time changes nothing.
-- Each service role may call the functions below about its own log and has no right on any table. The owner of the tables
-- can't log in, and even for the owner the triggers refuse every change of a row, and every deletion but that of archived entries.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'maasloop_audit') THEN
        CREATE ROLE maasloop_audit NOLOGIN;
    END IF;
END
$$;
CREATE SCHEMA IF NOT EXISTS audit AUTHORIZATION maasloop_audit;

-- One row a log: who may write it, how many entries it has, and the link of the last one. The row's lock orders writers.
CREATE TABLE IF NOT EXISTS audit.logs (
    name text COLLATE "C" PRIMARY KEY,
    role text COLLATE "C" NOT NULL UNIQUE,
    size bigint NOT NULL DEFAULT 0,
    chain bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
) WITH (fillfactor = 20);

-- body is the canonical JSON of an entry (maasloop.audit.entries); leaf and chain as in maasloop.audit.tree and .chain.
CREATE TABLE IF NOT EXISTS audit.entries (
    log text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    body text NOT NULL,
    leaf bytea NOT NULL,
    chain bytea NOT NULL,
    PRIMARY KEY (log, position)
);
CREATE INDEX IF NOT EXISTS entries_by_resource ON audit.entries (
    (split_part(split_part(body, '"resource":"', 2), '"', 1) COLLATE "C"), log, position
);

-- What was signed (maasloop.audit.checkpoints), with the peaks of the tree, from which its keeper goes on.
CREATE TABLE IF NOT EXISTS audit.checkpoints (
    log text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    peaks bytea[] NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (log, size)
);

-- Up to which entry a log lies in archives outside, and the checkpoint of that size, cosigned by a witness.
CREATE TABLE IF NOT EXISTS audit.archives (
    log text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (log, size)
);

CREATE OR REPLACE FUNCTION audit.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Within audit.prune; what it deletes is looked at once more afterwards.
    IF tg_op = 'DELETE' AND tg_table_name = 'entries' AND current_user = 'maasloop_audit' THEN
        RETURN NULL;
    END IF;
    RAISE insufficient_privilege USING MESSAGE = format('%s of %s is refused: an audit log only grows', tg_op, tg_table_name);
END
$$;
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse();
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse();
CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.archives
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse();
CREATE OR REPLACE FUNCTION audit.refuse_unarchived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT log, max(position) AS last FROM gone GROUP BY log) AS g
        WHERE g.last > coalesce((SELECT max(a.size) FROM audit.archives AS a WHERE a.log = g.log), 0)
    ) THEN
        RAISE insufficient_privilege USING MESSAGE = 'DELETE of entries is refused: they lie in no archive, and an audit log only grows';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER only_archived AFTER DELETE ON audit.entries
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_unarchived();
CREATE OR REPLACE TRIGGER never_vanishes BEFORE DELETE OR TRUNCATE ON audit.logs
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse();

-- Adds entries to the log of the role that logged in, within its transaction, and returns the log's size. Others who
-- write the same log wait until that transaction ends.
CREATE OR REPLACE FUNCTION audit.append(bodies text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own audit.logs%ROWTYPE;
    first bigint;
    entry text;
    leaf bytea;
    leaves bytea[] := '{}';
    links bytea[] := '{}';
BEGIN
    IF cardinality(bodies) = 0 THEN
        RETURN NULL;
    END IF;
    SELECT * INTO own FROM audit.logs WHERE role = session_user FOR UPDATE;
    IF NOT FOUND THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s has no audit log', session_user);
    END IF;
    first := own.size + 1;
    FOREACH entry IN ARRAY bodies LOOP
        leaf := sha256('\x00'::bytea || convert_to(entry, 'UTF8'));
        own.chain := sha256('\x02'::bytea || own.chain || leaf);
        own.size := own.size + 1;
        leaves := leaves || leaf;
        links := links || own.chain;
    END LOOP;
    INSERT INTO audit.entries (log, position, body, leaf, chain)
    SELECT own.name, first + place - 1, row.body, row.leaf, row.chain
    FROM unnest(bodies, leaves, links) WITH ORDINALITY AS row (body, leaf, chain, place);
    UPDATE audit.logs SET size = own.size, chain = own.chain WHERE name = own.name;
    RETURN own.size;
END
$$;

-- Returns how many entries the log of the role that logged in has.
CREATE OR REPLACE FUNCTION audit.size() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT size FROM audit.logs WHERE role = session_user
$$;

-- Reads the log of the role that logged in, in order.
CREATE OR REPLACE FUNCTION audit.read(after bigint, upto integer)
RETURNS TABLE (place bigint, entry text, link bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.position, e.body, e.chain
    FROM audit.entries AS e JOIN audit.logs AS l ON l.name = e.log
    WHERE l.role = session_user AND e.position > after
    ORDER BY e.position
    LIMIT upto
$$;

-- Keeps a checkpoint of the log of the role that logged in; of two of the same size the first stays.
CREATE OR REPLACE FUNCTION audit.keep(entries bigint, roots bytea[], signed text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO audit.checkpoints (log, size, peaks, note)
    SELECT name, entries, roots, signed FROM audit.logs WHERE role = session_user AND entries <= size
    ON CONFLICT DO NOTHING
    RETURNING true
$$;

-- Returns the newest checkpoints of the log of the role that logged in, the newest first.
CREATE OR REPLACE FUNCTION audit.newest(count integer) RETURNS TABLE (entries bigint, roots bytea[], signed text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.size, c.peaks, c.note
    FROM audit.checkpoints AS c JOIN audit.logs AS l ON l.name = c.log
    WHERE l.role = session_user
    ORDER BY c.size DESC
    LIMIT count
$$;

-- Says, as the administrator, that a log lies in archives up to a checkpoint. Its keeper goes on from the last two
-- checkpoints, so what lies behind the older of them stays.
CREATE OR REPLACE FUNCTION audit.archive(archived text, entries bigint, signed text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM audit.checkpoints WHERE log = archived AND size = entries) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = 'the log was never signed at that size';
    END IF;
    IF entries > coalesce((SELECT size FROM audit.checkpoints WHERE log = archived ORDER BY size DESC OFFSET 1 LIMIT 1), 0) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = 'the keeper of the log needs what lies behind its last checkpoint but one';
    END IF;
    INSERT INTO audit.archives VALUES (archived, entries, signed) ON CONFLICT DO NOTHING;
END
$$;

-- Deletes, as the administrator, some of the oldest archived entries of a log, and returns how many.
CREATE OR REPLACE FUNCTION audit.prune(archived text, upto integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (
        DELETE FROM audit.entries WHERE log = archived
            AND position <= (SELECT max(size) FROM audit.archives WHERE log = archived)
            AND position < upto + (SELECT min(position) FROM audit.entries WHERE log = archived)
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

ALTER TABLE audit.logs OWNER TO maasloop_audit;
ALTER TABLE audit.entries OWNER TO maasloop_audit;
ALTER TABLE audit.checkpoints OWNER TO maasloop_audit;
ALTER TABLE audit.archives OWNER TO maasloop_audit;
ALTER FUNCTION audit.append(text[]) OWNER TO maasloop_audit;
ALTER FUNCTION audit.size() OWNER TO maasloop_audit;
ALTER FUNCTION audit.read(bigint, integer) OWNER TO maasloop_audit;
ALTER FUNCTION audit.keep(bigint, bytea[], text) OWNER TO maasloop_audit;
ALTER FUNCTION audit.newest(integer) OWNER TO maasloop_audit;
ALTER FUNCTION audit.archive(text, bigint, text) OWNER TO maasloop_audit;
ALTER FUNCTION audit.prune(text, integer) OWNER TO maasloop_audit;
REVOKE ALL ON FUNCTION audit.archive(text, bigint, text), audit.prune(text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit.append(text[]), audit.size(), audit.read(bigint, integer), audit.keep(bigint, bytea[], text), audit.newest(integer)
    FROM PUBLIC;
