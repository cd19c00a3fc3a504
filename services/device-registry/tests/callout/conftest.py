"""A town with its doors: a nats-server in operator mode, a database, and the registry that answers about clients."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import aiomqtt
import pytest
from pydantic import SecretStr

from maasloop.api.device.v1 import credential_pb2, credential_service_pb2, device_service_pb2
from maasloop.api.device.v1.credential_service_pb2_grpc import CredentialServiceStub
from maasloop.api.device.v1.device_pb2 import Device, DeviceType, District
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.device_registry.app import PACKAGE, assemble
from maasloop.device_registry.settings import DeviceRegistrySettings
from maasloop.identity.command_keys import VERIFICATION_KEYS_FILE, ensure_command_keys
from maasloop.postgres.migrate import migrate, of_package
from maasloop.rpc import client
from maasloop.rpc.client import call
from maasloop.rpc.server import RpcServer
from maasloop.runtime.process import Service
from maasloop.stack.audit_keys import AuditFiles
from maasloop.testing.town import Town, running_town

if TYPE_CHECKING:
    from maasloop.api.device.v1.credential_service_pb2_grpc import CredentialServiceAsyncStub
    from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub

NOORD = "districts/noord"
COMMAND_KEYS = "commands"


@dataclass
class Doors:
    """The town with its registry."""

    town: Town
    service: Service
    devices: "DeviceServiceAsyncStub"
    credentials: "CredentialServiceAsyncStub"
    dsn: str
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def mqtt(
        self, issued: credential_pb2.IssuedCredential, *, client_id: str = "", password: str = ""
    ) -> aiomqtt.Client:
        """Return an MQTT client of a device, which connects when it is entered."""
        return self.town.mqtt(issued.user_name, password or issued.password, client_id=client_id or issued.client_id)

    async def device(self, device: str, *, gateway: str = "") -> str:
        """Register a device in service and return its name."""
        wanted = Device(device_type="deviceTypes/lamp", gateway=gateway)
        request = device_service_pb2.CreateDeviceRequest(parent=NOORD, device_id=device, device=wanted, activate=True)
        return (await call(self.devices.CreateDevice, request)).name

    async def claims(self, count: int = 1, *, devices: Sequence[str] = (), rate_per_minute: int = 0) -> list[str]:
        """Return claims for the district."""
        request = credential_service_pb2.GenerateEnrolmentClaimsRequest(
            parent=NOORD, count=count, devices=devices, rate_per_minute=rate_per_minute
        )
        return [each.claim for each in (await call(self.credentials.GenerateEnrolmentClaims, request)).claims]

    async def enrol(self, name: str, claim: str = "", **proof: str) -> credential_pb2.IssuedCredential:
        """Enrol a device, with a claim of its own unless one is given."""
        claim = claim or (await self.claims())[0]
        return await call(self.credentials.Enrol, credential_service_pb2.EnrolRequest(name=name, claim=claim, **proof))

    async def enrolled(self, device: str, *, gateway: str = "") -> credential_pb2.IssuedCredential:
        """Register and enrol a device."""
        return await self.enrol(await self.device(device, gateway=gateway))

    async def stop(self, *names: str) -> None:
        """End tasks of the registry, as if that part had died."""
        for name in names:
            task = self.tasks.pop(name)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture(name="town", scope="module")
def _town() -> Iterator[Town]:
    """One server for all tests of a module."""
    with running_town() as town:
        asyncio.run(town.ensure())
        yield town


@pytest.fixture(name="doors")
async def _doors(town: Town, service_dsn: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Doors]:
    audit = AuditFiles(tmp_path)
    audit.ensure(["device-registry"])
    ensure_command_keys(tmp_path / COMMAND_KEYS)
    settings = {
        "audit_keys_directory": audit.secrets,
        "command_keys_file": tmp_path / COMMAND_KEYS / VERIFICATION_KEYS_FILE,
    }
    async with running_doors(town, service_dsn("device-registry"), **settings) as doors:
        yield doors


@asynccontextmanager
async def running_doors(
    town: Town,
    dsn: str,
    **more: Any,  # noqa: ANN401 - any setting
) -> AsyncIterator[Doors]:
    """Run a registry for a town, with ``more`` settings."""
    await migrate(dsn, of_package(PACKAGE))
    settings = DeviceRegistrySettings(
        postgres_dsn=SecretStr(dsn),
        nats_url=town.server.url,
        nats_credentials_file=town.city.credentials("device-registry"),
        nats_ca_file=town.tls.authority,
        callout_directory=town.callout_directory,
        insecure_on_loopback=True,
        **more,
    )
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(assemble(settings))
        server = cast("RpcServer", service.doors[0])
        await server.start()
        stack.push_async_callback(server.stop, 0)
        channel = await stack.enter_async_context(client.connected(server.address))
        doors = Doors(town, service, DeviceServiceStub(channel), CredentialServiceStub(channel), dsn)
        doors.tasks.update({name: asyncio.ensure_future(work()) for name, work in service.tasks.items()})
        stack.push_async_callback(lambda: doors.stop(*list(doors.tasks)))
        await _populate(doors)
        yield doors


async def _populate(doors: Doors) -> None:
    kind = DeviceType(display_name="Lamp")
    request = device_service_pb2.CreateDeviceTypeRequest(device_type_id="lamp", device_type=kind)
    await call(doors.devices.CreateDeviceType, request)
    district = District(display_name="Noord")
    await call(
        doors.devices.CreateDistrict, device_service_pb2.CreateDistrictRequest(district_id="noord", district=district)
    )
