"""Answers to request ids: the same id gives the same answer for a day (AIP-155)."""

from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from psycopg.types.json import Jsonb

from maasloop.core.clock import Clock
from maasloop.core.errors import FailedPrecondition, InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request
from maasloop.notification.adapters import sql
from maasloop.postgres.pool import Connection

ANSWER_KEPT = timedelta(hours=24)
ANSWERS_FORGOTTEN_MAX = 100
"""Expired answers that one request clears away, so that no request pays for many."""


async def answered(connection: Connection, request: Request, clock: Clock) -> Any:  # noqa: ANN401 - a row as JSON
    """Return what the same request was answered before, and refuse its id for another request."""
    if not request.id:
        return None
    arguments = (_uuid(request), clock.now() - ANSWER_KEPT)
    row = await (await connection.execute(sql.ANSWERED, arguments)).fetchone()
    if row is None:
        return None
    method, digest, body = cast("tuple[str, bytes, Any]", row)
    if (method, digest) != (request.method, request.digest):
        message = f"request_id {request.id} came with another request before"
        raise FailedPrecondition(Reason.REQUEST_ID_REUSED, message)
    return body


async def answer(connection: Connection, request: Request, body: object, clock: Clock) -> None:
    """Keep an answer for as long as a request may be repeated."""
    if not request.id:
        return
    now = clock.now()
    await connection.execute(sql.FORGET_ANSWERS, (now - ANSWER_KEPT, ANSWERS_FORGOTTEN_MAX))
    await connection.execute(sql.ANSWER, (_uuid(request), request.method, request.digest, Jsonb(body), now))


def _uuid(request: Request) -> UUID:
    try:
        return UUID(request.id)
    except ValueError:
        metadata = {"field": "request_id", "rule": "string.uuid"}
        raise InvalidArgument(Reason.REQUEST_INVALID, "request_id must be a UUID", metadata) from None
