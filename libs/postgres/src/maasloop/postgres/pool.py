"""Connections and pools that wait for the database at start and notice when it is gone.

Without these settings a client waits for a silent server until TCP gives up, about a quarter of an hour. Every
statement, every wait for a lock and every idle transaction has a limit on the server's side as well, so that a dead
client frees what it holds.
"""

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from psycopg import AsyncConnection, OperationalError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from maasloop.core.clock import Clock, SystemClock
from maasloop.telemetry.configuration import without_secrets

type Connection = AsyncConnection[tuple[object, ...]]
type Pool = AsyncConnectionPool[AsyncConnection[tuple[object, ...]]]

CONNECT_TIMEOUT_S = 3
KEEPALIVES_IDLE_S = 5
KEEPALIVES_INTERVAL_S = 2
KEEPALIVES_COUNT = 3
TCP_USER_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 15_000
LOCK_TIMEOUT_MS = 5_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 20_000

CHECKOUT_TIMEOUT_S = 2.0
CHECKOUT_WAITERS_MAX = 256
CONNECTION_LIFETIME_S = 1_800.0
CLOSE_TIMEOUT_S = 5.0

PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 3.0

_log = structlog.get_logger()


def connection_string(dsn: str, *, name: str, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> str:
    """Return the DSN with the name of the client and the limits of every Maasloop connection; its own options win."""
    given = conninfo_to_dict(dsn)
    options = (
        f"-c statement_timeout={statement_timeout_ms} -c lock_timeout={LOCK_TIMEOUT_MS}"
        f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS} -c timezone=UTC"
    )
    limits: dict[str, str | int] = {
        "application_name": name,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": KEEPALIVES_IDLE_S,
        "keepalives_interval": KEEPALIVES_INTERVAL_S,
        "keepalives_count": KEEPALIVES_COUNT,
        "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
    }
    merged = {key: given.get(key, value) for key, value in limits.items()}
    return make_conninfo(dsn, **merged, options=f"{options} {given.get('options') or ''}".strip())


async def connect(
    dsn: str,
    *,
    name: str,
    autocommit: bool = False,
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    clock: Clock | None = None,
) -> Connection:
    """Connect, and wait for a database that does not answer: a word in the log and a growing pause each time."""
    clock = clock or SystemClock()
    conninfo = connection_string(dsn, name=name, statement_timeout_ms=statement_timeout_ms)
    pause_s = PAUSE_FIRST_S
    while True:
        try:
            return await AsyncConnection.connect(conninfo, autocommit=autocommit)
        except OperationalError as error:
            reason = without_secrets(str(error)).strip().splitlines()
            _log.warning("database_awaited", client=name, pause_s=pause_s, reason=reason[-1] if reason else "")
        await clock.sleep(pause_s)
        pause_s = min(pause_s * 2, PAUSE_MAX_S)


@asynccontextmanager
async def open_pool(
    dsn: str, *, name: str, size_min: int = 1, size_max: int = 8, clock: Clock | None = None
) -> AsyncIterator[Pool]:
    """Open a pool as soon as the database answers, and close it at the end.

    A checkout waits at most ``CHECKOUT_TIMEOUT_S``; a connection that the server closed is replaced at checkout.
    """
    first = await connect(dsn, name=name, clock=clock)
    await first.close()
    pool: Pool = AsyncConnectionPool(
        connection_string(dsn, name=name),
        name=name,
        min_size=size_min,
        max_size=size_max,
        open=False,
        check=_check_out,
        timeout=CHECKOUT_TIMEOUT_S,
        max_waiting=CHECKOUT_WAITERS_MAX,
        max_lifetime=CONNECTION_LIFETIME_S,
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close(timeout=CLOSE_TIMEOUT_S)


async def _check_out(connection: Connection) -> None:
    """Make sure that the server has not closed a connection, and that what is done on it will be a transaction.

    Asking the server each time would cost a trip to it. One that ends a session, or dies, is heard on the socket, on
    which nothing else comes while nothing was asked; a host that is gone shows in a question no sooner than in a
    statement.

    Autocommit is what a caller before may have left on, also where it was cancelled: what the next one took for a
    transaction would be none.
    """
    if _heard(connection):
        await AsyncConnectionPool.check_connection(connection)
    await connection.set_autocommit(False)


def _heard(connection: Connection) -> bool:
    """Tell whether something came on an idle connection, its end above all."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


async def check(pool: Pool) -> str | None:
    """Return why the database is of no use at present, or nothing; for a readiness probe."""
    try:
        async with pool.connection(timeout=1.0) as connection:
            await connection.execute("SELECT 1")
    except OperationalError as error:
        return without_secrets(str(error))
    return None
