"""A stack for a bench, and what tells when its rows are readable."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from psycopg import AsyncConnection, sql
from tests.load import city, processes
from tests.load.street import SECOND_US, Street

from maasloop.identity.tls import client_context
from maasloop.stack.local import LocalStack, StackOptions

BENCHES = Path(".maasloop/bench").resolve()
DATA_PATH = ("device-registry", "consent", "ingest", "timeseries")
POLL_S = 0.01
READABLE_TIMEOUT_S = 180.0
MILLION = 1_000_000
_STORED = "SELECT coalesce(sum(stored), 0)::bigint FROM timeseries.custody"
_EMPTY = "TRUNCATE timeseries.{rows}, timeseries.{minutes}, timeseries.{hours}"
_ROWS = "SELECT count(*) FROM timeseries.{rows} WHERE time >= %s AND time < %s"
# As readers take them: minutes up to the open window, rows from there on.
_ROLLED_UP = """
    WITH w AS (
        SELECT coalesce(open_from, 'infinity') AS open_from FROM timeseries.rollup_windows WHERE retention = {retention}
    ), r (low, high) AS (VALUES (%s, %s))
    SELECT (
        SELECT coalesce(sum(m.count), 0)::bigint FROM timeseries.{minutes} AS m
        WHERE m.time >= r.low AND m.time < least(r.high, w.open_from)
    ) + (SELECT count(*) FROM timeseries.{rows} AS n WHERE n.time >= greatest(r.low, w.open_from) AND n.time < r.high)
    FROM w, r
