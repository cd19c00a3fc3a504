"""The lab: a stack of real processes under its own supervision, a load beside it, and what is needed to judge both.

A lane takes a lab, breaks something, and asks for the verdict, which waits until everything is at rest.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from psycopg import AsyncConnection, Error
from tests.faults import city
from tests.faults.checkers import NEVER_AT_REST, Verdict, backward, judge
from tests.faults.evidence import Evidence, collect
from tests.faults.ledger import Batch, Journal, Ledger
from tests.faults.load import Plan
from tests.faults.proxy import Proxy
from tests.faults.recovery import BEFORE_S, rate
from tests.faults.sampling import Sampler

from maasloop.bus.streams import MQTT_UPLINKS
from maasloop.core.clock import SystemClock
from maasloop.stack.local import LocalStack, StackOptions, service_ready
from maasloop.stack.process import ManagedProcess
from maasloop.stack.servers.databases import DATABASE, role_name
from maasloop.stack.servers.passwords import RolePasswords
from maasloop.stack.state import StateDirectory
from maasloop.testing.buses import core_bus

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("device-registry", "consent", "ingest", "timeseries")
REST_TIMEOUT_S = 120.0
REST_POLL_S = 0.3
STEADY_TIMEOUT_S = 30.0
LOAD_STOP_TIMEOUT_S = 90.0
LINES_TOLD = 40
SENT_NUMBER = 1_000_000
SENT_READINGS = 20
SENT_TIMEOUT_S = 10.0
SENT_VALUE = 700_000_000_000
VALUES_A_LOAD = 1_000_000_000
"""Each load draws its values from a range of its own."""


class NotAtRest(Exception):
    """The platform did not come to rest; the message says what is missing."""


@dataclass
class Links:
    """The links that a lane may break; without them services talk to servers directly."""

    ingest_nats: Proxy
    timeseries_nats: Proxy
    timeseries_postgres: Proxy


@dataclass
class Lab:
    """A running city."""

    stack: LocalStack
    directory: Path
    links: Links | None = None
    ledgers: list[Path] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """What the supervisor said."""
    sampler: Sampler | None = None
    clock: SystemClock = field(default_factory=SystemClock)
    freed: int = 0
    """Readings of messages that a lane freed after they were stored, as timeseries does for space."""
    _loads: int = 0
    _sent: int = 0

    def plan(self, **changes: Any) -> Plan:  # noqa: ANN401 - fields of a Plan
        """Return the plan of another load."""
        self._loads += 1
        addresses = self.stack.addresses["ingest"]
        plan = Plan(
            ledger=str(self.directory / f"ledger-{self._loads}"),
            counters=str(self.directory / f"counters-{self._loads}"),
            grpc_address=addresses.grpc,
            http_address=addresses.http,
            http_header_file=self.stack.state(ready=True).http_header_file,
            mqtt=asdict(self.stack.mqtt),
            operator=self.stack.state(ready=True).operator,
            first_value=self._loads * VALUES_A_LOAD,
        )
        return replace(plan, **changes)

    @asynccontextmanager
    async def load(self, **changes: Any) -> AsyncIterator[Sampler]:  # noqa: ANN401 - fields of a Plan
        """Run a load around a block; begins when it is steady, and ends when all of it has an outcome."""
        plan = self.plan(**changes)
        path = Path(f"{plan.ledger}.plan")
        plan.write(path)
        self.ledgers.append(Path(plan.ledger))
        process = ManagedProcess(
            "load",
            [sys.executable, "-m", "tests.faults.load", str(path)],
            log_path=self.directory / "load.log",
            environment=_with_checkout(),
        )
        process.start()
        await until(Path(plan.counters).exists, STEADY_TIMEOUT_S)
        sampler = Sampler(
            self.stack.postgres_dsn, Path(plan.counters), lambda: self.stack.processes | {"load": process}
        )
        sampling = asyncio.create_task(sampler.run())
        self.sampler = sampler
        try:
            sampler.usual = await _steady(sampler)
            yield sampler
        finally:
            process.request_stop()
            with contextlib.suppress(TimeoutError):
                await until(lambda: not process.alive, LOAD_STOP_TIMEOUT_S)
            process.kill9()
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)
        if process.exit_status:
            message = f"the load ended with status {process.exit_status}\n{process.log_tail()}"
            raise RuntimeError(message)

    async def send(self, device: int, readings: int = SENT_READINGS) -> Batch:
        """Send readings of a device as the lane itself; returns when they are acknowledged."""
        self._sent += 1
        value = SENT_VALUE + self._sent * readings
        batch = Batch(SENT_NUMBER + self._sent, "grpc", device, 1, self.clock.now_us(), value, readings)
        await self.note(batch, ok=False)
        await self.send_again(batch)
        await self.note(batch, ok=True)
        return batch

    async def send_again(self, batch: Batch) -> None:
        """Send a batch whatever became of it before; returns when it is acknowledged."""
        async with self.stack.channel("ingest") as channel:
            answer = await city.recorder(channel)(city.request_of(batch), timeout=SENT_TIMEOUT_S)
        assert answer.accepted_count == batch.count

    async def note(self, batch: Batch, *, ok: bool) -> None:
        """Add a batch that the lane itself sent."""
        path = self.directory / "ledger-lane"
        if path not in self.ledgers:
            self.ledgers.append(path)
        journal = Journal(path)
        keeping = asyncio.create_task(journal.keep())
        await journal.invoked(batch)
        if ok:
            journal.ok(batch, self.clock.monotonic_s())
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    def ledger(self) -> Ledger:
        """Return what all clients were told."""
        return Ledger.read(self.ledgers)

    async def ready(self) -> None:
        """Return when every service is ready."""
        for service in self.stack.services:
            async with asyncio.timeout(STEADY_TIMEOUT_S):
                while not await asyncio.to_thread(service_ready, self.stack.addresses[service].health):  # noqa: ASYNC110 - another process has no event to wait for
                    await asyncio.sleep(REST_POLL_S)

    async def verdict(self, *, rest_timeout_s: float = REST_TIMEOUT_S) -> Verdict:
        """Wait until nothing is on its way, and compare everything; what never rests is a fault."""
        unrest = 0
        try:
            await self.rest(rest_timeout_s)
            await self._close_windows()
        except NotAtRest as error:
            self.told.append(str(error))
            unrest = 1
        found = judge(self.ledger(), await self.evidence())
        faults = {**found.faults, NEVER_AT_REST: unrest}
        if self.sampler is not None:
            faults["positions went back"] = backward(self.sampler.positions)
        return replace(found, faults=faults)

    async def _close_windows(self) -> None:
        """Let timeseries merge what it holds back, as it does when it is asked to stop, so that all rollups are compared."""
        process = self.stack.processes["timeseries"]
        before = process.pid
        process.request_stop()
        await until(lambda: process.alive and process.pid != before, STEADY_TIMEOUT_S)
        await self.ready()

    async def evidence(self) -> Evidence:
        """Return what is there."""
        found = await collect(self.stack)
        return replace(found, in_streams=found.in_streams + self.freed)

    async def rest(self, timeout_s: float = REST_TIMEOUT_S) -> None:
        """Return when the durables have nothing left and the balance has stopped to move."""
        loop = asyncio.get_running_loop()
        deadline_s, before, missing = loop.time() + timeout_s, None, "no answer"
        async with core_bus(self.stack, "faults-rest") as bus:
            while loop.time() < deadline_s:
                try:
                    async with asyncio.timeout(10.0):
                        now = await self._unsettled(bus)
                except (Error, OSError, TimeoutError) as error:
                    now, missing = None, repr(error)
                if now is not None:
                    missing = ", ".join(f"{name} {count}" for name, count in now[0].items() if count)
                    if not missing and now == before:
                        return
                before = now
                await asyncio.sleep(REST_POLL_S)
        message = f"not at rest after {timeout_s:.0f} s: {missing or 'the balance moves'}"
        raise NotAtRest(message)

    async def _unsettled(self, bus: Any) -> tuple[Mapping[str, int], int]:  # noqa: ANN401 - maasloop's Bus
        durable = await bus.api(f"CONSUMER.INFO.{MQTT_UPLINKS.stream}.{MQTT_UPLINKS.name}")
        left = {"mqtt": int(durable["num_pending"]) + int(durable["num_ack_pending"])}
        async with await AsyncConnection.connect(self.stack.postgres_dsn, connect_timeout=2) as connection:
            row: Any = await (
                await connection.execute("SELECT coalesce(sum(accepted), 0)::bigint FROM timeseries.custody")
            ).fetchone()
            found = await connection.execute(
                "SELECT stream, max(sequence) FROM timeseries.positions_in_streams GROUP BY stream"
            )
            positions = {str(stream): int(last) for stream, last in await found.fetchall()}
        for stream in ("OBSERVATIONS", "PERSONAL", "QUARANTINE", "IMPORTS"):
            info = await bus.api(f"STREAM.INFO.{stream}")
            if "error" not in info:
                left[stream] = max(0, int(info["state"]["last_seq"]) - positions.get(stream, 0))
        return left, int(row[0])


async def _steady(sampler: Sampler) -> float:
    """Return the rate of a load as soon as it runs as it should."""
    before = 0.0
    async with asyncio.timeout(STEADY_TIMEOUT_S):
        while True:
            await asyncio.sleep(BEFORE_S)
            now_s = sampler.samples[-1].at_s
            found = rate(sampler.samples, now_s - BEFORE_S / 2, now_s)
            if found > 0 and abs(found - before) < before / 2:
                return found
            before = found


def _with_checkout() -> dict[str, str]:
    """Return our environment, with the checkout on the path of Python."""
    return dict(os.environ) | {"PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1"}


def python_path() -> str:
    """Return the search path by which a child finds these modules, too."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))


