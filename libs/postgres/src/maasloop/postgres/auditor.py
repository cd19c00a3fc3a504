"""Audit logs as the auditor reads them: all logs of a database, entry by entry (``maasloop.audit.schema``).

Synchronous, for a person at a terminal.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from maasloop.audit.checkpoints import Checkpoint
from maasloop.audit.exports import Begin, Export, Row
from maasloop.audit.notes import Note
from maasloop.core.errors import FailedPrecondition, NotFound, Unavailable
from maasloop.telemetry.configuration import without_secrets

CONNECT_TIMEOUT_S = 5
ROWS_A_FETCH = 5_000
PRUNED_AT_ONCE = 50_000
"""Entries that one transaction takes out."""

type Auditing = psycopg.Connection[Any]

_LOGS = "SELECT name, size FROM audit.logs WHERE size > 0 ORDER BY name"
_NEWEST = "SELECT note, size FROM audit.checkpoints WHERE log = %s ORDER BY size DESC LIMIT 1"
_BEGIN = """
    SELECT a.note, c.peaks, a.size FROM audit.archives AS a JOIN audit.checkpoints AS c USING (log, size)
    WHERE log = %s ORDER BY size DESC LIMIT 1
"""
_ENTRIES = """
    SELECT position, body, chain FROM audit.entries WHERE log = %s AND position > %s AND position <= %s ORDER BY position
"""
# The resource itself and everything below it: '0' is the character behind '/'. The expression is that of the index.
_TOUCHED = """
    SELECT log, position, body FROM audit.entries
    WHERE split_part(split_part(body, '"resource":"', 2), '"', 1) COLLATE "C" = %(resource)s
        OR (split_part(split_part(body, '"resource":"', 2), '"', 1) COLLATE "C" > %(resource)s || '/'
            AND split_part(split_part(body, '"resource":"', 2), '"', 1) COLLATE "C" < %(resource)s || '0')
    ORDER BY (body::json ->> 'time_us')::bigint DESC
    LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Touched:
    """An entry that is about a resource."""

    log: str
    position: int
    body: str


@contextmanager
def auditing(dsn: str, *, administering: bool = False) -> Iterator[Auditing]:
    """Connect to the database of the logs, or say that it does not answer; ``administering`` can change more than read."""
    try:
        connection = psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S, autocommit=administering)
    except psycopg.OperationalError as error:
        raise _away("lets nobody in", error) from None
    try:
        with connection:
            connection.read_only = not administering
            yield connection
    except psycopg.OperationalError as error:
        raise _away("broke off", error) from error


def _away(what: str, error: psycopg.OperationalError) -> Unavailable:
    # What libpq says goes over several lines, the reason first and what may be wrong last.
    reason = without_secrets(" ".join(str(error).split())) or type(error).__name__
    message = f"the database of the audit logs {what}: {reason}"
    return Unavailable("NEIGHBOUR_UNAVAILABLE", message, {"neighbour": "database"})


def log_names(connection: Auditing) -> list[str]:
    """Return the logs that have entries."""
    return [row[0] for row in connection.execute(_LOGS)]


def stored(connection: Auditing, log: str) -> Export:
    """Return a log up to its newest checkpoint, entry by entry as it is asked for."""
    newest = connection.execute(_NEWEST, [log]).fetchone()
    if newest is None:
        message = f"the log of {log} has no checkpoint yet; the first one comes a few seconds after its first entry"
        raise NotFound("RESOURCE_NOT_FOUND", message, {"name": log})
    note, size = newest
    return _part(connection, log, note, size)


def archivable(connection: Auditing, log: str, note: str) -> Export:
    """Return what of a log no archive holds, up to a checkpoint that a witness cosigned (``note``)."""
    return _part(connection, log, note, Checkpoint.read(Note.parse(note)).size)


def archived(connection: Auditing, log: str, note: str) -> int:
    """Take out of the database what lies in archives up to a checkpoint; return how many entries went.

    Needs the administrator's connection, outside a transaction. Raises ``FailedPrecondition`` where the keeper of the
    log still needs them.
    """
    try:
        connection.execute("SELECT audit.archive(%s, %s, %s)", [log, Checkpoint.read(Note.parse(note)).size, note])
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise FailedPrecondition("STATE_FORBIDS", str(error).splitlines()[0], {"state": "signed"}) from None
    gone = 0
    while row := connection.execute("SELECT audit.prune(%s, %s)", [log, PRUNED_AT_ONCE]).fetchone():
        if not row[0]:
            break
        gone += int(row[0])
    return gone


def archived_size(connection: Auditing, log: str) -> int:
    """Return up to which entry a log lies in archives; 0 for none."""
    found = connection.execute("SELECT max(size) FROM audit.archives WHERE log = %s", [log]).fetchone()
    return int(found[0] or 0) if found else 0


def touched(connection: Auditing, resource: str, limit: int) -> list[Touched]:
    """Return the entries about a resource and what lies below it, the newest first."""
    rows = connection.execute(_TOUCHED, {"resource": resource, "limit": limit})
    return [Touched(*row) for row in rows]


def _part(connection: Auditing, log: str, note: str, size: int) -> Export:
    found = connection.execute(_BEGIN, [log]).fetchone()
    begin, after = (None, 0) if found is None else (Begin(found[0], tuple(map(bytes, found[1]))), found[2])
    origin = Checkpoint.read(Note.parse(note)).origin
    return Export(origin, note, _rows(connection, log, after, size), begin)


def _rows(connection: Auditing, log: str, after: int, size: int) -> Iterator[Row]:
    # Who finds a fault in one log stops reading it, and its cursor may still be open beside the next one's.
    with connection.cursor(name=f"audit_export_{log}", withhold=connection.autocommit) as cursor:
        cursor.itersize = ROWS_A_FETCH
        for position, body, chain in cursor.execute(_ENTRIES, [log, after, size]):
            yield Row(position, body, bytes(chain))
