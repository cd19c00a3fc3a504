-- Readers: database roles that read rows of their districts with SQL and nothing else. They have no right on any table:
-- rights on a hypertable are copied to its chunks, where no policy holds. What they read are views that ask who asks;
-- `security_barrier` keeps functions and operators of a query from seeing a row before that. Readings of personal series
-- are in none of them.
CREATE TABLE readers (
    role name NOT NULL,
    district text NOT NULL,
    PRIMARY KEY (role, district)
);

CREATE VIEW district_numbers WITH (security_barrier) AS
    SELECT s.district, s.device, s.observed_property, n.time, n.receipt_time, n.value
    FROM readers AS r
    JOIN series AS s ON s.district = r.district AND NOT s.personal
    JOIN numbers AS n ON n.series = s.id
    WHERE r.role = current_user;

CREATE VIEW district_states WITH (security_barrier) AS
    SELECT s.district, s.device, s.observed_property, n.time, n.receipt_time, n.state
    FROM readers AS r
    JOIN series AS s ON s.district = r.district AND NOT s.personal
    JOIN states AS n ON n.series = s.id
    WHERE r.role = current_user;

CREATE VIEW district_positions WITH (security_barrier) AS
    SELECT s.district, s.device, s.observed_property, n.time, n.receipt_time, n.longitude, n.latitude
    FROM readers AS r
    JOIN series AS s ON s.district = r.district AND NOT s.personal
    JOIN positions AS n ON n.series = s.id
    WHERE r.role = current_user;

-- Lets a role read these districts and no others; again with other districts changes them, with none ends it.
CREATE FUNCTION admit_reader(reader name, districts text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    shown text;
BEGIN
    IF pg_has_role(reader, current_user, 'MEMBER') THEN
        RAISE EXCEPTION '% has the rights of % already, and would read every district', reader, current_user;
    END IF;
    DELETE FROM readers WHERE role = reader;
    INSERT INTO readers (role, district) SELECT DISTINCT reader, unnest(districts);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', current_schema, reader);
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', current_schema, reader);
    IF cardinality(districts) > 0 THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema, reader);
        FOREACH shown IN ARRAY ARRAY ['district_numbers', 'district_states', 'district_positions'] LOOP
            EXECUTE format('GRANT SELECT ON %I TO %I', shown, reader);
        END LOOP;
    END IF;
END;
$$;

REVOKE EXECUTE ON FUNCTION admit_reader(name, text[]) FROM PUBLIC;

-- What others than the owner may do to tables and chunks: nothing, so that a row here is a fault to mend at once.
CREATE VIEW foreign_rights AS
    SELECT c.oid::regclass::text AS relation, coalesce(g.rolname, 'PUBLIC') AS grantee, a.privilege_type AS privilege
    FROM pg_class AS c
    CROSS JOIN LATERAL aclexplode(c.relacl) AS a
    LEFT JOIN pg_roles AS g ON g.oid = a.grantee
    WHERE c.relowner = (SELECT relowner FROM pg_class WHERE oid = 'readers'::regclass)
        AND a.grantee <> c.relowner
        AND c.oid NOT IN ('district_numbers'::regclass, 'district_states'::regclass, 'district_positions'::regclass);
