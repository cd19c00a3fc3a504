"""A writer in this process: real broker, real database, and facts of the registry from a dictionary."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest

from maasloop.api.observation.v1.observation_pb2 import StateObservation
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import READINGS_HEADER, build_columns
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.bus.envelope import Envelope
from maasloop.bus.streams import OBSERVATION_ROWS, PERSONAL_ROWS, Durable
from maasloop.bus.subjects import OBSERVATION_RECORDED
from maasloop.core.clock import SystemClock
from maasloop.core.domains import Retention
from maasloop.postgres.migrate import migrate, of_package
from maasloop.postgres.pool import Pool, open_pool
from maasloop.timeseries.adapters.conflicts import ConflictFacts
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore
from maasloop.timeseries.adapters.postgres_series import PostgresSeriesIndex
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.app import PACKAGE
from maasloop.timeseries.domain.custody import Terms
from maasloop.timeseries.domain.series import Kind, PropertyFacts
from maasloop.timeseries.entrypoints.stream import Writer
from maasloop.timeseries.handlers.store_observations import StoreObservations

DISTRICT = "noord"
FACTS = {
    "pm25": PropertyFacts(Kind.NUMBERS, Retention.TWO_YEARS),
    "vehicle-count": PropertyFacts(Kind.NUMBERS, Retention.WEEK),
    "travel-time": PropertyFacts(Kind.NUMBERS, Retention.QUARTER),
    "queue-length": PropertyFacts(Kind.NUMBERS, Retention.QUARTER),
    "signal-state": PropertyFacts(Kind.STATES, Retention.WEEK),
    "position": PropertyFacts(Kind.POSITIONS, Retention.WEEK),
}
TERMS = tuple(term.name for term in fields(Terms))
ACK_WAIT_S = 1
"""So that what nobody acknowledged comes again soon."""
TIMEOUT_S = 50.0

type Reading = tuple[str, str, int, float]
"""Device, observed property, event time in microseconds, value."""


@dataclass
class Rig:
    """What a test of the writer works with."""

    bus: Bus
    pool: Pool
    dsn: str
    producer: str = field(default_factory=lambda: f"test-{secrets.token_hex(3)}")
    acknowledged: int = 0

    def store(
        self, index: PostgresSeriesIndex, before_commit: Callable[[], Awaitable[None]] | None = None
    ) -> PostgresRowStore:
        """Return a row store on a connection of its own."""
        return PostgresRowStore(self.dsn, self.pool, ConflictFacts(index), name="test", before_commit=before_commit)

    def index(self) -> PostgresSeriesIndex:
        """Return an empty index of series."""
        return PostgresSeriesIndex(self.pool, FACTS.get)

    @asynccontextmanager
    async def writing(
        self,
        durable: Durable = OBSERVATION_ROWS,
        *,
        before_commit: Callable[[], Awaitable[None]] | None = None,
        acknowledge_early: bool = False,
    ) -> AsyncIterator[Writer]:
        """Run a writer until the block ends, and then end it as abruptly as a kill would."""
        index = self.index()
        store = self.store(index, before_commit)
        writer = Writer(
            bus=self.bus,
            durable=durable,
            streams=Streams(self.bus),
            store=store,
            handler=StoreObservations(index=index, store=store),
            clock=SystemClock(),
            acknowledge_early=acknowledge_early,
        )
        pulling = asyncio.create_task(writer.pull(asyncio.Event()))
        try:
            yield writer
        finally:
            pulling.cancel()
            await asyncio.gather(pulling, return_exceptions=True)
            await store.close()

    async def publish(
        self,
        *readings: Reading,
        states: Sequence[tuple[str, int, str]] = (),
        key: str = "air",
        count: int | None = None,
        district: str = DISTRICT,
    ) -> int:
        """Publish a message as ingest does, and return its sequence."""
        devices = sorted({reading[0] for reading in readings} | {state[0] for state in states})
        properties = sorted({reading[1] for reading in readings} | {"signal-state"})
        columns = build_columns(
            devices,
            properties,
            [devices.index(reading[0]) for reading in readings],
            [properties.index(reading[1]) for reading in readings],
            [reading[2] for reading in readings],
            [reading[3] for reading in readings],
            states=[
                StateObservation(
                    device_index=devices.index(device),
                    property_index=properties.index("signal-state"),
                    event_time_us=time_us,
                    state=state,
                )
                for device, time_us, state in states
            ],
        )
        told = len(columns) if count is None else count
        body = PackedObservationsRecorded(
            district=district,
            domain=key,
            observations=columns.packed(),
            receipt_time_us=SystemClock().now_us(),
            producer=self.producer,
            producer_total=self.acknowledged + told,
            reading_count=told,
        ).SerializeToString()
        sequence = await self.send(body, key=key, readings=told, district=district)
        self.acknowledged += told
        return sequence

    async def send(self, body: bytes, *, key: str = "air", readings: int = 1, district: str = DISTRICT) -> int:
        """Publish any body on a subject of readings."""
        envelope = Envelope(secrets.token_hex(16), OBSERVATION_RECORDED.message, "test", 0)
        headers = {**envelope.headers(), READINGS_HEADER: str(readings)}
        return await self.bus.publish(OBSERVATION_RECORDED.subject(district, key), body, headers)

    async def query(self, statement: str, *arguments: object) -> list[Any]:
        """Ask the database."""
        async with self.pool.connection() as connection:
            return await (await connection.execute(statement.encode(), arguments)).fetchall()

    async def numbers(self) -> list[Reading]:
        """Return all numbers."""
        return await self.query(
            "SELECT device, observed_property, (extract(epoch FROM time) * 1000000)::bigint, value"
            " FROM numbers JOIN series ON series.id = numbers.series ORDER BY 1, 2, 3"
        )

    async def custody(self) -> dict[str, int]:
        """Return the custody terms of all districts that are not 0."""
        terms = ", ".join(f"sum({name})::bigint" for name in TERMS)
        rows = await self.query(f"SELECT {terms} FROM custody")
        return {name: count for name, count in zip(TERMS, rows[0], strict=True) if count}

    async def until(self, ask: Callable[[], Awaitable[bool]]) -> None:
        """Wait for what a writer does."""
        async with asyncio.timeout(TIMEOUT_S):
            while not await ask():  # noqa: ASYNC110 - the writer tells nobody
                await asyncio.sleep(0.02)

    async def until_accepted(self, count: int) -> None:
        """Wait until that many readings are settled."""

        async def settled() -> bool:
            return (await self.custody()).get("accepted", 0) >= count

        await self.until(settled)


@pytest.fixture(name="rig")
async def _rig(service_dsn: Callable[[str], str], nats_url: str) -> AsyncIterator[Rig]:
    dsn = service_dsn("timeseries")
    await migrate(dsn, of_package(PACKAGE))
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(connect(nats_url, name="test"))
        await ensure(bus)
        for durable in (OBSERVATION_ROWS, PERSONAL_ROWS):
            quick = replace(durable, ack_wait_s=ACK_WAIT_S)
            body = {"stream_name": durable.stream, "config": quick.config()}
            answer = await bus.api(f"CONSUMER.DURABLE.CREATE.{durable.stream}.{durable.name}", body)
            assert "error" not in answer, answer
        pool = await stack.enter_async_context(open_pool(dsn, name="test"))
        yield Rig(bus, pool, dsn)
