"""Answers to request ids: the same id gives the same answer for a day, and is refused for another request (AIP-155).

A service keeps them in a table ``answers`` with the columns of ``ANSWERS_DDL``; what an answer's body is, is its own.
"""

from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from maasloop.core.clock import Clock
from maasloop.core.errors import FailedPrecondition, InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request
from maasloop.postgres.pool import Connection

ANSWERS_DDL = """
CREATE TABLE answers (
    request_id uuid PRIMARY KEY,
    method text NOT NULL,
    digest bytea NOT NULL,
    body bytea NOT NULL,
    create_time timestamptz NOT NULL
);
CREATE INDEX answers_create_time ON answers (create_time);
"""
"""The table a service adds by a migration."""

ANSWER_KEPT = timedelta(hours=24)
ANSWERS_FORGOTTEN_MAX = 100
"""Expired answers that one change clears away, so that no change pays for many."""

_ANSWERED = "SELECT method, digest, body FROM answers WHERE request_id = %s AND create_time > %s"
_ANSWER = """
    INSERT INTO answers (request_id, method, digest, body, create_time) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (request_id) DO UPDATE SET method = excluded.method, digest = excluded.digest, body = excluded.body,
        create_time = excluded.create_time
"""
_FORGET = """
    DELETE FROM answers WHERE request_id IN (SELECT request_id FROM answers WHERE create_time <= %s LIMIT %s)
"""


async def answered(connection: Connection, request: Request, clock: Clock) -> Any:  # noqa: ANN401 - as the table has it
    """Return what the same request was answered before, and refuse its id for another request."""
    if not request.id:
        return None
    arguments = (_uuid(request), clock.now() - ANSWER_KEPT)
    found = await (await connection.execute(_ANSWERED, arguments)).fetchone()
    if found is None:
        return None
    method, digest, body = cast("tuple[str, bytes, Any]", found)
    if (method, digest) != (request.method, request.digest):
        message = f"request_id {request.id} came with another request before"
        raise FailedPrecondition(Reason.REQUEST_ID_REUSED, message)
    return body


async def answer(connection: Connection, request: Request, body: object, clock: Clock) -> None:
    """Keep an answer, as a parameter of psycopg, for as long as a request may be repeated."""
    if not request.id:
        return
    now = clock.now()
    await connection.execute(_FORGET, (now - ANSWER_KEPT, ANSWERS_FORGOTTEN_MAX))
    await connection.execute(_ANSWER, (_uuid(request), request.method, request.digest, body, now))


def _uuid(request: Request) -> UUID:
    try:
        return UUID(request.id)
    except ValueError:
        metadata = {"field": "request_id", "rule": "string.uuid"}
        raise InvalidArgument(Reason.REQUEST_INVALID, "request_id must be a UUID", metadata) from None
