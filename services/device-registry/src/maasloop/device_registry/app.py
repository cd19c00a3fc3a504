"""The composition root: what the registry is made of, and who is given what."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

from maasloop.api.device.v1 import access_service_pb2, credential_service_pb2, device_service_pb2
from maasloop.audit.entries import Entry, Verb
from maasloop.audit.sink import AuditSink
from maasloop.bus import subjects
from maasloop.bus.connection import Bus, connect
from maasloop.core.clock import Clock, SystemClock
from maasloop.core.errors import FailedPrecondition
from maasloop.core.ids import DeviceName
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request
from maasloop.device_registry.adapters.command_keys import FileCommandKeys
from maasloop.device_registry.adapters.device_authority import FileDeviceAuthority
from maasloop.device_registry.adapters.nats_servers import NatsServers
from maasloop.device_registry.adapters.postgres import PostgresRegistry
from maasloop.device_registry.adapters.postgres_api_keys import PostgresApiKeys
from maasloop.device_registry.adapters.postgres_credentials import PostgresCredentials
from maasloop.device_registry.adapters.token_giver import SignedTokens
from maasloop.device_registry.domain.credential import device_holder
from maasloop.device_registry.domain.refusals import RefusalTally
from maasloop.device_registry.domain.resource import Key, Kind
from maasloop.device_registry.entrypoints.callout import Callout, CalloutKeys
from maasloop.device_registry.entrypoints.closing import ClosingRounds
from maasloop.device_registry.entrypoints.messages import MessageCodec
from maasloop.device_registry.entrypoints.rpc import DeviceDoor
from maasloop.device_registry.entrypoints.rpc_access import AccessDoor
from maasloop.device_registry.entrypoints.rpc_credentials import CredentialDoor
from maasloop.device_registry.handlers.activate_device import ActivateDevice
from maasloop.device_registry.handlers.admit_connection import AdmitConnection
from maasloop.device_registry.handlers.close_connections import CloseConnections
from maasloop.device_registry.handlers.create_credential import CreateCredential
from maasloop.device_registry.handlers.create_device import CreateDevice
from maasloop.device_registry.handlers.create_resource import CreateResource
from maasloop.device_registry.handlers.enrol_device import EnrolDevice
from maasloop.device_registry.handlers.exchange_api_key import ExchangeApiKey
from maasloop.device_registry.handlers.fetch_command_keys import FetchCommandKeys
from maasloop.device_registry.handlers.forget_connections import ForgetConnections
from maasloop.device_registry.handlers.generate_api_key import GenerateApiKey
from maasloop.device_registry.handlers.generate_claims import GenerateClaims
from maasloop.device_registry.handlers.get_resource import GetResource
from maasloop.device_registry.handlers.import_devices import ImportDevices
from maasloop.device_registry.handlers.keep_refusals import KeepRefusals
from maasloop.device_registry.handlers.list_api_keys import ListApiKeys
from maasloop.device_registry.handlers.list_credentials import ListCredentials
from maasloop.device_registry.handlers.list_resources import ListResources
from maasloop.device_registry.handlers.quarantine_device import QuarantineDevice
from maasloop.device_registry.handlers.release_device import ReleaseDevice
from maasloop.device_registry.handlers.retire_device import RetireDevice
from maasloop.device_registry.handlers.revoke_api_key import RevokeApiKey
from maasloop.device_registry.handlers.revoke_credential import RevokeCredential
from maasloop.device_registry.handlers.revoke_principal import RevokePrincipal
from maasloop.device_registry.handlers.rotate_credential import RotateCredential
from maasloop.device_registry.handlers.update_device import UpdateDevice
from maasloop.device_registry.handlers.update_device_type import UpdateDeviceType
from maasloop.device_registry.settings import DeviceRegistrySettings
from maasloop.identity.roles import Roles
from maasloop.identity.token_keys import TokenSigner
from maasloop.postgres.pool import Pool, check, open_pool
from maasloop.runtime import broker
from maasloop.runtime.audit_log import open_audit_log
from maasloop.runtime.auditing import AuditTrail
from maasloop.runtime.confirming import OwnerVoice
from maasloop.runtime.outbox import OutboxRelay
from maasloop.runtime.owning import Owner
from maasloop.runtime.process import Service
from maasloop.runtime.revocations import RevocationWriter
from maasloop.runtime.serving import access_of, rpc_server
from maasloop.runtime.watching import Watching

NAME = "device-registry"
PACKAGE = "maasloop.device_registry"
BESIDE, REVOKED = f"service/{NAME}", "QUARANTINED"
"""Who revokes beside a dead service has its database role and no other name."""


@dataclass(frozen=True, slots=True)
class Doorkeeping:
    """What lets devices in at the broker and closes their connections; empty where no broker asks this replica."""

    close: CloseConnections | None = None
    tasks: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)


def as_user(
    settings: DeviceRegistrySettings, name: str, credentials: Path, url: str = ""
) -> AbstractAsyncContextManager[Bus]:
    """Connect to the broker, or to another server, as a user of another account than the services'."""
    authority = settings.nats_ca_file
    return connect(url or settings.nats_url, name=name, credentials_file=credentials, authority_file=authority)


