"""Every statement of the service, by intent."""

# ruff: noqa: S608 - statements are made of literals of this file

from typing import Final, LiteralString

from maasloop.runtime.outbox import APPENDED, NOTIFIED

COMMAND_COLUMNS: Final[LiteralString] = """
    district, id, device, setpoint, authority, issuer, cause, state, reason, detail, create_time_us, not_before_us,
    expire_us, verify_by_us, dispatch_street_us, dispatch_time_us, settle_time_us, request_digest
"""

_WRITTEN: Final[LiteralString] = f"""
    WITH put AS (
        INSERT INTO commands AS known (
            district, id, device, setpoint, authority, issuer, cause, state, state_rank, reason, detail,
            create_time_us, not_before_us, expire_us, verify_by_us, dispatch_street_us, dispatch_time_us,
            settle_time_us, request_digest, change_us
        )
        SELECT * FROM unnest(
            %s::text[], %s::text[], %s::text[], %s::text[], %s::smallint[], %s::text[], %s::text[], %s::text[],
            %s::smallint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[]
        )
        ON CONFLICT (district, id) DO UPDATE SET
            state = excluded.state,
            state_rank = excluded.state_rank,
            reason = excluded.reason,
            detail = excluded.detail,
            verify_by_us = excluded.verify_by_us,
            dispatch_street_us = excluded.dispatch_street_us,
            dispatch_time_us = excluded.dispatch_time_us,
            settle_time_us = excluded.settle_time_us,
            change_us = excluded.change_us
        WHERE known.state_rank < excluded.state_rank
    ), overridden AS (
        INSERT INTO overrides (
            district, id, device, device_group, setpoint, authority, end_us, justification, create_time_us,
            ended_time_us, request_digest
        )
        SELECT * FROM unnest(
            %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::smallint[], %s::bigint[], %s::text[],
            %s::bigint[], %s::bigint[], %s::text[]
        )
        ON CONFLICT (district, id) DO UPDATE SET ended_time_us = excluded.ended_time_us
    ), journalled AS (
        INSERT INTO journal (wall_us, district, entry, target, issuer, reason, detail)
        SELECT * FROM unnest(
            %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[]
        )
    ), explained AS (
        INSERT INTO signal_decisions (district, street_second, wall_us, decisions)
        SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[])
        ON CONFLICT (district, street_second) DO UPDATE SET
            wall_us = excluded.wall_us, decisions = excluded.decisions
    ), changed_districts AS (
        SELECT key AS district, value::boolean AS released FROM jsonb_each_text(%s::jsonb)
    ), released AS (
        INSERT INTO released_districts (district)
        SELECT district FROM changed_districts WHERE released
        ON CONFLICT DO NOTHING
    ), resumed AS (
        DELETE FROM released_districts WHERE district IN (SELECT district FROM changed_districts WHERE NOT released)
    ), {APPENDED}
"""
WRITE: Final[LiteralString] = f"{_WRITTEN}{NOTIFIED}"
"""Everything that a commit writes, as one statement: on a busy machine each wait between two costs more than their work.

The same plan each time: the columns of a commit are short. With more than 50 arguments the driver would read the statement
anew at each commit, which takes longer than the commit's own work here.
"""
WRITE_AUDITED: Final[LiteralString] = f"""
    {_WRITTEN} SELECT audit.append(%s::text[]), (SELECT count(*) FROM ({NOTIFIED}) AS told)
"""
"""The same, with the entries of its commands in the audit log: what the log does not take does not happen."""
GENERIC_PLANS: Final[LiteralString] = "SET plan_cache_mode = force_generic_plan"

TRY_LEASE: Final[LiteralString] = (
    "SELECT pg_try_advisory_lock(hashtextextended('maasloop.actuation.lease.' || current_schema(), 0))"
)
NEXT_EPOCH: Final[LiteralString] = "UPDATE lease SET epoch = epoch + 1 RETURNING epoch"

OPEN_COMMANDS: Final[LiteralString] = f"SELECT {COMMAND_COLUMNS} FROM commands WHERE state_rank < 4"
BESIDE: Final[LiteralString] = (
    r'^\{"(inputSettings|detectorSetting|signalPriority|clockSetting|securityCodeChange|alarmHandling)"'
)
"""How the setpoints begin that take no lease."""
# The lease of a command outlives its verification; the newest of a device is the one in force.
LEASES: Final[LiteralString] = f"""
    SELECT DISTINCT ON (district, device) {COMMAND_COLUMNS}
    FROM commands
    WHERE state <> 'REFUSED' AND create_time_us >= %s AND setpoint !~ '{BESIDE}'
    ORDER BY district, device, create_time_us DESC
"""
STANDING_KINDS: Final[LiteralString] = (
    r'^\{"(signalPlan|trafficSituation|emergencyRoute|inputSettings|detectorSetting|signalPriority)"'
)
"""How the setpoints begin that a driver takes back at their expiry."""
STANDING: Final[LiteralString] = f"""
    SELECT {COMMAND_COLUMNS}
    FROM commands
    WHERE state <> 'REFUSED' AND setpoint ~ '{STANDING_KINDS}'
        AND (create_time_us >= %(programmes_us)s OR (create_time_us >= %(people_us)s AND authority >= %(person)s))
    ORDER BY create_time_us
"""
RELEASED: Final[LiteralString] = "SELECT district FROM released_districts"

