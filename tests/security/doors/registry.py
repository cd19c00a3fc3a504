"""A town, a database and registries as processes: what the lanes about devices at the door run against."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from maasloop.api.device.v1 import credential_pb2, credential_service_pb2, device_service_pb2
from maasloop.api.device.v1.credential_service_pb2_grpc import CredentialServiceStub
from maasloop.api.device.v1.device_pb2 import Device, DeviceType, District
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.rpc import client
from maasloop.rpc.client import call
from maasloop.stack.ports import free_ports
from maasloop.stack.servers.databases import role_name
from maasloop.stack.services import setting_name
from maasloop.testing.databases import TestDatabases
from maasloop.testing.providers import provide_timescale
from maasloop.testing.town import Town, running_town

if TYPE_CHECKING:
    from maasloop.api.device.v1.credential_service_pb2_grpc import CredentialServiceAsyncStub
    from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub

SERVICE = "device-registry"
DISTRICT = "districts/noord"
STARTS_WITHIN_S = 60.0
MODULE = "maasloop.device_registry"


@dataclass
class Registries:
    """A town and the registry processes that answer for it."""

    town: Town
    dsn: str
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def start(self, module: str = MODULE) -> str:
        """Start a registry, or what stands in for one, and return its gRPC address."""
        (port,) = free_ports(1)
        address = f"127.0.0.1:{port}"
        child = subprocess.Popen([sys.executable, "-m", module], env=self.environment(grpc_address=address))
        self.processes.append(child)
        self.addresses.append(address)
        return address

    def environment(self, **more: str) -> dict[str, str]:
        """Return the settings of a registry as its environment."""
        fields = {
            "postgres_dsn": self.dsn,
            "nats_url": self.town.server.url,
            "nats_credentials_file": str(self.town.city.credentials(SERVICE)),
            "nats_ca_file": str(self.town.tls.authority),
            "callout_directory": str(self.town.callout_directory),
            "insecure_on_loopback": "true",
            "log_level": "error",
            **more,
        }
        return {setting_name(SERVICE, name): value for name, value in fields.items()}

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send every registry a signal."""
        for child in self.processes:
            child.send_signal(number)
            if number == signal.SIGKILL:
                child.wait()

    @asynccontextmanager
    async def desk(self, address: str) -> AsyncIterator["Desk"]:
        """Open a desk at one registry."""
        async with AsyncExitStack() as stack:
            channel = await stack.enter_async_context(client.connected(address))
            await asyncio.wait_for(client.wait_ready(channel, SERVICE), STARTS_WITHIN_S)
            yield Desk(DeviceServiceStub(channel), CredentialServiceStub(channel))


@dataclass
class Desk:
    """Where devices are registered, enrolled and revoked."""

    devices: "DeviceServiceAsyncStub"
    credentials: "CredentialServiceAsyncStub"

    async def populate(self) -> None:
        """Make what every device needs."""
        kind = device_service_pb2.CreateDeviceTypeRequest(
            device_type_id="lamp", device_type=DeviceType(display_name="Lamp")
        )
        await call(self.devices.CreateDeviceType, kind)
        district = device_service_pb2.CreateDistrictRequest(
            district_id="noord", district=District(display_name="Noord")
        )
        await call(self.devices.CreateDistrict, district)

    async def enrolled(self, count: int, prefix: str) -> list[credential_pb2.IssuedCredential]:
        """Register and enrol devices with a batch of claims."""
        asked = credential_service_pb2.GenerateEnrolmentClaimsRequest(
            parent=DISTRICT, count=count, rate_per_minute=100_000
        )
        claims = (await call(self.credentials.GenerateEnrolmentClaims, asked)).claims
        issued = []
        for number, claim in enumerate(claims):
            device = device_service_pb2.CreateDeviceRequest(
                parent=DISTRICT,
                device_id=f"{prefix}-{number}",
                device=Device(device_type="deviceTypes/lamp"),
                activate=True,
            )
            name = (await call(self.devices.CreateDevice, device)).name
            request = credential_service_pb2.EnrolRequest(name=name, claim=claim.claim)
            issued.append(await call(self.credentials.Enrol, request))
        return issued

    async def quarantine(self, issued: credential_pb2.IssuedCredential) -> None:
        """Take trust from the device of a credential."""
        request = credential_service_pb2.QuarantineDeviceRequest(name=device_of(issued))
        await call(self.credentials.QuarantineDevice, request, timeout_s=STARTS_WITHIN_S)


def device_of(issued: credential_pb2.IssuedCredential) -> str:
    """Return the device that a credential is for."""
    return issued.credential.name.partition("/credentials/")[0]


@contextmanager
def registries() -> Iterator[Registries]:
    """Run the servers on empty state; registries are started by the lane and end with it."""
    with running_town() as town, provide_timescale() as server:
        databases = TestDatabases(server)
        databases.prepare()
        name = databases.create()
        made = Registries(town, server.dsn(name, role_name(SERVICE)))
        try:
            yield made
        finally:
            made.end(signal.SIGCONT)
            made.end()
            databases.drop(name)
            databases.close()