@asynccontextmanager
async def doorkeeping(
    settings: DeviceRegistrySettings, clock: Clock, told: AuditSink | None
) -> AsyncIterator[Doorkeeping]:
    """Make it, with connections of its own to the broker and the database; ``told`` hears whom it refuses."""
    directory = settings.callout_directory
    if directory is None:
        yield Doorkeeping()
        return
    dsn, name = settings.postgres_dsn.get_secret_value(), f"{NAME}-callout"
    keys = CalloutKeys.read(directory)
    async with (
        open_pool(dsn, name=name, size_max=settings.callout_connections_max) as pool,
        as_user(settings, name, directory / "callout.creds") as asked,
        as_user(settings, name, directory / "revoker.creds") as system,
    ):
        credentials, servers = PostgresCredentials(pool), NatsServers(system)
        close, tally = CloseConnections(credentials, servers, clock), RefusalTally()
        rounds = ClosingRounds(
            close, ForgetConnections(credentials, servers, clock), KeepRefusals(tally, credentials), clock
        )
        admit = AdmitConnection(credentials, clock, SystemRandom())

        async def answer_for_certificates() -> None:
            url = settings.certificate_nats_url
            async with as_user(settings, name, directory / "callout.creds", url) as further:
                await Callout(further, keys, admit, tally, clock, told).run()

        tasks = {
            "callout": Callout(asked, keys, admit, tally, clock, told).run,
            "close": rounds.close,
            "forget": rounds.forget,
            "refusals": rounds.refusals,
        }
        if settings.certificate_nats_url:
            tasks["callout-certificates"] = answer_for_certificates
        yield Doorkeeping(close, tasks)


async def revoke(settings: DeviceRegistrySettings, device: str) -> int:
    """Put a device into quarantine and close its connections without a running service; return how many are left.

    The event leaves with the outbox when the service runs again.
    """
    clock = SystemClock()
    name = DeviceName.parse(device)
    directory = settings.callout_directory
    if directory is None:
        message = "callout_directory names no revoker.creds, without which no connection can be closed"
        raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": "callout_directory"})
    async with (
        open_pool(settings.postgres_dsn.get_secret_value(), name=f"{NAME}-revoke", size_max=2) as pool,
        as_user(settings, f"{NAME}-revoke", directory / "revoker.creds") as system,
    ):
        registry = PostgresRegistry(Owner(pool, clock), MessageCodec(), lambda: None)
        await QuarantineDevice(registry, clock)(Key(Kind.DEVICE, *name), "", Request("", "", b""))
        trail = AuditTrail(pool, clock)
        trail.note(Entry(time_us=clock.now_us(), verb=Verb.CHANGED, actor=BESIDE, resource=device, outcome=REVOKED))
        await trail.flush()
        close = CloseConnections(PostgresCredentials(pool), NatsServers(system), clock)
        return await close(device_holder(*name))


