"""The registry as a process of its own: what was answered is told, whatever dies in between."""

import asyncio
import base64
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from maasloop.api.device.v1 import device_service_pb2 as pb
from maasloop.api.device.v1.device_pb2 import Device, DeviceType, District
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.api.device.v1.events_pb2 import DevicesChanged
from maasloop.bus import connection as bus_connection
from maasloop.bus.connection import Bus
from maasloop.bus.ensure import ensure
from maasloop.rpc import client
from maasloop.rpc.client import call
from maasloop.stack.ports import free_ports
from maasloop.stack.servers.nats import NatsServer
from maasloop.testing.service_process import service_process

if TYPE_CHECKING:
    from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub

pytestmark = pytest.mark.timeout(180)
"""Starting processes takes long on a busy machine."""

DEVICES = 20
RELAY_TRIES_S = 2.0
"""Long enough for a relay that forgets before the broker has answered to show it."""


def _registry(dsn: str, nats_url: str, port: int) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    return service_process("device-registry", postgres_dsn=dsn, nats_url=nats_url, grpc_address=f"127.0.0.1:{port}")


@asynccontextmanager
async def _stub(port: int) -> AsyncIterator["DeviceServiceAsyncStub"]:
    async with client.connected(f"127.0.0.1:{port}") as channel:
        await client.wait_ready(channel, "device-registry")
        yield DeviceServiceStub(channel)


async def _events(bus: Bus, count: int) -> list[DevicesChanged]:
    events: list[DevicesChanged] = []
    while len(events) < count:
        answer = await bus.api("STREAM.MSG.GET.DEVICES", {"seq": len(events) + 1})
        if "message" in answer:
            events.append(DevicesChanged.FromString(base64.b64decode(answer["message"]["data"])))
    return events


async def _populate(stub: "DeviceServiceAsyncStub") -> None:
    device_type = DeviceType(display_name="Lamp")
    await call(stub.CreateDeviceType, pb.CreateDeviceTypeRequest(device_type_id="lamp", device_type=device_type))
    district = District(display_name="Noord")
    await call(stub.CreateDistrict, pb.CreateDistrictRequest(district_id="noord", district=district))


async def _create(stub: "DeviceServiceAsyncStub", number: int) -> None:
    device = Device(device_type="deviceTypes/lamp")
    request = pb.CreateDeviceRequest(parent="districts/noord", device_id=f"lamp-{number}", device=device)
    await call(stub.CreateDevice, request)


async def test_kill_9_with_facts_untold_loses_none(service_dsn: Callable[[str], str], nats_process: NatsServer) -> None:
    """Devices that were created while the broker was away are told after a crash, once each and in order."""
    (port,) = free_ports(1)
    dsn = service_dsn("device-registry")
    async with bus_connection.connect(nats_process.url, name="test") as bus:
        await ensure(bus)
        with _registry(dsn, nats_process.url, port) as child:
            async with _stub(port) as stub:
                await _populate(stub)
                assert len(await _events(bus, 2)) == 2
                nats_process.kill9()
                for number in range(DEVICES):
                    await _create(stub, number)
                await asyncio.sleep(RELAY_TRIES_S)
            child.send_signal(signal.SIGKILL)
            child.wait()
        nats_process.start()
        with _registry(dsn, nats_process.url, port):
            events = await _events(bus, DEVICES + 2)
            state = (await bus.api("STREAM.INFO.DEVICES"))["state"]

    assert state["messages"] == DEVICES + 2
    revisions = [event.previous_revision + 1 for event in events]
    assert revisions == list(range(1, DEVICES + 3))
    assert all(before < after for before, after in pairwise(revisions))


async def test_sigterm_ends_with_status_0(service_dsn: Callable[[str], str], nats_url: str) -> None:
    """An asked process ends by itself."""
    (port,) = free_ports(1)
    async with bus_connection.connect(nats_url, name="test") as bus:
        await ensure(bus)
    with _registry(service_dsn("device-registry"), nats_url, port) as child:
        async with _stub(port):
            child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0


def test_an_unknown_setting_is_refused() -> None:
    """A typing mistake in a setting ends the process with a sentence."""
    environment = {**os.environ, "MAASLOOP_DEVICE_REGISTRY__POSTGRES_DNS": "x"}
    ended = subprocess.run(
        [sys.executable, "-m", "maasloop.device_registry"], env=environment, capture_output=True, check=False
    )

    assert ended.returncode == 64
    assert b"MAASLOOP_DEVICE_REGISTRY__POSTGRES_DNS" in ended.stderr
