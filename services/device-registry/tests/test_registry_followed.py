"""Whoever follows the registry holds its state, through imports, crashes and a broker that goes away."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from maasloop.api.device.v1 import device_service_pb2 as pb
from maasloop.api.device.v1.device_pb2 import Device, DeviceType, District
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.api.device.v1.events_pb2 import RegistryResource
from maasloop.bus import connection as bus_connection
from maasloop.bus.ensure import ensure
from maasloop.core.clock import SystemClock
from maasloop.rpc import client
from maasloop.rpc.client import call
from maasloop.rpc.statuses import translated
from maasloop.runtime.following import Follower, devices
from maasloop.runtime.projection import Projection, State
from maasloop.stack.ports import free_ports
from maasloop.stack.servers.nats import NatsServer
from maasloop.testing.service_process import service_process

if TYPE_CHECKING:
    from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub

pytestmark = pytest.mark.timeout(180)
"""Starting processes takes long on a busy machine."""

DEVICES = 20
IMPORTED = 2_500
LOOK_S = 0.05


def _translate(resource: RegistryResource) -> tuple[str, str | None] | None:
    if not resource.HasField("device"):
        return None
    device = resource.device
    return device.name, None if device.state == Device.STATE_RETIRED else device.display_name


@asynccontextmanager
async def _following(address: str, nats_url: str) -> AsyncIterator[Projection[str]]:
    clock = SystemClock()
    projection: Projection[str] = Projection("devices", clock, confirm_within_s=5.0)
    async with client.connected(address) as channel, bus_connection.connect(nats_url, name="follower") as bus:
        task = asyncio.create_task(Follower(bus, projection, devices(channel, _translate), clock).run())
        try:
            yield projection
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - a projection has no event for everything a test waits for
        await asyncio.sleep(LOOK_S)


def _registry(dsn: str, nats_url: str, port: int) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    return service_process("device-registry", postgres_dsn=dsn, nats_url=nats_url, grpc_address=f"127.0.0.1:{port}")


async def _populate(stub: "DeviceServiceAsyncStub") -> None:
    device_type = DeviceType(display_name="Lamp")
    await call(stub.CreateDeviceType, pb.CreateDeviceTypeRequest(device_type_id="lamp", device_type=device_type))
    district = District(display_name="Noord")
    await call(stub.CreateDistrict, pb.CreateDistrictRequest(district_id="noord", district=district))


async def _create(stub: "DeviceServiceAsyncStub", device_id: str) -> Device:
    device = Device(device_type="deviceTypes/lamp", display_name="Lamp")
    request = pb.CreateDeviceRequest(parent="districts/noord", device_id=device_id, device=device)
    return await call(stub.CreateDevice, request)


async def test_a_follower_holds_every_change(registry: Any) -> None:  # noqa: ANN401 - of conftest, which is no module
    """Creation, update, retirement and a large import arrive by events, in place, and are confirmed."""
    stub: DeviceServiceAsyncStub = registry.stub
    await _populate(stub)
    first = await _create(stub, "lamp-a")
    async with _following(registry.server.address, registry.nats_url) as projection:
        await _until(lambda: projection.state is State.LIVE)
        second = await _create(stub, "lamp-b")
        change = Device(name=first.name, display_name="Quay")
        await call(stub.UpdateDevice, pb.UpdateDeviceRequest(device=change))
        await _until(lambda: projection.get(first.name) == "Quay")
        assert projection.get(second.name) == "Lamp"
        await call(stub.RetireDevice, pb.RetireDeviceRequest(name=second.name))
        await _until(lambda: projection.get(second.name) is None)

        async def rows() -> AsyncIterator[pb.ImportDevicesRequest]:
            content = "device,device_type\n" + "".join(f"lamp-{number},lamp\n" for number in range(IMPORTED))
            kind = pb.ImportDevicesRequest.FORMAT_CSV
            yield pb.ImportDevicesRequest(parent="districts/noord", format=kind, content=content.encode())

        with translated():
            imported = await stub.ImportDevices(rows())
        await _until(lambda: projection.revision >= imported.revision and projection.open)

        assert len(projection.items) == IMPORTED + 1


async def test_a_follower_survives_what_it_follows(service_dsn: Callable[[str], str], nats_process: NatsServer) -> None:
    """Broker and registry are killed with changes untold; when both are back the follower holds them all."""
    (port,) = free_ports(1)
    address, dsn = f"127.0.0.1:{port}", service_dsn("device-registry")
    async with bus_connection.connect(nats_process.url, name="test") as bus:
        await ensure(bus)
    async with _following(address, nats_process.url) as projection, client.connected(address) as channel:
        stub = DeviceServiceStub(channel)
        with _registry(dsn, nats_process.url, port):
            await client.wait_ready(channel, "device-registry")
            await _populate(stub)
            await _until(lambda: projection.open and projection.revision == 2)
            nats_process.kill9()
            for number in range(DEVICES):
                await _create(stub, f"lamp-{number}")
        nats_process.start()
        assert len(projection.items) < DEVICES
        with _registry(dsn, nats_process.url, port):
            await _until(lambda: len(projection.items) == DEVICES and projection.open)
