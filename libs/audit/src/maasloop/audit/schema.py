"""The tables and functions of audit logs in PostgreSQL, as the administrator of a database makes them."""

from importlib.resources import files

AUDITOR = "maasloop_auditor"
"""The role that reads all logs and writes none."""


def schema_sql() -> str:
    """Return the statements that make the schema ``audit``; running them again changes nothing."""
    return (files("maasloop.audit") / "schema.sql").read_text(encoding="utf-8")


def log_sql(service: str, role: str) -> str:
    """Return the statements that give a service's role its own log; both names are identifiers without quotes."""
    if not all(name.replace("-", "").replace("_", "").isalnum() for name in (service, role)):
        message = f"{service!r} or {role!r} is no name"
        raise ValueError(message)
    return f"""
        INSERT INTO audit.logs (name, role) VALUES ('{service}', '{role}') ON CONFLICT DO NOTHING;
        GRANT USAGE ON SCHEMA audit TO "{role}";
        GRANT EXECUTE ON FUNCTION audit.append(text[]), audit.size(), audit.read(bigint, integer),
            audit.keep(bigint, bytea[], text), audit.newest(integer) TO "{role}";
    """  # noqa: S608 - names were checked above


def auditor_sql() -> str:
    """Return the statements that make the auditor's role where it is missing and let it read."""
    return f"""
        DO $$
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{AUDITOR}') THEN
                CREATE ROLE {AUDITOR} LOGIN;
            END IF;
        END
        $$;
        GRANT USAGE ON SCHEMA audit TO {AUDITOR};
        GRANT SELECT ON audit.logs, audit.entries, audit.checkpoints, audit.archives TO {AUDITOR};
    """
