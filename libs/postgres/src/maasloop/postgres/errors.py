"""What a failure of the database means to a caller, mapped once.

What may succeed later becomes an error of Maasloop: a lost server, a full pool, a time-out, a deadlock, a server that
another took over from. So does a text that PostgreSQL cannot hold. A violated constraint or a broken statement is for the
adapter that knows its meaning, or a bug.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg_pool import PoolTimeout, TooManyRequests

from maasloop.core.errors import InvalidArgument, MaasloopError, ResourceExhausted, Retryable, Unavailable
from maasloop.telemetry import metrics

RETRY_AFTER_S = 1.0
RETRY_AFTER_FULL_S = 10.0

_NEIGHBOUR = {"neighbour": "database"}
_NUL = "NUL (0x00)"
"""In what psycopg says of a parameter that is a text with U+0000."""
_NO_TEXT = (errors.UntranslatableCharacter, errors.CharacterNotInRepertoire)
"""What PostgreSQL says of one inside JSON, or in a COPY."""
PASSING: tuple[type[psycopg.Error], ...] = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    # psycopg takes all of SQLSTATE class 25 for errors of the program: a server that became a standby takes no changes
    # until its clients are led to the other, and a transaction that waited too long for us may be begun again.
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
    errors.TransactionTimeout,
)
"""Errors after which the same statement may succeed, on this connection or on another."""

_failures = metrics.counter(
    "maasloop_postgres_failures_total", "Statements that failed for a reason that may pass", ["reason"]
)


def translate(error: psycopg.Error) -> MaasloopError | None:
    """Return the error of Maasloop that a database error stands for, or nothing if it has no meaning by itself."""
    if isinstance(error, PoolTimeout | TooManyRequests):
        message = "all database connections are in use"
        return ResourceExhausted("OVERLOADED", message, _NEIGHBOUR, retry_after_s=RETRY_AFTER_S)
    if isinstance(error, errors.DiskFull | errors.OutOfMemory):
        message = "the database has no space left"
        return ResourceExhausted("OVERLOADED", message, _NEIGHBOUR, retry_after_s=RETRY_AFTER_FULL_S)
    if isinstance(error, PASSING):
        message = "the database does not answer at present"
        return Unavailable("NEIGHBOUR_UNAVAILABLE", message, _NEIGHBOUR, retry_after_s=RETRY_AFTER_S)
    if isinstance(error, _NO_TEXT) or (isinstance(error, psycopg.DataError) and _NUL in str(error)):
        return InvalidArgument("TEXT_INVALID", "a text holds the character U+0000, which nothing is named by")
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Turn database errors of the block into the errors that they stand for."""
    try:
        yield
    except psycopg.Error as error:
        meaning = translate(error)
        if meaning is None:
            raise
        if isinstance(meaning, Retryable):
            _failures.labels(meaning.reason).inc()
        raise meaning from error