ONE_COMMAND: Final[LiteralString] = f"SELECT {COMMAND_COLUMNS} FROM commands WHERE district = %s AND id = %s"
LIST_COMMANDS: Final[LiteralString] = f"""
    SELECT {COMMAND_COLUMNS}
    FROM commands
    WHERE district = %(district)s
        AND (%(device)s = '' OR device = %(device)s)
        AND (%(state)s = '' OR state = %(state)s)
        AND (create_time_us, id) < (%(before_us)s, %(before_id)s)
    ORDER BY create_time_us DESC, id DESC
    LIMIT %(limit)s
"""
CHANGED_COMMANDS: Final[LiteralString] = f"""
    SELECT {COMMAND_COLUMNS}, change_us
    FROM commands
    WHERE district = %s AND change_us > %s
    ORDER BY change_us
    LIMIT %s
"""

OVERRIDE_COLUMNS: Final[LiteralString] = """
    district, id, device, device_group, setpoint, authority, end_us, justification, create_time_us, ended_time_us,
    request_digest
"""
ONE_OVERRIDE: Final[LiteralString] = f"SELECT {OVERRIDE_COLUMNS} FROM overrides WHERE district = %s AND id = %s"
LIST_OVERRIDES: Final[LiteralString] = f"""
    SELECT {OVERRIDE_COLUMNS}
    FROM overrides
    WHERE district = %(district)s AND ((ended_time_us <> 0)::int, -end_us, id) > (%(ended)s, %(end)s, %(id)s)
    ORDER BY (ended_time_us <> 0)::int, -end_us, id
    LIMIT %(limit)s
"""
LIVE_OVERRIDES: Final[LiteralString] = (
    f"SELECT {OVERRIDE_COLUMNS} FROM overrides WHERE ended_time_us = 0 AND end_us > %s"
)

NEWEST_POLICIES: Final[LiteralString] = """
    SELECT DISTINCT ON (id) id, version, rule, etag, update_time_us FROM policies ORDER BY id, version DESC
"""
NEWEST_POLICY: Final[LiteralString] = """
    SELECT id, version, rule, etag, update_time_us FROM policies WHERE id = %s ORDER BY version DESC LIMIT 1
"""
ADD_POLICY: Final[LiteralString] = """
    INSERT INTO policies (id, version, rule, etag, update_time_us) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

COUNT_SHADOW: Final[LiteralString] = """
    SELECT entry, reason, count(*)
    FROM journal
    WHERE issuer = %s AND wall_us >= %s AND wall_us < %s AND entry IN (
        'shadow_on', 'shadow_off', 'shadow_command', 'shadow_refused'
    )
    GROUP BY entry, reason
"""
FORGET_JOURNAL: Final[LiteralString] = """
    DELETE FROM journal WHERE id IN (SELECT id FROM journal WHERE wall_us < %s ORDER BY wall_us LIMIT %s)
"""
# The last second at or before a moment, and the first one at or after it.
SIGNAL_DECISIONS_NEAR: Final[LiteralString] = """
    (
        SELECT street_second, wall_us, decisions FROM signal_decisions
        WHERE district = %(district)s AND street_second <= %(second)s
        ORDER BY street_second DESC LIMIT 1
    )
    UNION ALL
    (
        SELECT street_second, wall_us, decisions FROM signal_decisions
        WHERE district = %(district)s AND street_second >= %(second)s
        ORDER BY street_second LIMIT 1
    )
"""
FORGET_SIGNAL_DECISIONS: Final[LiteralString] = """
    DELETE FROM signal_decisions WHERE (district, street_second) IN (
        SELECT district, street_second FROM signal_decisions WHERE wall_us < %s ORDER BY wall_us LIMIT %s
    )
"""
FORGET_COMMANDS: Final[LiteralString] = """
    DELETE FROM commands WHERE (district, id) IN (
        SELECT district, id FROM commands WHERE state_rank = 4 AND settle_time_us < %s LIMIT %s
    )
"""

NEXT_GENERATION: Final[LiteralString] = """
    INSERT INTO command_generation (value) VALUES (%s)
    ON CONFLICT (single) DO UPDATE SET value = greatest(command_generation.value + 1, excluded.value)
    RETURNING value
"""

APPROVAL_COLUMNS: Final[LiteralString] = """
    district, id, device, setpoint, justification, requester, create_time_us, approver
"""
ADD_APPROVAL: Final[LiteralString] = """
    INSERT INTO approvals (district, id, device, setpoint, justification, requester, create_time_us)
    VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING id
"""
FORGET_APPROVALS: Final[LiteralString] = (
    "DELETE FROM approvals WHERE district = %s AND create_time_us < %s RETURNING id"
)
ONE_APPROVAL: Final[LiteralString] = f"SELECT {APPROVAL_COLUMNS} FROM approvals WHERE district = %s AND id = %s"
GRANT_APPROVAL: Final[LiteralString] = """
    UPDATE approvals SET approver = %s WHERE district = %s AND id = %s AND approver IN ('', %s) RETURNING id
"""
LIST_APPROVALS: Final[LiteralString] = f"""
    SELECT {APPROVAL_COLUMNS} FROM approvals WHERE district = %s AND (create_time_us, id) < (%s, %s)
    ORDER BY create_time_us DESC, id DESC LIMIT %s
"""
