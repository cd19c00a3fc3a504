"""Audit logs as the command line reads them: from the database as the auditor, from exports, with the keys of a checkout."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maasloop.core.errors import InvalidArgument, NotFound, Unavailable
from maasloop.core.reasons import Reason
from maasloop.stack.audit_keys import AuditFiles

if TYPE_CHECKING:
    import psycopg

    from maasloop.audit.exports import Export, Row
    from maasloop.audit.notes import VerifyingKey

CONNECT_TIMEOUT_S = 5
ROWS_A_FETCH = 5_000

_LOGS = "SELECT name, size FROM audit.logs WHERE size > 0 ORDER BY name"
_NEWEST = "SELECT note, size FROM audit.checkpoints WHERE log = %s ORDER BY size DESC LIMIT 1"
_ENTRIES = "SELECT position, body, chain FROM audit.entries WHERE log = %s AND position <= %s ORDER BY position"
# The resource itself and everything below it: '0' is the character behind '/'. The expression is that of the index.
_RESOURCE = """split_part(split_part(body, '"resource":"', 2), '"', 1) COLLATE "C" """
_TOUCHED = f"""
    SELECT log, position, body FROM audit.entries
    WHERE {_RESOURCE} = %(resource)s
        OR ({_RESOURCE} > %(resource)s || '/' AND {_RESOURCE} < %(resource)s || '0')
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
def auditing(dsn: str) -> Iterator["psycopg.Connection[Any]"]:
    """Connect to the database of the logs, or say that it does not answer."""
    import psycopg

    try:
        connection = psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg.OperationalError as error:
        message = f"the database of the audit logs lets nobody in: {str(error).strip().splitlines()[-1]}"
        raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, message, {"neighbour": "database"}) from None
    with connection:
        connection.read_only = True
        yield connection


def log_names(connection: "psycopg.Connection[Any]") -> list[str]:
    """Return the logs that have entries."""
    return [row[0] for row in connection.execute(_LOGS)]


def stored(connection: "psycopg.Connection[Any]", log: str) -> "Export":
    """Return a log up to its newest checkpoint, entry by entry as it is asked for."""
    from maasloop.audit.checkpoints import Checkpoint
    from maasloop.audit.exports import Export
    from maasloop.audit.notes import Note

    newest = connection.execute(_NEWEST, [log]).fetchone()
    if newest is None:
        message = f"the log of {log} has no checkpoint yet; the first one comes a few seconds after its first entry"
        raise NotFound(Reason.RESOURCE_NOT_FOUND, message, {"name": log})
    note, size = newest
    return Export(Checkpoint.read(Note.parse(note)).origin, note, _rows(connection, log, size))


def touched(connection: "psycopg.Connection[Any]", resource: str, limit: int) -> list[Touched]:
    """Return the entries about a resource and what lies below it, the newest first."""
    rows = connection.execute(_TOUCHED, {"resource": resource, "limit": limit})
    return [Touched(*row) for row in rows]


def verifying_keys(given: list[str], files: AuditFiles) -> "dict[str, VerifyingKey]":
    """Return keys by origin: those that were given, as texts or files, else those of the checkout."""
    from maasloop.audit.notes import NoteRefused, VerifyingKey

    texts = [Path(each).read_text(encoding="utf-8") if Path(each).is_file() else each for each in given]
    try:
        keys = [VerifyingKey.parse(text) for text in texts or files.log_keys()]
    except NoteRefused as error:
        raise InvalidArgument(Reason.REQUEST_INVALID, str(error), {"field": "key"}) from None
    return {key.name: key for key in keys}


def _rows(connection: "psycopg.Connection[Any]", log: str, size: int) -> Iterator["Row"]:
    from maasloop.audit.exports import Row

    with connection.cursor(name="audit_export") as cursor:
        cursor.itersize = ROWS_A_FETCH
        for position, body, chain in cursor.execute(_ENTRIES, [log, size]):
            yield Row(position, body, bytes(chain))