def credential_door(
    settings: DeviceRegistrySettings, pool: Pool, registry: PostgresRegistry, clock: Clock, keeping: Doorkeeping
) -> CredentialDoor:
    """Make the door of credentials."""
    credentials = PostgresCredentials(pool)
    return CredentialDoor(
        generate_claims=GenerateClaims(credentials, clock),
        fetch_command_keys=FetchCommandKeys(
            FileCommandKeys(keys) if (keys := settings.command_keys_file) else None, clock
        ),
        enrol_device=EnrolDevice(credentials, clock),
        rotate_credential=RotateCredential(credentials, clock),
        create_credential=CreateCredential(credentials, clock),
        list_credentials=ListCredentials(credentials, clock),
        revoke_credential=RevokeCredential(credentials, clock),
        quarantine_device=QuarantineDevice(registry, clock),
        release_device=ReleaseDevice(registry, clock),
        close_connections=keeping.close,
        authority=device_authority(settings),
    )


def device_authority(settings: DeviceRegistrySettings) -> FileDeviceAuthority | None:
    """Read the authority that signs certificates of devices, if the city has one."""
    certificate, key = settings.device_authority_certificate_file, settings.device_authority_key_file
    return FileDeviceAuthority(certificate, key) if certificate and key else None


def access_door(settings: DeviceRegistrySettings, pool: Pool, bus: Bus, clock: Clock) -> AccessDoor:
    """Make the door of keys and revocations."""
    keys, log, signing = PostgresApiKeys(pool), RevocationWriter(bus, clock), settings.token_signing_key_file
    giver = SignedTokens(TokenSigner(signing, clock)) if signing else None
    return AccessDoor(
        generate_api_key=GenerateApiKey(keys, clock),
        list_api_keys=ListApiKeys(keys),
        revoke_api_key=RevokeApiKey(keys, log, clock),
        exchange_api_key=ExchangeApiKey(keys, giver, clock),
        revoke_principal=RevokePrincipal(log),
        roles=Roles.load(),
    )


@asynccontextmanager
async def assemble(settings: DeviceRegistrySettings) -> AsyncIterator[Service]:
    """Make the parts, in the order in which they need each other."""
    clock = SystemClock()
    dsn = settings.postgres_dsn.get_secret_value()
    async with (
        open_pool(dsn, name=NAME, size_max=settings.postgres_connections_max) as pool,
        broker.connected(settings, NAME) as bus,
        nullcontext(open_audit_log(settings, pool, bus, clock)) as audit,
        doorkeeping(settings, clock, audit.trail) as keeping,
    ):
        owner = Owner(pool, clock)
        watching = Watching(owner)
        registry = PostgresRegistry(owner, MessageCodec(), watching.wake)
        voice = OwnerVoice(bus, f"maasloop/{NAME}", clock)
        relay = OutboxRelay(dsn, voice.publish, name=f"{NAME}-outbox")
        door = DeviceDoor(
            create_device=CreateDevice(registry, clock),
            update_device=UpdateDevice(registry, clock),
            activate_device=ActivateDevice(registry, clock),
            retire_device=RetireDevice(registry, clock),
            close_connections=keeping.close,
            import_devices=ImportDevices(registry, clock),
            create_resource=CreateResource(registry, clock),
            update_device_type=UpdateDeviceType(registry),
            get_resource=GetResource(registry),
            list_resources=ListResources(registry),
            watching=watching,
        )
        services = [
            device_service_pb2.DESCRIPTOR.services_by_name["DeviceService"].full_name,
            credential_service_pb2.DESCRIPTOR.services_by_name["CredentialService"].full_name,
            access_service_pb2.DESCRIPTOR.services_by_name["AccessService"].full_name,
        ]
        access = access_of(settings, bus, clock)
        server = rpc_server(settings, services, clock, access=access, audit=audit.calls)
        door.register(server)
        credential_door(settings, pool, registry, clock, keeping).register(server)
        access_door(settings, pool, bus, clock).register(server)
        confirmed = subjects.DEVICE_CONFIRMED.subject(subjects.ALL_DISTRICTS, NAME)
        yield Service(
            doors=[server],
            tasks={
                **access.tasks,
                "outbox": relay.run,
                "confirm": lambda: voice.confirm(owner, confirmed),
                **keeping.tasks,
                **audit.tasks,
            },
            checks={"database": lambda: check(pool), "outbox": relay.check},
            notes=audit.notes,
        )
