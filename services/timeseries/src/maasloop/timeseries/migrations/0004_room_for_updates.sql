-- A lot changes every bucket of a page at once: only a page that is half empty has room for all new versions, so that no
-- index changes with them. Chunks that exist keep their pages.

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT kind || '_' || retention
        FROM unnest(ARRAY ['minutes', 'hours']) AS kind, unnest(ARRAY ['7d', '90d', '2y', 'forever']) AS retention
    LOOP
        EXECUTE format('ALTER TABLE %I SET (fillfactor = 50)', name);
    END LOOP;
END;
$$;
