"""The composition root: what timeseries is made of, and who is given what."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from maasloop.bus import connection as bus_connection
from maasloop.bus.streams import OBSERVATION_ROWS, PERSONAL_ROWS, QUARANTINE_COUNT, Durable
from maasloop.core.clock import Clock, SystemClock
from maasloop.postgres.pool import Pool, check, open_pool
from maasloop.rpc.client import connected
from maasloop.runtime.confirming import OwnerVoice
from maasloop.runtime.following import Follower
from maasloop.runtime.following import devices as devices_owner
from maasloop.runtime.outbox import OutboxRelay
from maasloop.runtime.process import Service
from maasloop.runtime.projection import Projection
from maasloop.timeseries.adapters import registry
from maasloop.timeseries.adapters.conflicts import ConflictFacts
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore
from maasloop.timeseries.adapters.postgres_series import PostgresSeriesIndex
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.domain.series import Facts, PropertyFacts
from maasloop.timeseries.entrypoints.stream import Writer
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.settings import TimeseriesSettings

NAME = "timeseries"
PACKAGE = "maasloop.timeseries"


@asynccontextmanager
async def assemble(settings: TimeseriesSettings) -> AsyncIterator[Service]:
    """Make the parts, in the order in which they need each other."""
    clock = SystemClock()
    dsn = settings.postgres_dsn.get_secret_value()
    async with (
        AsyncExitStack() as stack,
        open_pool(dsn, name=NAME, size_max=settings.postgres_connections_max) as pool,
        bus_connection.connect(settings.nats_url, name=NAME) as bus,
        connected(settings.device_registry_address) as registry_channel,
    ):
        known: Projection[Facts] = Projection("devices", clock)
        devices = Follower(bus, known, devices_owner(registry_channel, registry.facts_of), clock)
        writers = {
            durable.name: _writer(durable, bus, dsn, pool, known=known, clock=clock, stack=stack)
            for durable in (OBSERVATION_ROWS, PERSONAL_ROWS, QUARANTINE_COUNT)
        }
        voice = OwnerVoice(bus, f"maasloop/{NAME}", clock)
        relay = OutboxRelay(dsn, voice.publish, name=f"{NAME}-outbox", clock=clock)
        yield Service(
            pulling={name: writer.pull for name, writer in writers.items()},
            tasks={"devices": devices.run, "outbox": relay.run},
            checks={
                "database": lambda: check(pool),
                "nats": partial(_linked, bus),
                "devices": devices.check,
                "outbox": relay.check,
                **{name: writer.check for name, writer in writers.items()},
            },
        )


def _writer(
    durable: Durable,
    bus: bus_connection.Bus,
    dsn: str,
    pool: Pool,
    *,
    known: Projection[Facts],
    clock: Clock,
    stack: AsyncExitStack,
) -> Writer:
    def facts(observed_property: str) -> PropertyFacts | None:
        found = known.get(f"observedProperties/{observed_property}")
        return found if isinstance(found, PropertyFacts) else None

    index = PostgresSeriesIndex(pool, facts)
    store = PostgresRowStore(dsn, pool, ConflictFacts(index), name=f"{NAME}-{durable.stream.lower()}")
    stack.push_async_callback(store.close)
    handler = StoreObservations(index=index, store=store)
    return Writer(bus=bus, durable=durable, streams=Streams(bus), store=store, handler=handler, clock=clock)


async def _linked(bus: bus_connection.Bus) -> str | None:
    return None if bus.connected else "no link to NATS"
