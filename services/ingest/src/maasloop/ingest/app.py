"""The composition root: what ingest is made of, and who is given what."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from grpc.aio import Channel

from maasloop.bus.connection import Bus
from maasloop.bus.tenants import CITY
from maasloop.core.clock import Clock, SystemClock
from maasloop.core.permission import ConsentFacts
from maasloop.ingest.adapters import registry
from maasloop.ingest.adapters.bus import BusPublisher
from maasloop.ingest.adapters.counts import MetricCounts
from maasloop.ingest.adapters.external_names import ExternalNames
from maasloop.ingest.adapters.fill import StreamFill
from maasloop.ingest.adapters.key_exchange import KeyExchange
from maasloop.ingest.adapters.mqtt_space import MqttSpace
from maasloop.ingest.adapters.postgres import PostgresQuarantine
from maasloop.ingest.adapters.resolving import Registry
from maasloop.ingest.domain.facts import Facts, PropertyFacts
from maasloop.ingest.entrypoints.chirpstack import ChirpstackDoor
from maasloop.ingest.entrypoints.http import ObservationsDoor
from maasloop.ingest.entrypoints.http_callers import HttpCallers
from maasloop.ingest.entrypoints.mqtt import MqttDoor
from maasloop.ingest.entrypoints.payloads import decode_entry
from maasloop.ingest.entrypoints.places import EntryPlaces
from maasloop.ingest.entrypoints.rpc import SERVICE, IngestDoor
from maasloop.ingest.entrypoints.rpc_import import ImportDoor
from maasloop.ingest.entrypoints.stream import QuarantineKeeper, RequestDoor
from maasloop.ingest.handlers.forget_quarantine import ForgetQuarantine
from maasloop.ingest.handlers.keep_quarantined import KeepQuarantined
from maasloop.ingest.handlers.list_quarantine import ListQuarantine
from maasloop.ingest.handlers.record_observations import RecordObservations
from maasloop.ingest.handlers.record_response import RecordResponse
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.handlers.replay_quarantine import ReplayQuarantine
from maasloop.ingest.settings import IngestSettings
from maasloop.postgres.pool import check, open_pool
from maasloop.runtime import broker
from maasloop.runtime.access import Access
from maasloop.runtime.audit_log import AuditLog, open_audit_log
from maasloop.runtime.following import Follower, Owner
from maasloop.runtime.following import consent as consent_owner
from maasloop.runtime.following import devices as devices_owner
from maasloop.runtime.http import HttpDoor
from maasloop.runtime.permitting import ConsentGate, consent_facts_of, consent_projection
from maasloop.runtime.process import Service
from maasloop.runtime.projection import Projection, State
from maasloop.runtime.serving import access_of, neighbour, rpc_server
from maasloop.runtime.tenancy import Lasting, Pull, Tenancy

NAME = "ingest"
PACKAGE = "maasloop.ingest"


@asynccontextmanager
async def assemble(settings: IngestSettings) -> AsyncIterator[Service]:
    """Make the parts, in the order in which they need each other."""
    clock = SystemClock()
    async with (
        open_pool(settings.postgres_dsn.get_secret_value(), name=NAME, size_max=4) as pool,
        broker.connected(settings, NAME) as bus,
        broker.connected(settings, f"{NAME}-bulk") as bulk,
        neighbour(settings, "device-registry") as registry_channel,
        neighbour(settings, "consent") as consent_channel,
    ):
        devices_from: Owner[Facts] = devices_owner(registry_channel, registry.facts_of)
        consent_from: Owner[ConsentFacts] = consent_owner(consent_channel, consent_facts_of)
        known, consented = _Known(clock), consent_projection(clock)
        devices = Follower(bus, known.projection, devices_from, clock)
        consents = Follower(bus, consented, consent_from, clock)
        resolver, name_of, unit_of = known.resolver, known.name_of, known.unit_of
        fill, counts, store = StreamFill(bus), MetricCounts(), PostgresQuarantine(pool)
        publisher = BusPublisher(bus, clock, bulk=bulk, fill=fill)
        record = RecordObservations(
            resolve=resolver,
            speaks_for=resolver.speaks_for,
            personal=resolver.personal,
            counts_payloads=resolver.counts_payloads,
            gate=ConsentGate(consented, clock),
            publisher=publisher,
            counts=counts,
            clock=clock,
        )
        refuse = RefusePayload(personal=resolver.personal, publisher=publisher, counts=counts)
        replay = ReplayQuarantine(
            store=store,
            decode=lambda entry: decode_entry(entry, unit_of, name_of),
            record=partial(record, quarantine=False),
        )
        audit, access = open_audit_log(settings, pool, bus, clock), access_of(settings, bus, clock, EntryPlaces(store))
        server = rpc_server(settings, [SERVICE.full_name], clock, access=access, audit=audit.calls)
        listed = ListQuarantine(store)
        IngestDoor(record=record, list_quarantine=listed, replay_quarantine=replay, clock=clock).register(server)
        callers = _http_callers(settings, access, audit, registry_channel, clock)
        http = ObservationsDoor(
            record=record, refuse=refuse, name_of=name_of, unit_of=unit_of, clock=clock, callers=callers
        )
        ImportDoor(record=record, unit_of=unit_of, clock=clock).register(server)
        door, chirpstack = _device_doors(bus, bulk, record, refuse, publisher=publisher, known=known, clock=clock)
        mqtt, tenancy = door(), Tenancy(settings.tenants_file, clock)
        pulls, tenants = _of_further_tenants(tenancy, door, bus)
        yield Service(
            doors=[server, HttpDoor(http.app, settings.http_address, tls=settings.tls, refusal=http.refuse)],
            pulling={
                "mqtt": mqtt.pull,
                "responses": mqtt.pull_responses,
                "chirpstack": chirpstack.pull,
                "quarantine": QuarantineKeeper(bus, KeepQuarantined(store)).pull,
                **pulls,
            },
            tasks={
                **access.tasks,
                "devices": devices.run,
                "consent": consents.run,
                "fill": fill.run,
                "space": MqttSpace(bus).run,
                **tenants,
                "qos0": mqtt.hear_unproven,
                "requests": RequestDoor(bus, record, refuse, clock).hear,
                "forget": ForgetQuarantine(store, clock, kept_days=settings.quarantine_kept_days).run,
                **audit.tasks,
            },
            checks={"database": lambda: check(pool), "nats": partial(_linked, bus, bulk), "devices": devices.check},
            notes=audit.notes,
        )


def _http_callers(
    settings: IngestSettings, access: Access, audit: AuditLog, registry_channel: Channel, clock: Clock
) -> HttpCallers | None:
    """Return who asks callers of the HTTP door who they are; nobody where nobody is identified."""
    if settings.tls is None:
        return None
    exchange = KeyExchange(registry_channel, clock).token
    refused = audit.calls.refused if audit.calls is not None else None
    return HttpCallers(access.tokens.principal, exchange, access.authorizer, refused)


def _device_doors(
    bus: Bus,
    bulk: Bus,
    record: RecordObservations,
    refuse: RefusePayload,
    *,
    publisher: BusPublisher,
    known: "_Known",
    clock: Clock,
) -> tuple[Callable[..., MqttDoor], ChirpstackDoor]:
    """Return the doors whose senders were told by the broker that their payloads are kept; the first for any tenant."""
    mqtt = partial(
        MqttDoor,
        bus=bus,
        bulk=bulk,
        record=record,
        together=record.together,
        refuse=refuse,
        give_up=publisher.give_up,
        respond=RecordResponse(speaks_for=known.resolver.speaks_for, publisher=publisher),
        unit_of=known.unit_of,
        clock=clock,
    )
    chirpstack = ChirpstackDoor(
        bus=bus,
        record=record,
        refuse=refuse,
        give_up=publisher.give_up,
        name_of=known.name_of,
        unit_of=known.unit_of,
    )
    return mqtt, chirpstack


def _of_further_tenants(
    tenancy: Tenancy, door: Callable[..., MqttDoor], bus: Bus
) -> tuple[dict[str, Pull], dict[str, Lasting]]:
    """Return what pulls from the accounts of the devices of further tenants, and what lasts beside it."""
    pulls: dict[str, Pull] = {}
    tasks: dict[str, Lasting] = {"tenants": tenancy.run}
    for tenant in (each for each in tenancy.declared if each.name != CITY):
        mqtt = door(tenant=tenant)
        pulls[f"mqtt-{tenant.name}"] = tenancy.pulling(tenant, mqtt.pull)
        pulls[f"responses-{tenant.name}"] = tenancy.pulling(tenant, mqtt.pull_responses)
        tasks[f"space-{tenant.name}"] = tenancy.lasting(tenant, MqttSpace(bus, tenant).run)
    return pulls, tasks


class _Known:
    """The projection of the registry, and who answers from it."""

    def __init__(self, clock: Clock) -> None:
        self.projection: Projection[Facts] = Projection("devices", clock)
        self.resolver = Registry(lambda: self.projection.items, self._ready)
        self.name_of = ExternalNames(self.projection.get, self._ready)
        self.projection.listen(self.resolver.changed)
        self.projection.listen(self.name_of.changed)

    def unit_of(self, observed_property: str) -> str | None:
        """Return the unit of an observed property."""
        facts = self.projection.get(f"observedProperties/{observed_property}")
        return facts.unit if isinstance(facts, PropertyFacts) else None

    def _ready(self) -> bool:
        return self.projection.state is State.LIVE or self.projection.revision > 0


async def _linked(*links: Bus) -> str | None:
    return None if all(link.connected for link in links) else "no link to NATS"
