"""The composition root: what consent is made of, and who is given what."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from maasloop.api.consent.v1 import consent_service_pb2
from maasloop.bus import subjects
from maasloop.consent.adapters.identifiers import RandomIdentifiers
from maasloop.consent.adapters.postgres import PostgresRegister
from maasloop.consent.entrypoints.messages import MessageCodec
from maasloop.consent.entrypoints.places import RecordPlaces
from maasloop.consent.entrypoints.rpc import ConsentDoor
from maasloop.consent.entrypoints.timer import ExpiryTimer
from maasloop.consent.handlers.check_consent import CheckConsent
from maasloop.consent.handlers.create_activity import CreateActivity
from maasloop.consent.handlers.expire_consents import ExpireConsents
from maasloop.consent.handlers.grant_consent import GrantConsent
from maasloop.consent.handlers.object_to_processing import ObjectToProcessing
from maasloop.consent.handlers.read_register import ReadRegister
from maasloop.consent.handlers.withdraw_consent import WithdrawConsent
from maasloop.consent.settings import ConsentSettings
from maasloop.core.clock import Clock, SystemClock
from maasloop.postgres.pool import check, open_pool
from maasloop.runtime import broker
from maasloop.runtime.audit_log import open_audit_log
from maasloop.runtime.confirming import OwnerVoice
from maasloop.runtime.outbox import OutboxRelay
from maasloop.runtime.owning import Owner
from maasloop.runtime.process import Service
from maasloop.runtime.serving import access_of, rpc_server
from maasloop.runtime.watching import Watching

NAME = "consent"
PACKAGE = "maasloop.consent"


@asynccontextmanager
async def assemble(settings: ConsentSettings, clock: Clock | None = None) -> AsyncIterator[Service]:
    """Make the parts, in the order in which they need each other; tests give a clock."""
    clock = clock or SystemClock()
    dsn = settings.postgres_dsn.get_secret_value()
    async with (
        open_pool(dsn, name=NAME, size_max=settings.postgres_connections_max) as pool,
        broker.connected(settings, NAME) as bus,
    ):
        owner = Owner(pool, clock)
        watching = Watching(owner)
        audited = settings.audit_keys_directory is not None
        register = PostgresRegister(owner, MessageCodec(), watching.wake, audited=audited)
        identifiers = RandomIdentifiers()
        voice = OwnerVoice(bus, f"maasloop/{NAME}", clock)
        relay = OutboxRelay(dsn, voice.publish, name=f"{NAME}-outbox")
        reading = ReadRegister(register)
        door = ConsentDoor(
            create_activity=CreateActivity(register),
            grant_consent=GrantConsent(register, identifiers, clock),
            withdraw_consent=WithdrawConsent(register, identifiers, clock),
            object_to_processing=ObjectToProcessing(register, identifiers, clock),
            check_consent=CheckConsent(register, clock),
            read_register=reading,
            watching=watching,
        )
        timer = ExpiryTimer(ExpireConsents(register, identifiers, clock), clock)
        services = [consent_service_pb2.DESCRIPTOR.services_by_name["ConsentService"].full_name]
        audit = open_audit_log(settings, pool, bus, clock)
        access = access_of(settings, bus, clock, RecordPlaces(reading))
        server = rpc_server(settings, services, clock, access=access, audit=audit.calls)
        door.register(server)
        confirmed = subjects.CONSENT_CONFIRMED.subject(subjects.ALL_DISTRICTS, NAME)
        yield Service(
            doors=[server],
            tasks={
                **access.tasks,
                "outbox": relay.run,
                "confirm": lambda: voice.confirm(owner, confirmed),
                "expiry": timer.run,
                **audit.tasks,
            },
            checks={"database": lambda: check(pool), "outbox": relay.check},
            notes=audit.notes,
        )