async def until(holds: Callable[[], bool], timeout_s: float) -> None:
    """Wait for what another process does; raises ``TimeoutError``."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.05)


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a directory on the disk, where an fsync is one, that PostgreSQL's account can enter."""
    directory = Path(tempfile.mkdtemp(prefix="maasloop-faults-", dir="/var/tmp"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def running(
    *,
    linked: bool = False,
    modules: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> AsyncIterator[Lab]:
    """Run a lab; ``linked`` puts a proxy on each link, ``modules`` runs sabotaged services."""
    async with contextlib.AsyncExitStack() as exits:
        root = directory or exits.enter_context(scratch())
        added = {"PYTHONPATH": python_path(), **(environment or {})}
        proxies = [await exits.enter_async_context(Proxy()) for _ in range(3)] if linked else []
        told: list[str] = []
        ports = [proxy.port for proxy in proxies]
        if ports:
            added["MAASLOOP_INGEST__NATS_URL"] = f"nats://127.0.0.1:{ports[0]}"
            added["MAASLOOP_TIMESERIES__NATS_URL"] = f"nats://127.0.0.1:{ports[1]}"
            role = role_name("timeseries")
            secret = RolePasswords(StateDirectory(root).secrets / "postgres").option(role)
            added["MAASLOOP_TIMESERIES__POSTGRES_DSN"] = f"postgresql://{role}@127.0.0.1:{ports[2]}/{DATABASE}{secret}"
        options = StackOptions(
            services=SERVICES, modules=modules or {}, environment=added, progress=told.append, durable_initdb=False
        )
        stack = LocalStack(root, options)
        links = None
        if proxies:
            links = Links(*proxies)
            links.ingest_nats.upstream = links.timeseries_nats.upstream = ("127.0.0.1", stack.nats.ports.client)
            links.timeseries_postgres.upstream = ("127.0.0.1", stack.postgres.port)
        await exits.enter_async_context(stack)
        lab = Lab(stack, root, links, told=told)
        try:
            batches = await city.build(stack, lab.clock.now_us())
        except grpc.RpcError as error:
            # The logs end with the lab.
            tails = (stack.processes[name].log_tail(LINES_TOLD) for name in ("device-registry", "ingest"))
            raise RuntimeError("\n".join(tails)) from error
        for batch in batches:
            await lab.note(batch, ok=True)
        yield lab
