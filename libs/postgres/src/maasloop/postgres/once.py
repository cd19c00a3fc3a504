"""Connections for a step that does one thing and ends: synchronous, with the limits that every connection has."""

from typing import Any

import psycopg

from .pool import connection_string

STEP_TIMEOUT_MS = 60_000
"""Longest statement of a step that declares (roles, schemas, extensions) or looks; copies of a database take theirs."""

type StepConnection = psycopg.Connection[tuple[Any, ...]]


def connect_once(
    dsn: str, *, name: str, autocommit: bool = False, statement_timeout_ms: int = STEP_TIMEOUT_MS
) -> StepConnection:
    """Connect, and wait for nobody: raises ``psycopg.OperationalError`` where the server does not answer.

    As a context manager it commits at the end, and closes. ``name`` is what the server shows of the client.
    """
    conninfo = connection_string(dsn, name=name, statement_timeout_ms=statement_timeout_ms)
    return psycopg.connect(conninfo, autocommit=autocommit)
