"""The composition root: what timeseries is made of, and who is given what."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from maasloop.bus.connection import Bus
from maasloop.bus.streams import (
    DURABLES,
    IMPORT_ROWS,
    IMPORTS,
    OBSERVATION_ROWS,
    OBSERVATIONS,
    PERSONAL,
    PERSONAL_ROWS,
    QUARANTINE,
    QUARANTINE_COUNT,
    RESPONSES,
    Durable,
)
from maasloop.bus.subjects import OBSERVATION_IMPORTED, OBSERVATION_QUARANTINED, OBSERVATION_RECORDED
from maasloop.bus.subjects import lease as lease_subject
from maasloop.core.clock import Clock, SystemClock
from maasloop.core.permission import ConsentFacts
from maasloop.postgres.pool import Pool, check, open_pool
from maasloop.runtime import broker
from maasloop.runtime.audit_log import open_audit_log
from maasloop.runtime.confirming import OwnerVoice
from maasloop.runtime.following import Follower, Owner
from maasloop.runtime.following import consent as consent_owner
from maasloop.runtime.following import devices as devices_owner
from maasloop.runtime.leases import Lease
from maasloop.runtime.outbox import OutboxRelay
from maasloop.runtime.permitting import ConsentGate, consent_facts_of, consent_projection
from maasloop.runtime.process import Service
from maasloop.runtime.projection import Projection
from maasloop.runtime.serving import access_of, neighbour, rpc_server
from maasloop.runtime.tenancy import Tenancy
from maasloop.timeseries.adapters import registry
from maasloop.timeseries.adapters.conflicts import ConflictFacts
from maasloop.timeseries.adapters.counting import StreamCounter
from maasloop.timeseries.adapters.postgres_accounts import PostgresAccounts
from maasloop.timeseries.adapters.postgres_aggregates import PostgresAggregates
from maasloop.timeseries.adapters.postgres_fence import PostgresFence
from maasloop.timeseries.adapters.postgres_reads import PostgresReader
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore
from maasloop.timeseries.adapters.postgres_series import PostgresSeriesIndex
from maasloop.timeseries.adapters.progress import StoredProgress
from maasloop.timeseries.adapters.searching import StreamSearch
from maasloop.timeseries.adapters.streams import Streams
from maasloop.timeseries.adapters.tailing import StreamTail
from maasloop.timeseries.adapters.visibility import ProjectedVisibility
from maasloop.timeseries.domain.partitioning import Share
from maasloop.timeseries.domain.sequence import Life
from maasloop.timeseries.domain.series import Facts, PropertyFacts
from maasloop.timeseries.entrypoints.gauges import CustodyGauges
from maasloop.timeseries.entrypoints.lanes import Close, Lanes
from maasloop.timeseries.entrypoints.partition import Partition
from maasloop.timeseries.entrypoints.rpc import SERVICE, SeriesDoor
from maasloop.timeseries.entrypoints.stream import Writer
from maasloop.timeseries.handlers.aggregate_observations import AggregateObservations
from maasloop.timeseries.handlers.forget_old_rows import ForgetOldRows
from maasloop.timeseries.handlers.free_streams import FreeStreams
from maasloop.timeseries.handlers.get_custody_balance import GetCustodyBalance
from maasloop.timeseries.handlers.get_travel_times import GetTravelTimes
from maasloop.timeseries.handlers.list_device_accounts import ListDeviceAccounts
from maasloop.timeseries.handlers.list_latest_observations import ListLatestObservations
from maasloop.timeseries.handlers.read_observations import ReadObservations
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.handlers.trace_observation import TraceObservation
from maasloop.timeseries.handlers.watch_observations import WatchObservations
from maasloop.timeseries.ports.windows import Windows
from maasloop.timeseries.settings import TimeseriesSettings

NAME = "timeseries"
PACKAGE = "maasloop.timeseries"
_CARRIED = {
    OBSERVATIONS.name: OBSERVATION_RECORDED,
    IMPORTS.name: OBSERVATION_IMPORTED,
    QUARANTINE.name: OBSERVATION_QUARANTINED,
    PERSONAL.name: OBSERVATION_RECORDED,
}
"""What travels on the streams that are in the custody balance."""


@asynccontextmanager
async def assemble(settings: TimeseriesSettings) -> AsyncIterator[Service]:
    """Make the parts, in the order in which they need each other."""
    clock = SystemClock()
    dsn = settings.postgres_dsn.get_secret_value()
    async with (
        AsyncExitStack() as stack,
        open_pool(dsn, name=NAME, size_max=settings.postgres_connections_max) as pool,
        broker.connected(settings, NAME) as bus,
        neighbour(settings, "device-registry") as registry_channel,
        neighbour(settings, "consent") as consent_channel,
    ):
        devices_from: Owner[Facts] = devices_owner(registry_channel, registry.facts_of)
        consent_from: Owner[ConsentFacts] = consent_owner(consent_channel, consent_facts_of)
        known: Projection[Facts] = Projection("devices", clock)
        consented = consent_projection(clock)
        consents = Follower(bus, consented, consent_from, clock)
        visibility = ProjectedVisibility(known, ConsentGate(consented, clock))
        devices = Follower(bus, known, devices_from, clock)
        fence = PostgresFence(pool, settings.share)
        parts = _Parts(bus, dsn, pool, fence, settings.share, known, clock, stack)
        writers = _writers(parts)
        partition = Partition(
            parts.share.partition,
            lease=Lease(bus, lease_subject(NAME, parts.share.partition), clock),
            fence=fence,
            pulls={name: writer.pull for name, writer in writers.items()},
            clock=clock,
        )
        voice = OwnerVoice(bus, f"maasloop/{NAME}", clock)
        relay = OutboxRelay(dsn, voice.publish, name=f"{NAME}-outbox", clock=clock)
        streams, reader, accounts = Streams(bus), PostgresReader(pool), PostgresAccounts(pool)
        aggregates = PostgresAggregates(pool)
        tail = StreamTail(bus, streams, _progress(writers.values(), partition, parts, accounts))
        audit = open_audit_log(settings, pool, bus, clock)
        access, tenancy = access_of(settings, bus, clock), Tenancy(settings.tenants_file, clock)
        server = rpc_server(settings, [SERVICE.full_name], clock, access=access, audit=audit.calls)
        SeriesDoor(
            latest=ListLatestObservations(aggregates, visibility),
            read=ReadObservations(reader, aggregates, visibility),
            aggregate=AggregateObservations(reader, aggregates, visibility, clock),
            watch=WatchObservations(tail, visibility, clock),
            balance=GetCustodyBalance(accounts, StreamCounter(bus, _CARRIED, NAME, lambda: tenancy.present)),
            accounts=ListDeviceAccounts(accounts, visibility, visibility),
            trace=_trace(reader, accounts, StreamSearch(bus, streams, _CARRIED, clock), visibility),
            travel=GetTravelTimes(aggregates, visibility, clock),
        ).register(server)
        yield Service(
            doors=[server],
            pulling={"writers": partition.pull},
            tasks={
                **access.tasks,
                "devices": devices.run,
                "consent": consents.run,
                "outbox": relay.run,
                "tenants": tenancy.run,
                "balance": CustodyGauges(accounts, clock).run,
                **_chores(parts, reader, FreeStreams(streams, _owners(), accounts, clock)),
                **audit.tasks,
            },
            notes=audit.notes,
            checks={
                "database": lambda: check(pool),
                "nats": partial(_linked, bus),
                "devices": devices.check,
                "outbox": relay.check,
                "partition": partition.check,
                **{name: writer.check for name, writer in writers.items()},
            },
        )


@dataclass(frozen=True, slots=True)
class _Parts:
    """What all writers are made of."""

    bus: Bus
    dsn: str
    pool: Pool
    fence: PostgresFence
    share: Share
    known: Projection[Facts]
    clock: Clock
    stack: AsyncExitStack


def _writers(parts: _Parts) -> dict[str, Writer | Lanes]:
    """Return what writes each stream down, by the name of its durable."""
    writer = partial(_writer, parts)
    lanes = _lanes(writer, parts)
    return {
        OBSERVATION_ROWS.name: lanes,
        PERSONAL_ROWS.name: writer(PERSONAL_ROWS)[0],
        QUARANTINE_COUNT.name: writer(QUARANTINE_COUNT)[0],
        IMPORT_ROWS.name: writer(IMPORT_ROWS, behind=lanes)[0],
    }


def _writer(
    parts: _Parts,
    durable: Durable,
    *,
    behind: Lanes | None = None,
    lane: Life | None = None,
    window: bool = False,
) -> tuple[Writer, PostgresRowStore]:
    """Return the writer of a stream, which may stand behind another one of the same series, and its store.

    One writer has the ``window``, in which minutes that still grow are held back.
    """

    def facts(observed_property: str) -> PropertyFacts | None:
        found = parts.known.get(f"observedProperties/{observed_property}")
        return found if isinstance(found, PropertyFacts) else None

    index = PostgresSeriesIndex(parts.pool, facts)
    store = PostgresRowStore(
        parts.dsn,
        parts.pool,
        ConflictFacts(index),
        name=f"{NAME}-{durable.stream.lower()}",
        share=parts.share,
        fence=parts.fence,
    )
    parts.stack.push_async_callback(store.close)
    windows = Windows(parts.clock) if window else None
    made = Writer(
        bus=parts.bus,
        durable=durable if lane is not None else _own(durable, parts.share),
        streams=Streams(parts.bus),
        store=store,
        handler=StoreObservations(index=index, store=store, windows=windows, behind=behind is not None),
        clock=parts.clock,
        share=parts.share,
        yields_to=(lambda: behind.busy) if behind is not None else None,
        lane=lane,
    )
    return made, store


def _own(durable: Durable, share: Share) -> Durable:
    return replace(durable, name=share.name(durable.name))


def _lanes(writer: Callable[..., tuple[Writer, PostgresRowStore]], parts: _Parts) -> Lanes:
    """Return the writer of readings, which reads a backlog beside what comes now."""

    def live(durable: Durable, lane: Life) -> tuple[Writer, Close]:
        made, store = writer(durable, lane=lane)
        return made, store.close

    first, store = writer(OBSERVATION_ROWS, window=True)
    return Lanes(
        bus=parts.bus,
        writer=first,
        durable=_own(OBSERVATION_ROWS, parts.share),
        streams=Streams(parts.bus),
        store=store,
        clock=parts.clock,
        make_live=live,
    )


def _progress(
    writers: Iterable[Writer | Lanes], partition: Partition, parts: _Parts, accounts: PostgresAccounts
) -> StoredProgress:
    written = {writer.stream: writer.progress for writer in writers}
    return StoredProgress(written, accounts, parts.clock, share=parts.share, writing=lambda: partition.writing)


def _chores(parts: _Parts, reader: PostgresReader, free: FreeStreams) -> dict[str, Callable[[], Awaitable[None]]]:
    """Return what is done for all partitions, by the first."""
    if parts.share.partition:
        return {}
    return {"retention": ForgetOldRows(reader, parts.clock).run, "streams": free.run}


def _trace(
    reader: PostgresReader, rows: PostgresAccounts, search: StreamSearch, visibility: ProjectedVisibility
) -> TraceObservation:
    everybody = [stream for stream in _CARRIED if stream != PERSONAL.name]
    return TraceObservation(reader, rows, search, visibility, streams=everybody, personal_streams=[PERSONAL.name])


def _owners() -> dict[str, list[str]]:
    """Return the durables of others of each custody stream whose acknowledgement is a commit.

    One that begins with the newest message needs no older one.
    """
    owners: dict[str, list[str]] = {}
    for stream in (OBSERVATIONS, IMPORTS, PERSONAL, QUARANTINE, RESPONSES):
        members = [durable for durable in DURABLES if durable.stream == stream.name]
        owners[stream.name] = [
            durable.name for durable in members if durable.deliver == "all" and durable.service != NAME
        ]
    return owners


async def _linked(bus: Bus) -> str | None:
    return None if bus.connected else "no link to NATS"
