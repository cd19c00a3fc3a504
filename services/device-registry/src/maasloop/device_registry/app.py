"""The composition root: what the registry is made of, and who is given what."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from maasloop.api.device.v1 import device_service_pb2
from maasloop.bus import subjects
from maasloop.core.clock import SystemClock
from maasloop.device_registry.adapters.postgres import PostgresRegistry
from maasloop.device_registry.entrypoints.messages import MessageCodec
from maasloop.device_registry.entrypoints.rpc import DeviceDoor
from maasloop.device_registry.handlers.activate_device import ActivateDevice
from maasloop.device_registry.handlers.create_device import CreateDevice
from maasloop.device_registry.handlers.create_resource import CreateResource
from maasloop.device_registry.handlers.get_resource import GetResource
from maasloop.device_registry.handlers.import_devices import ImportDevices
from maasloop.device_registry.handlers.list_resources import ListResources
from maasloop.device_registry.handlers.retire_device import RetireDevice
from maasloop.device_registry.handlers.update_device import UpdateDevice
from maasloop.device_registry.handlers.update_device_type import UpdateDeviceType
from maasloop.device_registry.settings import DeviceRegistrySettings
from maasloop.postgres.pool import check, open_pool
from maasloop.rpc.server import RpcServer
from maasloop.runtime import broker
from maasloop.runtime.confirming import OwnerVoice
from maasloop.runtime.outbox import OutboxRelay
from maasloop.runtime.owning import Owner
from maasloop.runtime.process import Service
from maasloop.runtime.watching import Watching

NAME = "device-registry"
PACKAGE = "maasloop.device_registry"


@asynccontextmanager
async def assemble(settings: DeviceRegistrySettings) -> AsyncIterator[Service]:
    """Make the parts, in the order in which they need each other."""
    clock = SystemClock()
    dsn = settings.postgres_dsn.get_secret_value()
    async with (
        open_pool(dsn, name=NAME, size_max=settings.postgres_connections_max) as pool,
        broker.connected(settings, NAME) as bus,
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
            import_devices=ImportDevices(registry, clock),
            create_resource=CreateResource(registry, clock),
            update_device_type=UpdateDeviceType(registry),
            get_resource=GetResource(registry),
            list_resources=ListResources(registry),
            watching=watching,
        )
        services = [device_service_pb2.DESCRIPTOR.services_by_name["DeviceService"].full_name]
        server = RpcServer(settings.grpc_address, services, clock=clock)
        door.register(server)
        confirmed = subjects.DEVICE_CONFIRMED.subject(subjects.ALL_DISTRICTS, NAME)
        yield Service(
            doors=[server],
            tasks={"outbox": relay.run, "confirm": lambda: voice.confirm(owner, confirmed)},
            checks={"database": lambda: check(pool), "outbox": relay.check},
        )