"""
_NEWEST = "SELECT count(*) FROM timeseries.latest WHERE time >= %s AND time < %s"


@dataclass
class Measured:
    """What one run of a door gave."""

    rows: int
    took_s: float
    acknowledged_s: float
    cpu_s: dict[str, float]
    """Processor seconds for a million rows, by process."""

    @property
    def rows_per_s(self) -> float:
        """Rows a second until everything was readable."""
        return self.rows / self.took_s

    @property
    def acknowledged_rows_per_s(self) -> float:
        """Rows a second until everything was acknowledged."""
        return self.rows / self.acknowledged_s


class Store:
    """Tells when rows, the newest of every series and minute rollups are readable, at little cost."""

    def __init__(self, connection: AsyncConnection[tuple[Any, ...]], retention: str = city.RETENTION) -> None:
        """Ask the database about a retention class."""
        self._connection = connection
        self._retention = retention

    async def empty(self) -> None:
        """Begin with empty tables and nothing left to be written to disk."""
        await self._connection.execute(self._of(_EMPTY))
        await self._connection.execute("CHECKPOINT")

    async def stored(self) -> int:
        """Return the rows stored so far: counted in the transactions that stored them."""
        return await self._count(_STORED)

    async def wait_stored(self, count: int) -> None:
        """Return when that many rows are stored."""
        async with asyncio.timeout(READABLE_TIMEOUT_S):
            while await self.stored() < count:
                await asyncio.sleep(POLL_S)

    async def wait_summed_up(self, start_us: int, seconds: int, *, rows: int, series: int) -> float:
        """Wait until minute rollups hold all rows of the range, and ``latest`` a reading of its end for each series.

        Returns the moment on ``time.perf_counter`` at which all was readable: a query sees what was there when it began, and
        counting millions of rows takes it a while.
        """
        range_ = (_time(start_us), _time(start_us + seconds * SECOND_US))
        last = (_time(start_us + (seconds - 1) * SECOND_US), range_[1])
        async with asyncio.timeout(READABLE_TIMEOUT_S):
            while True:
                newest = await self._count(_NEWEST, last)
                asked_s = time.perf_counter()
                if newest >= series and await self._count(_ROLLED_UP, range_) >= rows:
                    return asked_s
                await asyncio.sleep(POLL_S)

    async def require_rows(self, start_us: int, seconds: int, rows: int) -> None:
        """Fail unless the range holds exactly so many rows."""
        found = await self._count(_ROWS, (_time(start_us), _time(start_us + seconds * SECOND_US)))
        if found != rows:
            message = f"{rows} rows are expected, {found} are there"
            raise RuntimeError(message)

    async def _count(self, statement: str, parameters: tuple[datetime, ...] = ()) -> int:
        row = await (await self._connection.execute(self._of(statement), parameters)).fetchone()
        return int(row[0]) if row else 0

    def _of(self, statement: str) -> sql.Composed:
        tables = {
            name: sql.Identifier(f"{kind}_{self._retention}")
            for name, kind in (("rows", "numbers"), ("minutes", "minutes"), ("hours", "hours"))
        }
        return sql.SQL(statement).format(**tables, retention=sql.Literal(self._retention))  # type: ignore[arg-type, unused-ignore]  # the statement is ours, though no literal


@dataclass
class Lab:
    """A running stack whose devices are known, and its street seconds."""

    stack: LocalStack
    store: Store
    street: Street
    devices: int

    def address(self, service: str) -> str:
        """Return where a service answers gRPC."""
        return self.stack.addresses[service].grpc

    def tls(self) -> ssl.SSLContext | None:
        """Return what a client of our own needs for gRPC; none where nothing is encrypted."""
        if self.stack.certificates is None:
            return None
        files = self.stack.certificates.operator
        context = client_context(files.authority, files)
        context.set_alpn_protocols(["h2"])
        return context

    async def empty(self) -> None:
        """Begin with empty tables in which every series was written once, as in a city that is running.

        The writer meets the chunks of an emptied table gone, takes a lot for failed, and reads all series anew.
        """
        await self.store.empty()
        before = await self.store.stored()
        async with self.stack.channel("ingest") as channel:
            for request in city.requests(self.street.take(1), 1, devices=self.devices):
                await city.recorder(channel)(request)
        await self.store.wait_stored(before + self.devices)

    async def measure(
        self, send: Callable[[], Awaitable[None]], *, start_us: int, seconds: int, rows: int, series: int
    ) -> Measured:
        """Send, and stop the clock when rows, the newest of every series and minute rollups of all are readable."""
        before = await self.store.stored()
        cpu = processes.cpu_seconds(self.stack)
        began_s = time.perf_counter()
        await send()
        acknowledged_s = time.perf_counter() - began_s
        await self.store.wait_stored(before + rows)
        took_s = await self.store.wait_summed_up(start_us, seconds, rows=rows, series=series) - began_s
        spent = processes.cpu_between(cpu, processes.cpu_seconds(self.stack), million_rows=rows / MILLION)
        await self.store.require_rows(start_us, seconds, rows)
        return Measured(rows, took_s, acknowledged_s, spent)


@contextmanager
def directory() -> Iterator[Path]:
    """Make a directory on the disk of the checkout: what lies in memory needs no fsync."""
    BENCHES.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="stack-", dir=BENCHES) as name:
        made = Path(name).resolve()
        made.chmod(0o711)
        yield made


@asynccontextmanager
async def laboratory(
    *,
    devices: int = city.DEVICES,
    services: tuple[str, ...] = DATA_PATH,
    environment: dict[str, str] | None = None,
    retention: str = city.RETENTION,
    secure: bool = True,
) -> AsyncIterator[Lab]:
    """Start servers and services on empty state, register the devices, and stop everything at the end."""
    options = StackOptions(services=services, restart=False, environment=environment or {}, secure=secure)
    with directory() as root:
        async with (
            LocalStack(root, options) as stack,
            stack.channel("device-registry") as registry,
            stack.channel("ingest") as ingest,
            await AsyncConnection.connect(stack.postgres_dsn, autocommit=True) as connection,
        ):
            await city.register(registry, devices, retention=retention)
            lab = Lab(stack, Store(connection, retention), Street(), devices)
            before = await lab.store.stored()
            await city.wait_until_known(ingest, lab.street.take(1), last=devices)
            await lab.store.wait_stored(before + city.KNOWN_BY)
            yield lab


def _time(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
