"""Waiting for a database server that somebody else starts."""

import time

import psycopg
from psycopg.conninfo import make_conninfo

from maasloop.core.clock import SystemClock
from maasloop.postgres.once import connect_once
from maasloop.stack.errors import StackError
from maasloop.stack.servers.databases import DATABASE

PAUSE_S = 1.0


def answering(dsn: str, wait_s: float) -> None:
    """Return as soon as a connection succeeds; raises ``StackError`` with what the server says after ``wait_s``."""
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + wait_s
    while True:
        try:
            connect_once(dsn, name="maasloop-waiting").close()
        except psycopg.OperationalError as error:
            if clock.monotonic_s() > deadline_s:
                said = str(error).strip()
                raise StackError(
                    "postgres", said, next_step="look whether it runs and whether its password is this one"
                ) from None
            time.sleep(PAUSE_S)
        else:
            return


def database_dsn(server_dsn: str) -> str:
    """Return the connection string of the services' database on the same server."""
    return make_conninfo(server_dsn, dbname=DATABASE)
